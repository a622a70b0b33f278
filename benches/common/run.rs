//! How a bench was asked for, and how long its turns are.
// Each bench uses a part.
#![allow(dead_code)]

use std::env;
use std::path::PathBuf;
use std::time::Duration;

/// Is it `cargo bench` that asks? `cargo test` has nothing to measure.
pub fn is_asked_for() -> bool {
    env::args().any(|argument| argument == "--bench")
}

/// Does the name have the filter in it, if there is one?
pub fn wants(name: &str) -> bool {
    let filter = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    filter.is_none_or(|filter| name.contains(&filter[..]))
}

/// The folder of this program: on the disk where the target folder is.
pub fn target() -> PathBuf {
    let exe = env::current_exe().expect("no path");
    exe.parent().expect("no folder").to_owned()
}

/// How many iterations make a turn of so long. The first ones find out what only they have to.
pub fn calibrate(turn: Duration, mut measure: impl FnMut(u64) -> Duration) -> u64 {
    let mut iterations = 1;
    loop {
        let time = measure(iterations);
        if time >= turn / 4 {
            let each = time.as_secs_f64() / iterations as f64;
            return ((turn.as_secs_f64() / each) as u64).max(1);
        }
        iterations *= 2;
    }
}
