//! What calls to the file system cost, on Tokio and on spargio.
//!
//! CPU time of the whole process: work on the blocking pool counts, and so do the threads of the kernel
//! that carry out what a ring cannot do at once. The files are on the file system of the target
//! folder and in memory; one call is on its way at a time, from a task on one worker.

#[path = "common/clock.rs"]
mod clock;
mod common;

use std::fs;
use std::time::Duration;

use clock::{ClockId, time_of};
use common::Bench;

mod on_tokio {
    use upstream as tokio;

    include!("fs/rows.rs");
}

mod on_spargio {
    use spargio as tokio;

    include!("fs/rows.rs");
}

const BLOCK: usize = 4096;
const BLOCKS: u64 = 4096;

fn main() {
    let mut bench = Bench::new("fs");
    let folder =
        tempfile::Builder::new().prefix("bench-fs-").tempdir_in(common::run::target()).expect("no folder");
    let large = folder.path().join("large");
    fs::write(&large, vec![7; BLOCK * BLOCKS as usize]).expect("no file");
    let small = folder.path().join("small");
    fs::write(&small, vec![7; BLOCK]).expect("no file");

    let tokio = on_tokio::Subject::new(folder.path());
    let spargio = on_spargio::Subject::new(folder.path());
    macro_rules! row {
        ($name:literal, $method:ident($($argument:expr),*)) => {
            bench.row(
                $name,
                1,
                &mut |n| cpu_time(|| tokio.$method(n, $($argument),*)),
                &mut |n| cpu_time(|| spargio.$method(n, $($argument),*)),
            );
        };
    }
    row!("seek + read, 4 KiB", seek_and_read(&large, BLOCK, BLOCKS));
    row!("read on, 64 KiB", read_on(&large, 65536));
    row!("read on, 1 MiB", read_on(&large, 1 << 20));
    row!("seek + write + flush, 4 KiB", seek_and_write(&large, BLOCK, BLOCKS));
    row!("open", open(&small));
    row!("open, not there", open_missing());
    row!("read a file of 4 KiB", read_whole(&small));
    row!("metadata of a path", metadata(&small));
    row!("metadata of an open file", file_metadata(&small));
    row!("rename", rename());
    row!("create and remove a file", create_and_remove());
    row!("create and remove a directory", create_and_remove_dir());
    row!("symlink and remove", symlink_and_remove());
    row!("link and remove", link_and_remove(&small));
    row!("set_len", set_len());
    row!("sync_data, nothing to do", sync_data(&small));
    bench.finish();
}

fn cpu_time(f: impl FnOnce()) -> Duration {
    time_of(ClockId::ProcessCPUTime, f)
}
