//! A runtime is built, and asked.
//!
//! In a process of its own: what it would print, or a filter that kills, is then no matter.

use std::env;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use spargio::native;
use spargio::runtime::Builder;

use crate::problem::{About, Result};

/// What starts this program as the probe.
pub(crate) const ARGUMENT: &str = "--probe-a-runtime";

/// What became of the runtime.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) workers: usize,
    /// `None` if there was no runtime.
    pub(super) backend: Option<String>,
    pub(super) is_forced: bool,
    /// Why there are no rings, or no runtime.
    pub(super) refusal: Option<String>,
    /// Operations that no ring does here.
    pub(super) missing: Vec<String>,
}

/// Builds a runtime and prints what became of it.
pub(crate) fn answer() {
    let answer = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let backend = runtime.handle().backend();
            let caps = runtime.block_on(async { native::caps() });
            let missing: Vec<_> =
                caps.operations().filter(|(_, is_there)| !is_there).map(|(name, _)| name).collect();
            json!({
                "workers": runtime.metrics().num_workers(),
                "backend": backend.kind().to_string(),
                "is_forced": backend.is_forced(),
                "refusal": backend.refusal().map(ToString::to_string),
                "missing": if caps.has_ring() { missing } else { Vec::new() },
            })
        }
        Err(error) => json!({ "refusal": error.to_string() }),
    };
    println!("{answer}");
}

pub(super) fn ask() -> Result<Probe> {
    let program = env::current_exe().about("this program")?;
    let child = Command::new(program).arg(ARGUMENT).stdin(Stdio::null()).output();
    let output = child.about("starting the probe")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Ok(answer) = serde_json::from_str::<Value>(&text) else {
        let said = String::from_utf8_lossy(&output.stderr);
        let refusal = format!("the probe ended with {}: {}", output.status, said.trim());
        return Ok(Probe { refusal: Some(refusal), ..Probe::default() });
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok(Probe {
        workers: answer["workers"].as_u64().and_then(|n| n.try_into().ok()).unwrap_or_default(),
        backend: text(&answer["backend"]),
        is_forced: answer["is_forced"] == true,
        refusal: text(&answer["refusal"]),
        missing: crate::project::list(&answer["missing"]).iter().filter_map(text).collect(),
    })
}
