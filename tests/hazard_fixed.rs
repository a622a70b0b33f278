//! Memory that rings know, and when they forget it: hazards H10, H11, H20 and H25 once more.

#[path = "common/mod.rs"]
mod common;
#[path = "common/fork.rs"]
mod fork;

use std::fs;
use std::time::Duration;

use tokio::fs::File;
use tokio::native::FixedBufPool;
use tokio::runtime::{BackendKind, Runtime};

use common::*;
use fork::fork;

/// How many blocks the rings of this process know.
fn registered() -> usize {
    let mut blocks = 0;
    for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
        if fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().contains("[io_uring]")) {
            let name = entry.file_name();
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", name.to_string_lossy()));
            let info = info.unwrap_or_default();
            let after = info.lines().skip_while(|line| !line.starts_with("UserBufs")).skip(1);
            // A line each; those of an empty place say so, or have no address (before Linux 6.13 or so).
            let entries = after.take_while(|line| line.starts_with(' '));
            let is_empty = |line: &&str| line.contains("none") || line.contains("0xffffffffffffffff");
            blocks += entries.filter(|line| !is_empty(line)).count();
        }
    }
    blocks
}

fn has_rings() -> bool {
    backend() == BackendKind::IoUring && std::env::var_os("SPARGIO_NATIVE").is_none()
}

/// Something to read, at offset 0. It is a device: whether a ring reads a file is a matter of file systems.
fn source() -> File {
    File::from_std(std::fs::File::open("/dev/zero").unwrap())
}

/// A read into a buffer of `pool`, by a task; is it right?
fn read_with(rt: &Runtime, pool: &FixedBufPool) -> bool {
    let (pool, source) = (pool.clone(), source());
    let read = async move {
        let (read, buf) = source.native().read_at(pool.next().await, 0).await;
        read.is_ok_and(|n| n == buf.len() && n > 0) && buf.iter().all(|&byte| byte == 0)
    };
    rt.block_on(async { tokio::spawn(tokio::time::timeout(LONG, read)).await.unwrap().unwrap() })
}

#[test]
fn h10_registered_memory_is_forgotten_with_its_pool() {
    if !has_rings() {
        return;
    }
    let _alone = alone();
    for rt in [current_thread(), multi_thread(1), multi_thread(2)] {
        let (first, second) = (FixedBufPool::new(4, 1000), FixedBufPool::new(1, 5000));
        assert!(read_with(&rt, &first) && read_with(&rt, &second));
        assert!(registered() >= 2);
        let blocks = registered();
        drop(second);
        let of_first = || rt.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
        eventually("the second is forgotten", || {
            of_first();
            registered() < blocks
        });
        // A buffer keeps its pool.
        let buf = first.try_next();
        drop(first);
        of_first();
        assert!(registered() >= 1);
        drop(buf);
        eventually("all is forgotten", || {
            of_first();
            registered() == 0
        });
    }
}

/// Nobody has to do anything for it: a worker that sleeps is told.
#[test]
fn h10_a_sleeping_ring_forgets_a_pool() {
    if !has_rings() {
        return;
    }
    let _alone = alone();
    let rt = multi_thread(2);
    for _ in 0..20 {
        let pool = FixedBufPool::new(4, 1000);
        assert!(read_with(&rt, &pool));
        std::thread::sleep(Duration::from_millis(2));
        assert!(registered() >= 1);
        drop(pool);
        eventually("it is forgotten", || registered() == 0);
    }
}

#[test]
fn h11_a_ring_that_is_given_up_knows_no_memory() {
    if !has_rings() {
        return;
    }
    let _alone = alone();
    let pool = FixedBufPool::new(4, 1000);
    for _ in 0..20 {
        for rt in [current_thread(), multi_thread(2)] {
            assert!(read_with(&rt, &pool));
            assert!(registered() >= 1);
            drop(rt);
            // This thread keeps its ring for the next runtime.
            eventually("it is forgotten", || registered() == 0);
        }
    }
}

#[test]
fn h20_a_pool_that_goes_while_nobody_drives_the_runtime() {
    if !has_rings() {
        return;
    }
    let _alone = alone();
    let mut rt = current_thread();
    for n in 0..20 {
        let pool = FixedBufPool::new(4, 1000);
        assert!(read_with(&rt, &pool));
        if n % 2 == 0 {
            drop(pool);
            rt.block_on(async {});
            assert_eq!(registered(), 0);
        } else {
            // The next owner is another thread, with another ring.
            rt = std::thread::spawn(move || {
                assert!(read_with(&rt, &pool));
                rt
            })
            .join()
            .unwrap();
            rt.block_on(async {});
            eventually("it is forgotten", || registered() == 0);
        }
    }
}

#[test]
fn h25_a_child_leaves_the_parents_pool_alone() {
    in_a_child("h25_a_child_leaves_the_parents_pool_alone", || {
        for rt in [current_thread(), multi_thread(1), multi_thread(2)] {
            let pool = FixedBufPool::new(2, 1000);
            assert!(read_with(&rt, &pool));
            let mut buf = pool.try_next().unwrap();
            buf.extend_from_slice(b"parent");
            let blocks = registered();
            let (mut scene, mut theirs) = (Some(rt), Some((pool, buf)));
            let code = fork(|| {
                let (pool, mut buf) = theirs.take().unwrap();
                buf.fill(0);
                drop(buf);
                // The pool is the child's own, as memory is, for a runtime of its own.
                let own = current_thread();
                let works = read_with(&own, &pool);
                drop((pool, scene.take(), own));
                i32::from(!works)
            });
            assert_eq!(code, 0);
            let (rt, (pool, buf)) = (scene.unwrap(), theirs.unwrap());
            assert_eq!(&buf[..], b"parent");
            if has_rings() {
                assert_eq!(registered(), blocks);
            }
            // The kernel writes to the parent's pages.
            assert!((0..20).all(|_| read_with(&rt, &pool)));
            drop((buf, pool));
            if has_rings() {
                eventually("it is forgotten", || {
                    rt.block_on(async {});
                    registered() == 0
                });
            }
        }
    });
}
