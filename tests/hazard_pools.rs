//! Memory of pools that rings pick buffers from: hazards H82 and H88.

#[path = "common/mod.rs"]
mod common;
#[path = "common/fork.rs"]
mod fork;

use std::fs;
use std::io::Write;

use tokio::native::{BufPool, PoolBuf};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use common::*;
use fork::fork;

const COUNT: u16 = 512;
/// So much that the allocator asks the kernel for a ring's buffers, and gives them back to it.
const SIZE: usize = 128 << 10;
const MIB: usize = 1 << 20;

/// How much memory of this process is resident.
fn resident() -> usize {
    #[cfg(target_env = "gnu")]
    // SAFETY: the allocator's own business.
    unsafe {
        libc::malloc_trim(0)
    };
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// What is received into all buffers of a pool.
async fn filled(pool: &BufPool) -> Vec<PoolBuf> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let writer = tokio::task::spawn_blocking(move || {
        // Until nobody reads any more.
        while (&theirs).write_all(&[1; SIZE]).is_ok() {}
    });
    let bufs = {
        let ours = UnixStream::from_std(ours).unwrap();
        let mut incoming = ours.native().recv_multi(pool);
        let mut bufs = Vec::new();
        while bufs.len() < COUNT.into() {
            bufs.push(incoming.next().await.unwrap().unwrap());
        }
        bufs
    };
    writer.await.unwrap();
    bufs
}

/// The same by a task.
fn filled_on(rt: &Runtime, pool: &BufPool) -> Vec<PoolBuf> {
    let pool = pool.clone();
    rt.block_on(async { tokio::spawn(async move { filled(&pool).await }).await.unwrap() })
}

/// How many bytes come of so many full buffers, one after the other.
fn received_on(rt: &Runtime, pool: &BufPool, bufs: usize) -> usize {
    let pool = pool.clone();
    let receive = async move {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut incoming = ours.native().recv_multi(&pool);
        let mut received = 0;
        for _ in 0..bufs {
            assert_eq!(theirs.try_write(&[1; 64]).unwrap(), 64);
            received += timeout(LONG, incoming.next()).await.expect("a buffer").unwrap().unwrap().len();
        }
        received
    };
    rt.block_on(async { tokio::spawn(receive).await.unwrap() })
}

fn runtimes() -> [Runtime; 3] {
    [current_thread(), multi_thread(1), multi_thread(2)]
}

/// Its memory is back with the last buffer, whoever drops that, and whatever the runtime does.
#[test]
fn h82_memory_goes_with_the_last_of_a_pool() {
    let _alone = alone();
    for rt in runtimes() {
        let before = resident();
        let pool = BufPool::new(COUNT, SIZE);
        let mut bufs = filled_on(&rt, &pool);
        assert!(resident() > before + 16 * MIB, "the buffers are not used");
        drop(pool);
        let last = bufs.pop().unwrap();
        assert!(last.iter().all(|&byte| byte == 1));
        std::thread::spawn(move || {
            drop(bufs);
            assert!(last.iter().all(|&byte| byte == 1));
            drop(last);
        })
        .join()
        .unwrap();
        eventually("its memory is back", || resident() < before + 8 * MIB);
        // And the ring can still be told of another.
        let pool = BufPool::new(COUNT, SIZE);
        assert_eq!(filled_on(&rt, &pool).len(), COUNT.into());
    }
}

/// A pool takes the place that another one had with a ring.
#[test]
fn h88_a_pool_after_another_is_not_empty() {
    for rt in runtimes() {
        for _ in 0..3 {
            let pool = BufPool::new(8, 64);
            assert_eq!(received_on(&rt, &pool, 8), 8 * 64);
        }
    }
}

/// A stream is dropped while it flies, and its ring sleeps.
#[test]
fn h82_memory_of_a_dropped_stream_comes_back_from_a_ring_that_sleeps() {
    let _alone = alone();
    for workers in [1, 2] {
        let rt = multi_thread(workers);
        for _ in 0..3 {
            let before = resident();
            let (ours, _theirs) = {
                let _inside = rt.enter();
                UnixStream::pair().unwrap()
            };
            let ours: &'static UnixStream = Box::leak(Box::new(ours));
            let stream = rt.block_on(async {
                let flies = async move {
                    let pool = BufPool::new(COUNT, SIZE);
                    drop(filled(&pool).await);
                    let mut stream = ours.native().recv_multi(&pool);
                    assert!(futures::poll!(Box::pin(stream.next())).is_pending());
                    stream
                };
                tokio::spawn(flies).await.unwrap()
            });
            drop(stream);
            eventually("its memory is back", || resident() < before + 8 * MIB);
        }
    }
}

#[test]
fn h82_a_child_frees_its_own_copy() {
    in_a_child("h82_a_child_frees_its_own_copy", || {
        let rt = multi_thread(1);
        let pool = BufPool::new(COUNT, SIZE);
        let mut bufs = Some(filled_on(&rt, &pool));
        let mut theirs = Some(pool);
        assert_eq!(
            fork(|| {
                drop((bufs.take(), theirs.take()));
                0
            }),
            0
        );
        let (bufs, pool) = (bufs.unwrap(), theirs.unwrap());
        assert!(bufs.iter().all(|buf| buf.iter().all(|&byte| byte == 1)));
        drop(bufs);
        assert_eq!(filled_on(&rt, &pool).len(), COUNT.into());
    });
}
