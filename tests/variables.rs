//! A variable of the environment means what it says, or a runtime is not built.

use std::env;
use std::process::Command;

use tokio::runtime::Builder;

/// What building a runtime fails with in an environment; nothing if it does not.
fn build_under(variable: &str, value: &str) -> String {
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "in_a_child", "--include-ignored", "--nocapture"])
        .env(variable, value)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{text}");
    text.lines().filter_map(|line| line.split_once("refused: ")).map(|(_, error)| error).collect()
}

#[test]
#[ignore = "a child of the others"]
fn in_a_child() {
    for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        if let Err(error) = builder.worker_threads(1).enable_all().build() {
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
            return println!("\nrefused: {error}");
        }
    }
}

#[test]
fn a_bad_value_is_refused_and_never_ignored() {
    for (variable, wrong, allowed) in [
        ("SPARGIO_BACKEND", "uring", "\"io_uring\" or \"epoll\""),
        ("SPARGIO_LANE", "Native", "\"readiness\", \"native\" or \"auto\""),
        ("SPARGIO_NATIVE", "emulate", "\"emulated\""),
        ("SPARGIO_INTEROP", "false", "\"on\", \"off\", \"1\" or \"0\""),
    ] {
        let said = build_under(variable, wrong);
        assert_eq!(said, format!("{variable} must be {allowed}, or not set at all; it is {wrong:?}"));
    }
}

#[test]
fn good_values_and_empty_ones_are_not() {
    for (variable, values) in [
        ("SPARGIO_BACKEND", &["", "epoll"][..]),
        ("SPARGIO_LANE", &["", "readiness", "native", "auto"]),
        ("SPARGIO_NATIVE", &["", "emulated"]),
        ("SPARGIO_INTEROP", &["", "on", "off", "1", "0"]),
    ] {
        for value in values {
            assert_eq!(build_under(variable, value), "", "{variable}={value}");
        }
    }
}
