//! Operations on a driver of their own: submitted, cancelled, dropped, forgotten and moved.

mod links;
mod rig;

use std::fs;
use std::future::Future;
use std::io::{self, Write};
use std::mem;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use rig::{Accept, Fate, Open, Read, Rig, SendZc, pair};

/// How many descriptors lead to `target`.
fn descriptors(target: &Path) -> usize {
    let links =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link == target).count()
}

#[test]
fn an_operation_is_submitted_by_its_first_poll_and_wakes_once() {
    let mut rig = Rig::new();
    let (fd, mut peer) = pair();
    let (read, fate) = Read::new(&fd);
    let mut op = Op::new(&rig.handle, read);
    rig.turn();
    assert_eq!(fate.read(), [0, 0, 0, 0]);
    assert!(rig.poll(&mut op).is_pending());
    rig.turn();
    assert!(rig.poll(&mut op).is_pending());
    assert_eq!(rig.wakes.0.load(SeqCst), 0);
    peer.write_all(b"hello").unwrap();
    let wakes = rig.wakes.clone();
    rig.until(|| wakes.0.load(SeqCst) == 1);
    assert_eq!(rig.finish(&mut op).unwrap(), b"hello");
    assert_eq!(fate.read(), [1, 1, 0, 1]);
    drop(op);
    assert_eq!(fate.read(), [1, 1, 0, 1]);
    rig.end();
}

#[test]
#[should_panic(expected = "`Op` polled after completion")]
fn polling_after_completion_panics() {
    let mut rig = Rig::new();
    let (fd, mut peer) = pair();
    peer.write_all(b"x").unwrap();
    let mut op = Op::new(&rig.handle, Read::new(&fd).0);
    rig.finish(&mut op).unwrap();
    let _ = rig.poll(&mut op);
}

/// The buffer lives until the terminal completion, which a drop does not wait for.
#[test]
fn h10_a_dropped_operation_is_kept_until_the_kernel_lets_go() {
    let mut rig = Rig::new();
    let (fd, _peer) = pair();
    let (read, fate) = Read::new(&fd);
    let mut op = Op::new(&rig.handle, read);
    assert!(rig.poll(&mut op).is_pending());
    rig.turn();
    drop(op);
    assert_eq!(fate.read(), [1, 0, 0, 0], "freed while the kernel may write to it");
    assert_eq!(Arc::strong_count(&fd), 2, "its descriptor may be closed now");
    rig.until(|| fate.read() == [1, 0, 1, 1]);
    assert_eq!(Arc::strong_count(&fd), 1);
    rig.end();
}

#[test]
fn h10_dropped_before_the_entry_went_in() {
    let mut rig = Rig::new();
    let (fd, _peer) = pair();
    for polls in 0..2 {
        let (read, fate) = Read::new(&fd);
        let mut op = Op::new(&rig.handle, read);
        for _ in 0..polls {
            assert!(rig.poll(&mut op).is_pending());
        }
        drop(op);
        // Never polled: gone at once. Else with its completion.
        rig.until(|| fate.read() == [polls, 0, polls, 1]);
    }
    rig.end();
}

#[test]
fn h10_dropped_on_a_foreign_thread() {
    let mut rig = Rig::new();
    let (fd, _peer) = pair();
    let (read, fate) = Read::new(&fd);
    let mut op = Op::new(&rig.handle, read);
    assert!(rig.poll(&mut op).is_pending());
    rig.turn();
    let start = Instant::now();
    thread::spawn(move || drop(op)).join().unwrap();
    assert!(start.elapsed() < Duration::from_secs(10), "the drop waited");
    assert_eq!(fate.read(), [1, 0, 0, 0]);
    rig.until(|| fate.read() == [1, 0, 1, 1]);
    rig.end();
}

#[test]
fn a_foreign_thread_has_it_submitted_by_mail() {
    let mut rig = Rig::new();
    let (fd, mut peer) = pair();
    let (read, fate) = Read::new(&fd);
    let handle = rig.handle.clone();
    let mut op = thread::spawn(move || {
        let mut op = Op::new(&handle, read);
        assert!(Pin::new(&mut op).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        op
    })
    .join()
    .unwrap();
    assert_eq!(fate.read(), [0, 0, 0, 0]);
    peer.write_all(b"mail").unwrap();
    assert_eq!(rig.finish(&mut op).unwrap(), b"mail");

    // Dropped while it is in the mail, it never takes off.
    let (read, fate) = Read::new(&fd);
    let handle = rig.handle.clone();
    let poll_and_drop = move || {
        let mut op = Op::new(&handle, read);
        assert!(Pin::new(&mut op).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    };
    thread::spawn(poll_and_drop).join().unwrap();
    rig.until(|| fate.read() == [0, 0, 0, 1]);
    rig.end();
}

/// What the shutdown finds in flight is over when it returns, and the memory was the kernel's until
/// then.
#[test]
fn h11_a_shutdown_waits_for_what_flies() {
    let mut rig = Rig::new();
    let (fd, _peer) = pair();
    let mut fates = Vec::new();
    let mut ops = Vec::new();
    for n in 0..40 {
        let (read, fate) = Read::new(&fd);
        let mut op = Op::new(&rig.handle, read);
        assert!(rig.poll(&mut op).is_pending());
        fates.push(fate);
        // Half of them are abandoned.
        ops.extend((n % 2 == 0).then_some(op));
        rig.turn();
    }
    let handle = rig.handle.clone();
    let wakes = rig.wakes.clone();
    rig.end();
    assert_eq!(wakes.0.load(SeqCst), ops.len());
    for (n, fate) in fates.iter().enumerate() {
        assert_eq!(fate.read(), if n % 2 == 0 { [1, 0, 0, 0] } else { [1, 0, 1, 1] });
    }
    for op in &mut ops {
        match Pin::new(op).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(e)) => assert_eq!(e.to_string(), RUNTIME_SHUTTING_DOWN_ERROR),
            other => panic!("{other:?}"),
        }
    }
    // Later ones are refused at once: the first poll wakes, the second one says so.
    let mut late = Op::new(&handle, Read::new(&fd).0);
    let waker = Waker::from(wakes.clone());
    assert!(Pin::new(&mut late).poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(wakes.0.load(SeqCst), ops.len() + 1);
    match Pin::new(&mut late).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(Err(e)) => assert_eq!(e.to_string(), RUNTIME_SHUTTING_DOWN_ERROR),
        other => panic!("{other:?}"),
    }
    assert_eq!(Arc::strong_count(&fd), 1);
}

/// What a thread of the kernel does ends a while after it was cancelled, not at once.
#[test]
fn h11_a_shutdown_waits_for_the_kernels_threads() {
    // Opening it waits for somebody who writes to it, on such a thread: one that may create a file is
    // not tried without waiting first.
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for _ in 0..10 {
        let mut rig = Rig::new();
        let mut opens = Vec::new();
        for _ in 0..16 {
            let mut op = Op::new(&rig.handle, Open::new(&fifo, libc::O_CREAT));
            assert!(rig.poll(&mut op).is_pending());
            rig.turn();
            opens.push(op);
        }
        let wakes = rig.wakes.clone();
        rig.end();
        assert_eq!(wakes.0.load(SeqCst), opens.len(), "the ring went before they were over");
        for op in &mut opens {
            match Pin::new(op).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Err(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// A descriptor that was opened for nobody is closed, whenever the future is dropped.
#[test]
fn h12_descriptors_of_dropped_opens_are_closed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().canonicalize().unwrap();
    let before = descriptors(&path);
    let mut rig = Rig::new();
    for n in 0..2_000 {
        let mut op = Op::new(&rig.handle, Open::new(&path, 0));
        assert!(rig.poll(&mut op).is_pending());
        // Not submitted yet; submitted; over, but not polled.
        for _ in 0..n % 3 {
            rig.turn();
        }
        drop(op);
    }
    rig.end();
    assert_eq!(descriptors(&path), before);
}

#[test]
fn h13_a_forgotten_operation_is_leaked_and_nothing_else() {
    let mut rig = Rig::new();
    let (fd, mut peer) = pair();
    let (read, fate) = Read::new(&fd);
    let mut op = Op::new(&rig.handle, read);
    assert!(rig.poll(&mut op).is_pending());
    rig.turn();
    mem::forget(op);
    peer.write_all(b"for nobody").unwrap();
    let wakes = rig.wakes.clone();
    rig.until(|| wakes.0.load(SeqCst) == 1);
    assert_eq!(fate.read(), [1, 0, 0, 0]);

    // The next one is as good as ever.
    let mut op = Op::new(&rig.handle, Read::new(&fd).0);
    peer.write_all(b"for us").unwrap();
    assert_eq!(rig.finish(&mut op).unwrap(), b"for us");
    rig.end();
    assert_eq!(fate.read(), [1, 0, 0, 0]);
}

/// A cancel that comes too late changes nothing: the data is there.
#[test]
fn h14_a_cancel_that_comes_too_late_loses_nothing() {
    let mut rig = Rig::new();
    let (fd, mut peer) = pair();
    for n in 0..200_usize {
        let mut op = Op::new(&rig.handle, Read::new(&fd).0);
        assert!(rig.poll(&mut op).is_pending());
        if n % 2 == 0 {
            rig.turn();
        }
        peer.write_all(&n.to_le_bytes()).unwrap();
        op.cancel();
        match rig.finish(&mut op) {
            Ok(bytes) => assert_eq!(bytes, n.to_le_bytes()),
            Err(e) => {
                assert_eq!(e.raw_os_error(), Some(libc::ECANCELED));
                // Then it is still in the socket.
                let mut again = Op::new(&rig.handle, Read::new(&fd).0);
                assert_eq!(rig.finish(&mut again).unwrap(), n.to_le_bytes());
            }
        }
    }
    rig.end();
}

#[test]
fn h14_a_cancel_in_time_says_so() {
    let mut rig = Rig::new();
    let (fd, _peer) = pair();
    // On its way, and before it is.
    for poll_first in [true, false] {
        let mut op = Op::new(&rig.handle, Read::new(&fd).0);
        if poll_first {
            assert!(rig.poll(&mut op).is_pending());
            rig.turn();
        }
        op.cancel();
        assert_eq!(rig.finish(&mut op).unwrap_err().raw_os_error(), Some(libc::ECANCELED));
    }
    rig.end();
}

#[test]
fn a_time_limit_cancels() {
    let mut rig = Rig::new();
    let (fd, mut peer) = pair();
    let start = Instant::now();
    let mut op = Op::new(&rig.handle, Read::new(&fd).0).with_limit(Duration::from_millis(30));
    assert_eq!(rig.finish(&mut op).unwrap_err().raw_os_error(), Some(libc::ECANCELED));
    assert!(start.elapsed() >= Duration::from_millis(30));
    // In time, it is as if there were none.
    peer.write_all(b"quick").unwrap();
    let mut op = Op::new(&rig.handle, Read::new(&fd).0).with_limit(Duration::from_secs(100));
    assert_eq!(rig.finish(&mut op).unwrap(), b"quick");
    rig.end();
}

#[test]
fn a_stream_yields_all_results_and_its_drop_closes_the_rest() {
    let mut rig = Rig::new();
    let std = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = std.local_addr().unwrap();
    let listener = Arc::new(OwnedFd::from(std));
    let orphans = Arc::new(AtomicUsize::new(0));
    let connect = || std::net::TcpStream::connect(address).unwrap();
    let accept = Accept { listener: listener.clone(), orphans: orphans.clone() };
    let mut stream = OpStream::new(&rig.handle, accept);

    let wakes = rig.wakes.clone();
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(stream.poll_next(&mut cx).is_pending());
    let clients: Vec<_> = (0..5).map(|_| connect()).collect();
    rig.until(|| stream.len() == 5);
    assert_eq!(wakes.0.load(SeqCst), 1, "one wake-up does, nobody looked in between");
    for _ in 0..2 {
        assert!(matches!(stream.poll_next(&mut cx), Poll::Ready(Some(Ok(_)))));
    }

    // To another owner and back: it goes on.
    rig.driver.detach();
    rig.driver.attach();
    let late = connect();
    rig.until(|| stream.len() == 4);
    for _ in 0..3 {
        assert!(matches!(stream.poll_next(&mut cx), Poll::Ready(Some(Ok(_)))));
    }
    drop(stream);
    assert_eq!(orphans.load(SeqCst), 1);
    rig.until(|| Arc::strong_count(&listener) == 1);
    drop((clients, late));
    rig.end();
}

#[test]
fn a_cancelled_stream_ends() {
    let mut rig = Rig::new();
    let listener = Arc::new(OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap()));
    let mut stream = OpStream::new(&rig.handle, Accept { listener, orphans: Arc::default() });
    let mut cx = Context::from_waker(Waker::noop());
    assert!(stream.poll_next(&mut cx).is_pending());
    rig.turn();
    stream.cancel();
    let start = Instant::now();
    loop {
        match stream.poll_next(&mut cx) {
            Poll::Ready(None) => break,
            Poll::Ready(Some(item)) => panic!("{item:?}"),
            Poll::Pending => rig.turn(),
        }
        assert!(start.elapsed() < Duration::from_secs(10), "it never ends");
    }
    rig.end();
}

/// The future is ready when the buffer is free, not when the bytes are on their way.
#[test]
fn h15_a_buffer_sent_without_a_copy_comes_back_with_the_notification() {
    let mut rig = Rig::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let send = SendZc { fd: Arc::new(OwnedFd::from(ours)), buf: vec![7; 4096] };
    let mut op = Op::new(&rig.handle, send);
    assert!(rig.poll(&mut op).is_pending());
    rig.turn();
    let mut received = vec![0; 4096];
    io::Read::read_exact(&mut peer, &mut received).unwrap();
    let (result, buf) = rig.finish(&mut op);
    assert_eq!(result.unwrap(), 4096, "the notification's result is not the send's");
    assert_eq!(buf, received);
    rig.end();
}

/// A ring leaves with its thread: what flew there is submitted again by the next one.
#[test]
fn h20_operations_follow_their_runtime_to_another_thread() {
    let mut rig = Rig::new();
    // Each message is for one of them.
    let (ours, peer) = UnixDatagram::pair().unwrap();
    let fd = Arc::new(OwnedFd::from(ours));
    let mut fates = Vec::new();
    let mut ops = Vec::new();
    for _ in 0..8 {
        let (read, fate) = Read::new(&fd);
        let mut op = Op::new(&rig.handle, read);
        assert!(rig.poll(&mut op).is_pending());
        rig.turn();
        if ops.is_empty() {
            // One is over.
            peer.send(b"0").unwrap();
            rig.turn();
        }
        fates.push(fate);
        ops.push(op);
    }
    // One is abandoned.
    drop(ops.pop());
    rig.driver.detach();
    assert_eq!(fates.pop().unwrap().read(), [1, 0, 1, 1]);
    assert_eq!(rig.wakes.0.load(SeqCst), 1, "a recall is nobody's business");

    let next_owner = thread::spawn(move || {
        rig.driver.attach();
        for n in 1..7 {
            peer.send(n.to_string().as_bytes()).unwrap();
        }
        let mut received: Vec<_> = ops.iter_mut().map(|op| rig.finish(op).unwrap()).collect();
        received.sort();
        rig.end();
        received.concat()
    });
    assert_eq!(next_owner.join().unwrap(), b"0123456");
    // One was over on the first ring.
    let entered: usize = fates.iter().map(|fate| fate.read()[0]).sum();
    assert_eq!(entered, 1 + 6 * 2);
}

/// Nobody drives the runtime: a new operation waits for the next who does.
#[test]
fn h20_an_operation_waits_for_a_driver() {
    let mut rig = Rig::new();
    rig.driver.detach();
    let (fd, mut peer) = pair();
    peer.write_all(b"later").unwrap();
    let mut op = Op::new(&rig.handle, Read::new(&fd).0);
    assert!(rig.poll(&mut op).is_pending());
    rig.driver.attach();
    assert_eq!(rig.finish(&mut op).unwrap(), b"later");
    rig.end();
}

#[test]
fn h18_more_operations_than_the_queue_has_room_for() {
    use crate::sys::fault;
    for script in [fault::Script::default().ring_size(4, 8), fault::Script::default().short_submits()] {
        let _installed = script.install();
        // A ring from the cache would have the usual size.
        thread::spawn({
            let script = script.clone();
            move || {
                let _installed = script.install();
                let mut rig = Rig::new();
                let (fd, mut peer) = pair();
                let mut ops: Vec<_> = (0..100).map(|_| Op::new(&rig.handle, Read::new(&fd).0)).collect();
                for op in &mut ops {
                    assert!(rig.poll(op).is_pending());
                }
                rig.turn();
                // Every other one is cancelled.
                let mut kept = Vec::new();
                for (n, op) in ops.into_iter().enumerate() {
                    kept.extend((n % 2 == 0).then_some(op));
                }
                for _ in &kept {
                    rig.turn();
                    peer.write_all(b"x").unwrap();
                }
                rig.turn();
                drop(peer);
                let received: usize = kept.iter_mut().map(|op| rig.finish(op).unwrap().len()).sum();
                assert!(received <= 50);
                rig.end();
                assert_eq!(Arc::strong_count(&fd), 1);
            }
        })
        .join()
        .unwrap();
    }
}

/// A paused clock stands still while a file operation is in flight.
#[test]
fn h46_a_paused_clock_waits_for_operations() {
    let mut rig = Rig::with_clock(true);
    let (fd, mut peer) = pair();
    let mut op = Op::new(&rig.handle, Read::new(&fd).0);
    assert!(rig.poll(&mut op).is_pending());
    let start = rig.handle.clock().now();
    let mut timer = crate::driver::time::TimerEntry::new();
    let mut cx = Context::from_waker(Waker::noop());
    let deadline = start + Duration::from_secs(60);
    assert!(timer.poll_elapsed(rig.handle.time(), deadline, || Some(0), &mut cx).is_pending());
    for _ in 0..5 {
        rig.turn();
    }
    assert_eq!(rig.handle.clock().now(), start, "it advanced over an operation in flight");
    peer.write_all(b"x").unwrap();
    rig.finish(&mut op).unwrap();
    // Its landing counts as a wake-up for one turn.
    for _ in 0..5 {
        rig.driver.park_timeout(&rig.handle, Duration::from_secs(60));
    }
    assert!(rig.handle.clock().now() >= deadline);
    timer.cancel(rig.handle.time());
    rig.end();
}
