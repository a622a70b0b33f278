//! What a runtime would get here, and what is in its way.
//!
//! 1. [`probe`] builds one, in a process of its own, and asks it.
//! 2. [`machine`] reads what the system says of itself and of this process.
//! 3. [`judge`] makes findings of both, each with the line that mends it.
//! 4. [`program`] looks at the program in this folder, if there is one.

mod judge;
mod machine;
mod probe;
mod program;

pub(crate) use probe::{ARGUMENT as PROBE, answer as answer_probe};

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::Doctor;
use crate::problem::Result;
use machine::Machine;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Fine,
    /// Worth knowing.
    Note,
    /// It works, but not as it could.
    Warning,
    /// It does not do what it was meant to.
    Fault,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Fine => "ok",
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Fault => "fault",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Finding {
    about: &'static str,
    level: Level,
    text: String,
    /// Lines that mend it.
    cures: Vec<String>,
}

impl Finding {
    fn new(about: &'static str, level: Level, text: impl Into<String>) -> Finding {
        Finding { about, level, text: text.into(), cures: Vec::new() }
    }

    fn cure(mut self, line: impl Into<String>) -> Finding {
        self.cures.push(line.into());
        self
    }
}

pub(crate) fn run(options: &Doctor) -> Result<ExitCode> {
    let probe = probe::ask()?;
    let machine = Machine::read();
    let mut findings = judge::judge(&machine, &probe);
    findings.extend(program::look(&options.common));
    if options.json {
        let list: Vec<Value> = findings
            .iter()
            .map(|finding| {
                json!({ "about": finding.about, "level": finding.level.name(), "text": finding.text, "cures": finding.cures })
            })
            .collect();
        let report = json!({ "backend": probe.backend, "workers": probe.workers, "findings": list });
        println!("{report:#}");
    } else {
        for finding in &findings {
            println!("{:<8} {:<12} {}", finding.level.name(), finding.about, finding.text);
            for cure in &finding.cures {
                println!("{:<8} {:<12} -> {cure}", "", "");
            }
        }
    }
    let worst = findings.iter().map(|finding| finding.level).max();
    Ok(ExitCode::from(match (worst, probe.backend.as_deref()) {
        (Some(Level::Fault), _) | (_, None) => 1,
        (_, Some("io_uring")) => 0,
        (_, Some(_)) => 3,
    }))
}
