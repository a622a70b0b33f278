//! Published tests that assert what spargio must not do.
//!
//! Such a test can only fail here, and it has to: with the very message that says why. It counts
//! neither as passed nor as failed, and never silently: every report names it. Should it fail in
//! another way, or pass, that is a failure like any other.

/// One such test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// `file::test`
    pub test: &'static str,
    /// What the failure says.
    pub fails_with: &'static str,
    /// What stands against it.
    pub because: &'static str,
}

/// All of them; each has a paragraph in MIGRATION.md.
pub const DEVIATIONS: &[Deviation] = &[Deviation {
    test: "rt_unstable_eager_driver_handoff::deadlocks_consistently",
    fails_with: "runtime did not deadlock!",
    because: "it wants a runtime with a blocked worker to deadlock (Tokio's issue 4730); hazard H22 forbids that",
}];

/// What becomes of a test, seen in the light of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The list has nothing to say.
    Stands,
    /// It failed as it has to.
    Deviates(&'static str),
    /// It passed, though it must not.
    Relapsed(String),
}

/// Judges the test `name`, which failed for the reason `failure` if it did.
pub fn judge(name: &str, failure: Option<&str>) -> Verdict {
    let Some(deviation) = DEVIATIONS.iter().find(|deviation| deviation.test == name) else {
        return Verdict::Stands;
    };
    match failure {
        Some(reason) if reason.contains(deviation.fails_with) => Verdict::Deviates(deviation.because),
        Some(_) => Verdict::Stands,
        None => Verdict::Relapsed(format!("passes, but must not: {}", deviation.because)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: &str = DEVIATIONS[0].test;

    #[test]
    fn only_the_right_failure_is_a_deviation() {
        let message = format!("assertion failed: {} (x.rs:1:2)", DEVIATIONS[0].fails_with);
        assert!(matches!(judge(TEST, Some(&message)), Verdict::Deviates(_)));
        assert_eq!(judge(TEST, Some("timed out after 60 s")), Verdict::Stands);
    }

    #[test]
    fn a_pass_is_a_relapse() {
        assert!(matches!(judge(TEST, None), Verdict::Relapsed(_)));
    }

    #[test]
    fn other_tests_are_left_alone() {
        assert_eq!(judge("tcp_echo::echo", None), Verdict::Stands);
        assert_eq!(judge("tcp_echo::echo", Some(DEVIATIONS[0].fails_with)), Verdict::Stands);
    }
}
