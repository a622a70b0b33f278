//! A runtime that cannot be built: hazard H31.

mod common;

use std::os::fd::AsRawFd;

use tokio::runtime::{Builder, Runtime};

use common::*;

/// Builds a runtime with `free` descriptors left, for every number from none to enough; returns
/// how many were too few.
fn with_few_descriptors(build: impl Fn() -> std::io::Result<Runtime>) -> usize {
    // The first runtime starts what all of them share.
    let first = build().unwrap();
    assert_eq!(first.block_on(async { tokio::spawn(async { 1 }).await.unwrap() }), 1);
    drop(first);
    limit_descriptors(64);
    let mut files = take_all_descriptors();
    let mut too_few = 0;
    loop {
        let before = open_fds_without_looking();
        match build() {
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("ulimit -n"), "{text}");
                too_few += 1;
            }
            Ok(rt) => {
                assert_eq!(rt.block_on(async { tokio::spawn(async { 1 }).await.unwrap() }), 1);
                return too_few;
            }
        }
        assert_eq!(open_fds_without_looking(), before, "something is left behind");
        drop(files.pop().expect("all descriptors are free"));
    }
}

/// Counts descriptors where none is free to list them with.
fn open_fds_without_looking() -> usize {
    // SAFETY: no memory is passed.
    (0..64).filter(|&fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0).count()
}

#[test]
fn h31_emfile_is_an_error_and_leaves_nothing_behind() {
    in_a_child("h31_emfile_is_an_error_and_leaves_nothing_behind", || {
        // Those of the watch set, and of the host; none for a worker.
        let few = with_few_descriptors(|| Builder::new_multi_thread().worker_threads(1).enable_all().build());
        assert!(few >= 2, "{few}");
        let many =
            with_few_descriptors(|| Builder::new_multi_thread().worker_threads(8).enable_all().build());
        assert_eq!(many, few);
    });
}

#[test]
fn h31_emfile_on_a_thread_without_a_ring() {
    in_a_child("h31_emfile_on_a_thread_without_a_ring", || {
        let needed = with_few_descriptors(|| Builder::new_current_thread().enable_all().build());
        let mut files = take_all_descriptors();
        let refused = |expected: bool| {
            std::thread::spawn(move || {
                let built = Builder::new_current_thread().enable_all().build();
                assert_eq!(built.is_err(), expected, "{built:?}");
                if let Err(error) = built {
                    assert!(error.to_string().contains("ulimit -n"), "{error}");
                }
            })
            .join()
            .unwrap();
        };
        refused(true);
        for _ in 0..needed {
            let last = files.pop().unwrap();
            assert!(last.as_raw_fd() < 64);
            drop(last);
        }
        refused(false);
    });
}
