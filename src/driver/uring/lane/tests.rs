//! A lane and completions it did not expect.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::*;
use crate::driver::Interest;
use crate::driver::op::Chain;
use crate::driver::uring::ops::tests::Watching;
use crate::driver::uring::remote::Message;
use crate::driver::uring::{Driver, Shards};
use crate::sys::fault::{self, Call};

fn lane() -> Box<Lane> {
    let mut lane = Lane::new(Ring::for_this_thread().unwrap(), Arc::new(Remote::new(1, 0).unwrap()));
    lane.open();
    lane
}

/// Has the lane receive `cqe`, as if the kernel had sent it.
fn receive(lane: &mut Lane, cqe: Cqe) -> Aftermath {
    let ring = lane.ring.as_raw_fd();
    lane.ring.push(Sqe::forge(ring, cqe));
    let mut aftermath = Aftermath::default();
    // Once to send it, once for what it leads to.
    lane.turn(Wait::No, &mut aftermath);
    lane.turn(Wait::No, &mut aftermath);
    aftermath
}

fn cqe(token: Token, result: i32) -> Cqe {
    Cqe { token, result, more: false, flags: 0 }
}

/// A pair of sockets whose first one is watched.
fn armed_pair(lane: &mut Lane) -> (UnixStream, UnixStream, Arc<ScheduledIo>, Token) {
    let (reader, writer) = UnixStream::pair().unwrap();
    let io = Arc::new(ScheduledIo::new(reader.as_raw_fd(), Interest::READABLE));
    let token = io.with_watch(|watch| {
        watch.current = lane.arm(&io);
        match &watch.current {
            Watch::Armed { token, .. } => *token,
            other => panic!("{other:?}"),
        }
    });
    lane.flush();
    (reader, writer, io, token)
}

#[test]
fn h32_unknown_completions_are_counted_and_ignored() {
    let mut lane = lane();
    let (_reader, mut writer, io, token) = armed_pair(&mut lane);
    let stale = Token::new(Kind::Poll, token.generation() + 1, token.index());
    let absent = Token::new(Kind::Poll, 0, 1_000_000);
    let strange = [Token::from_raw(0), Token::from_raw(u64::MAX), Token::from_raw(1 << 63), stale, absent];
    for (n, token) in strange.into_iter().enumerate() {
        for result in [0, 1, -libc::ECANCELED] {
            let aftermath = receive(&mut lane, cqe(token, result));
            assert!(aftermath.wakers.is_empty() && aftermath.released.is_empty());
        }
        assert_eq!(lane.stale, 3 * (n as u64 + 1));
    }
    // Nor does a cancel's completion do anything to a poll that nobody cancels.
    let cancel = Token::new(Kind::Cancel, token.generation(), token.index());
    for result in [-libc::EALREADY, -libc::ENOENT] {
        receive(&mut lane, cqe(cancel, result));
    }
    assert_eq!(lane.in_flight(), 1);
    assert!(io.ready_event(Interest::READABLE).ready.is_empty());

    // The poll itself is as good as ever.
    writer.write_all(b"x").unwrap();
    lane.turn(Wait::For(Duration::from_secs(5)), &mut Aftermath::default());
    assert!(io.ready_event(Interest::READABLE).ready.is_readable());
    drop(lane.drain(Ending::Shutdown));
    assert_eq!(lane.in_flight(), 0);
}

#[test]
fn h02_a_cancel_that_came_too_early_is_sent_again() {
    let mut lane = lane();
    let (_reader, _writer, _io, token) = armed_pair(&mut lane);
    // Its cancel is on the way ...
    assert!(lane.remote.slots.lock().close(token).is_some());
    // ... and found an event just being delivered: the poll stays armed.
    receive(&mut lane, cqe(Token::new(Kind::Cancel, token.generation(), token.index()), -libc::EALREADY));
    let start = Instant::now();
    while lane.in_flight() > 0 {
        assert!(start.elapsed() < Duration::from_secs(5), "the poll is still armed");
        lane.turn(Wait::For(Duration::from_millis(1)), &mut Aftermath::default());
    }
}

/// The cancel found a result just being delivered. What has one result only ends with that; what has
/// many would stay.
#[test]
fn h14_a_cancel_that_came_too_early_is_sent_again_to_what_has_many_results() {
    for is_multishot in [true, false] {
        let mut lane = lane();
        let (fd, _peer) = UnixStream::pair().unwrap();
        assert!(lane.launch(Arc::new(Watching { fd: Some(fd), is_multishot, holds_clock: false })).is_none());
        lane.flush();
        let [token] = lane.ops.tokens()[..] else { panic!("it is not in flight") };
        let cancel = Token::new(Kind::OpCancel, token.generation(), token.index());
        receive(&mut lane, cqe(cancel, -libc::ENOENT));
        assert_eq!(lane.ops.len(), 1);
        receive(&mut lane, cqe(cancel, -libc::EALREADY));
        lane.turn(Wait::For(Duration::from_millis(1)), &mut Aftermath::default());
        assert_eq!(lane.ops.len(), usize::from(!is_multishot));
        drop(lane.drain(Ending::Shutdown));
        assert_eq!(lane.ops.len(), 0);
    }
}

/// Before Linux 6.13 a poll of an eventfd is the doorbell for threads without a ring.
#[test]
fn h05_the_doorbells_poll_is_armed_again() {
    let script = fault::Script::default().before_6_13();
    let _installed = script.install();
    let mut lane = lane();
    for _ in 0..3 {
        // It ends, as by an overflow.
        lane.ring.push(Sqe::cancel(DOORBELL_WATCH));
        lane.flush();
        lane.turn(Wait::No, &mut Aftermath::default());
        lane.flush();

        lane.remote.doorbell.ring();
        let start = Instant::now();
        lane.turn(Wait::For(Duration::from_secs(5)), &mut Aftermath::default());
        assert!(start.elapsed() < Duration::from_secs(5), "nobody heard the bell");
    }
    drop(lane.drain(Ending::Shutdown));
    assert_eq!(lane.in_flight(), 0);
}

#[test]
fn h24_mail_is_found_without_its_doorbell() {
    let mut lane = lane();
    // The doorbell is off, as for a ring about to end: nothing reaches the ring itself.
    lane.remote.doorbell.remove();
    let (reader, mut writer) = UnixStream::pair().unwrap();
    let io = Arc::new(ScheduledIo::new(reader.as_raw_fd(), Interest::READABLE));
    io.with_watch(|watch| watch.current = Watch::Requested);
    assert!(lane.remote.send(Message::Watch(io.clone())).is_ok());
    writer.write_all(b"x").unwrap();
    let mut aftermath = Aftermath::default();
    lane.turn(Wait::No, &mut aftermath);
    lane.turn(Wait::No, &mut aftermath);
    assert!(io.ready_event(Interest::READABLE).ready.is_readable());
    drop(lane.drain(Ending::Shutdown));
}

/// The only shard of a runtime, driven by this thread.
fn shard(runtime: u64) -> (Shards, Driver) {
    let (shards, mut drivers) = Shards::new(runtime, 1, true).unwrap();
    let mut driver = drivers.pop().unwrap();
    driver.attach().unwrap();
    (shards, driver)
}

/// A listener that is watched.
fn watched_listener(shards: &Shards) -> (TcpListener, Arc<ScheduledIo>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let io = Arc::new(ScheduledIo::new(listener.as_raw_fd(), Interest::READABLE));
    shards.watch(&io);
    turn(Wait::No);
    (listener, io)
}

/// Closes the listener on this thread, which does not own its poll; is its address free then?
fn close_here(shards: &Shards, listener: TcpListener, io: &Arc<ScheduledIo>) -> std::io::Result<()> {
    let addr = listener.local_addr().unwrap();
    shards.unwatch(io, Some(listener.into()));
    TcpListener::bind(addr).map(drop)
}

#[test]
fn h03_a_foreign_drop_waits_for_a_poll_being_given_up() {
    let _ports = fault::without_children();
    let (shards, mut driver) = shard(901);
    let (listener, io) = watched_listener(&shards);
    // The cancel is on its way only.
    with(|lane| lane.give_up(io.clone()));
    std::thread::scope(|scope| {
        let closed = scope.spawn(|| close_here(&shards, listener, &io));
        let (remote, start) = (shards.remote(0), Instant::now());
        while !remote.has_mail() && start.elapsed() < Duration::from_millis(20) {
            std::thread::yield_now();
        }
        while !closed.is_finished() {
            turn(Wait::No);
        }
        closed.join().unwrap().unwrap();
    });
    driver.shutdown();
}

#[test]
fn h03_a_foreign_drop_waits_for_a_ring_being_drained() {
    let _ports = fault::without_children();
    for shut_down in [false, true] {
        let (shards, mut driver) = shard(902);
        let (listener, io) = watched_listener(&shards);
        let remote = shards.remote(0);
        // The kernel does not take the cancels for a while.
        let script = fault::Script::default().fail(Call::Enter, libc::EAGAIN, 0..2_000);
        let _installed = script.install();
        std::thread::scope(|scope| {
            let closed = scope.spawn(|| {
                while !remote.slots.lock().armed().is_empty() {
                    std::hint::spin_loop();
                }
                close_here(&shards, listener, &io)
            });
            if shut_down {
                driver.shutdown()
            } else {
                driver.detach()
            }
            closed.join().unwrap().unwrap();
        });
        driver.shutdown();
    }
}

#[test]
fn h22_a_visitor_leaves_when_the_owner_closes_a_stream() {
    const LONG: Duration = Duration::from_secs(10);

    let mut lane = lane();
    let (reader, mut peer, io, token) = armed_pair(&mut lane);
    // Somebody waits for it, else there is nothing to look after.
    let waker = Waker::noop();
    let mut cx = std::task::Context::from_waker(waker);
    assert!(io.poll_readiness(&mut cx, crate::driver::Direction::Read).is_pending());

    let remote = lane.remote.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (_shards, mut visitor) = shard(903);
            turn_for(&remote, LONG);
            visitor.shutdown();
        });
        while remote.visit(&remote).is_some() {
            std::thread::sleep(Duration::from_micros(100));
        }
        // It sits in its poll(2) by now.
        std::thread::sleep(Duration::from_millis(20));
        assert!(lane.cancel_now(token).is_some());
        let start = Instant::now();
        remote.close(Some(reader.into()));
        peer.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(peer.read(&mut [0]).map_err(|e| e.kind()), Ok::<_, ErrorKind>(0));
        assert!(start.elapsed() < LONG / 2, "the end came after {:?}", start.elapsed());
    });
    drop(lane.drain(Ending::Shutdown));
}

/// A worker goes to block in place between the look for its ring and the message.
#[test]
fn h56_an_operation_for_a_ring_that_was_just_replaced_goes_to_the_new_one() {
    let (shards, mut drivers) = Shards::new(1, 1, true).unwrap();
    let old = shards.remote(0);
    let mut driver = shards.replace(0).unwrap();
    let chain = || Message::LaunchChain(Arc::new(Chain::new(Vec::new(), false)));
    assert!(shards.try_deliver(old.clone(), chain()).is_ok());
    assert!(shards.remote(0).has_mail() && !old.has_mail());
    driver.shutdown();
    assert!(shards.try_deliver(old, chain()).is_err(), "there is no ring any more");
    drivers.iter_mut().for_each(Driver::shutdown);
}

#[test]
fn h56_a_wait_for_a_ring_that_was_just_replaced_goes_to_the_new_one() {
    let (shards, mut drivers) = Shards::new(904, 1, true).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = || {
            while !is_over.load(Relaxed) {
                let io = Arc::new(ScheduledIo::new(-1, Interest::READABLE));
                shards.watch(&io);
                assert!(!io.ready_event(Interest::READABLE).is_shutdown, "told that the runtime is gone");
            }
        };
        let watchers = [scope.spawn(watch), scope.spawn(watch)];
        // Few: a ring counts against the memory that a user may lock.
        for _ in 0..24 {
            drivers.push(shards.replace(0).unwrap());
            std::thread::sleep(Duration::from_micros(200));
        }
        is_over.store(true, Relaxed);
        watchers.into_iter().for_each(|watcher| watcher.join().unwrap());
    });
    drivers.iter_mut().for_each(Driver::shutdown);
}
