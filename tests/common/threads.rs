//! The threads of this process.

// Each test file uses a part of it.
#![allow(dead_code)]

use std::fs;
use std::io;

/// The names of the threads of this process.
///
/// The kernel ends the list at a thread that ends while it is looked at, whoever comes after it: it is good if it is as
/// long as the kernel's count before and after.
pub fn thread_names() -> Vec<String> {
    loop {
        let before = thread_count();
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let comm = |task: io::Result<fs::DirEntry>| task.unwrap().path().join("comm");
        let names: Vec<_> = tasks.map(|task| fs::read_to_string(comm(task)).unwrap_or_default()).collect();
        if [before, thread_count()] == [names.len(); 2] {
            return names.iter().map(|name| name.trim().to_owned()).collect();
        }
    }
}

/// How many threads this process has.
pub fn thread_count() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let count = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    count.unwrap().trim().parse().unwrap()
}
