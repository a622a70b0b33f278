//! An engine and completions it did not expect.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Instant;

use super::*;
use crate::driver::Interest;
use crate::driver::parking::Place;
use crate::driver::scheduled_io::ScheduledIo;
use crate::driver::set::WatchSet;
use crate::driver::shards::Shards;
use crate::driver::uring::ops::tests::Watching;
use crate::sys::fault;

/// Nothing takes that long.
const LONG: Duration = Duration::from_secs(10);

/// The only shard of a runtime.
fn shards() -> Shards {
    Shards::new(1, 1, Some(WatchSet::new().unwrap()), true)
}

fn engine(shards: &Shards) -> Box<Engine> {
    Box::new(Engine::new(shards.shard(0)).unwrap())
}

/// Has the engine receive `cqe`, as if the kernel had sent it.
fn receive(engine: &mut Engine, cqe: Cqe) -> Aftermath {
    let ring = engine.ring.as_raw_fd();
    engine.ring.push(Sqe::forge(ring, cqe));
    let mut aftermath = Aftermath::default();
    // Once to send it, once for what it leads to.
    engine.look(None, &mut aftermath);
    engine.look(None, &mut aftermath);
    aftermath
}

fn cqe(token: Token, result: i32) -> Cqe {
    Cqe { token, result, more: false, flags: 0 }
}

/// Has the engine watch a socket, as an operation; also its peer.
fn watching(engine: &mut Engine, is_multishot: bool) -> (UnixStream, Token) {
    let (fd, peer) = UnixStream::pair().unwrap();
    assert!(engine.launch(Arc::new(Watching { fd: Some(fd), is_multishot, holds_clock: false })).is_none());
    engine.flush();
    let [token] = engine.ops.tokens()[..] else { panic!("it is not in flight") };
    (peer, token)
}

fn end(engine: Box<Engine>) {
    let (recalled, mut aftermath) = engine.end(Ending::Shutdown, None);
    drop(recalled);
    aftermath.finish();
}

#[test]
fn h32_unknown_completions_are_counted_and_ignored() {
    let shards = shards();
    let mut engine = engine(&shards);
    let (_peer, token) = watching(&mut engine, true);
    let stale = Token::new(Kind::Op, token.generation() + 1, token.index());
    let absent = Token::new(Kind::Op, 0, 1_000_000);
    let strange = [Token::from_raw(0), Token::from_raw(u64::MAX), Token::from_raw(1 << 63), stale, absent];
    for (n, token) in strange.into_iter().enumerate() {
        for result in [0, 1, -libc::ECANCELED] {
            let aftermath = receive(&mut engine, cqe(token, result));
            assert!(aftermath.is_empty() && aftermath.flights.is_empty());
        }
        assert_eq!(engine.stale, 3 * (n as u64 + 1));
    }
    // Nor does the end of a wait that nobody began do anything.
    assert!(receive(&mut engine, cqe(Token::new(Kind::SetWait, 0, 0), 1)).is_empty());
    assert_eq!(engine.in_flight(), 1 + usize::from(engine.watches_doorbell));
    end(engine);
}

/// The cancel found a result just being delivered. What has one result only ends with that; what has
/// many would stay.
#[test]
fn h14_a_cancel_that_came_too_early_is_sent_again_to_what_has_many_results() {
    for is_multishot in [true, false] {
        let shards = shards();
        let mut engine = engine(&shards);
        let (_peer, token) = watching(&mut engine, is_multishot);
        let cancel = Token::new(Kind::OpCancel, token.generation(), token.index());
        receive(&mut engine, cqe(cancel, -libc::ENOENT));
        assert_eq!(engine.ops.len(), 1);
        receive(&mut engine, cqe(cancel, -libc::EALREADY));
        let mut aftermath = Aftermath::default();
        engine.pause();
        engine.look(None, &mut aftermath);
        aftermath.finish();
        assert_eq!(engine.ops.len(), usize::from(!is_multishot));
        end(engine);
    }
}

/// Before Linux 6.13 a poll of an eventfd is the doorbell for threads without a ring.
#[test]
fn h05_the_doorbells_poll_is_armed_again() {
    let script = fault::Script::default().before_6_13();
    let _installed = script.install();
    let shards = shards();
    let mut engine = engine(&shards);
    for _ in 0..3 {
        // It ends, as by an overflow.
        engine.ring.push(Sqe::cancel(DOORBELL_WATCH));
        engine.flush();
        engine.look(None, &mut Aftermath::default());
        engine.flush();

        engine.remote.doorbell.ring();
        let start = Instant::now();
        engine.sleep(None, Wait::For(Duration::from_secs(5)));
        engine.look(None, &mut Aftermath::default());
        assert!(start.elapsed() < Duration::from_secs(5), "nobody heard the bell");
    }
    end(engine);
}

#[test]
fn h24_mail_is_found_without_its_doorbell() {
    let shards = shards();
    let mut engine = engine(&shards);
    let (_peer, token) = watching(&mut engine, false);
    // The doorbell is off, as for a ring about to end: nothing reaches the ring itself.
    engine.remote.doorbell.remove();
    let remote = engine.remote.clone();
    std::thread::spawn(move || remote.send(Message::Cancel(token))).join().unwrap();
    engine.take_mail();
    let mut aftermath = Aftermath::default();
    engine.pause();
    engine.look(None, &mut aftermath);
    aftermath.finish();
    assert_eq!(engine.ops.len(), 0);
    end(engine);
}

/// A resource of the set, and the peer that makes it readable.
fn member(set: &WatchSet) -> (Arc<ScheduledIo>, UnixStream, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    let io = Arc::new(ScheduledIo::new(ours.as_raw_fd(), Interest::READABLE));
    set.add(&io).unwrap();
    (io, ours, peer)
}

fn is_readable(io: &ScheduledIo) -> bool {
    io.ready_event(Interest::READABLE).ready.is_readable()
}

#[test]
fn a_ring_waits_in_the_set_as_well() {
    let shards = shards();
    let mut engine = engine(&shards);
    if !engine.can_wait_in_set() {
        // Before Linux 6.15 the thread waits in the set.
        return end(engine);
    }
    let set = shards.set.as_deref().unwrap();
    let (io, _ours, mut peer) = member(set);
    for _ in 0..3 {
        io.clear_readiness(&io.ready_event(Interest::READABLE));
        peer.write_all(b"x").unwrap();
        engine.sleep(Some(set), Wait::For(Duration::from_secs(5)));
        engine.look(Some(set), &mut Aftermath::default());
        assert!(is_readable(&io) && !engine.is_busy());
    }
    // Taken back, it takes no event along.
    engine.sleep(Some(set), Wait::For(Duration::from_micros(1)));
    assert!(engine.is_busy());
    engine.sleep(None, Wait::For(Duration::from_secs(5)));
    engine.look(Some(set), &mut Aftermath::default());
    assert!(!engine.is_busy());
    io.clear_readiness(&io.ready_event(Interest::READABLE));
    peer.write_all(b"x").unwrap();
    let mut events = crate::sys::epoll::Events::new();
    set.wait(&mut events, Wait::No);
    set.serve(&events, &mut Vec::new());
    assert!(is_readable(&io));
    end(engine);
}

/// What waits in the set while a thread ends its ring goes to others.
#[test]
fn h11_an_engine_ends_with_its_wait_in_the_set() {
    let shards = shards();
    let mut engine = engine(&shards);
    let set = shards.set.as_deref().unwrap();
    let (io, _ours, mut peer) = member(set);
    if engine.can_wait_in_set() {
        engine.sleep(Some(set), Wait::For(Duration::from_micros(1)));
    }
    peer.write_all(b"x").unwrap();
    let (_, mut aftermath) = engine.end(Ending::HandOver, Some(set));
    aftermath.finish();
    let mut events = crate::sys::epoll::Events::new();
    set.wait(&mut events, Wait::No);
    set.serve(&events, &mut Vec::new());
    assert!(is_readable(&io));
}

/// Where a ring cannot wait in the set, what comes to it rings the set's bell.
#[test]
fn a_ring_rings_the_bell_of_the_set() {
    let shards = shards();
    let mut engine = engine(&shards);
    let set = shards.set.as_deref().unwrap();
    let (mut peer, _token) = watching(&mut engine, true);
    let mut events = crate::sys::epoll::Events::new();
    for _ in 0..3 {
        assert!(engine.call(set));
        peer.write_all(b"x").unwrap();
        let start = Instant::now();
        set.wait(&mut events, Wait::For(Duration::from_secs(5)));
        assert!(start.elapsed() < Duration::from_secs(5), "the bell is silent");
        // What came before is not told again: then the thread must not sleep.
        engine.hush();
        assert!(!engine.call(set));
        engine.hush();
        engine.look(Some(set), &mut Aftermath::default());
    }
    end(engine);
}

/// A wait in the set that is still armed takes the bell of the thread that sleeps there now, if the ring is
/// faster.
#[test]
fn h72_a_bell_that_a_ring_takes_wakes_whom_it_is_for() {
    let shards = shards();
    let mut engine = engine(&shards);
    if !engine.can_wait_in_set() {
        return end(engine);
    }
    let (set, sleeper) = (shards.set.as_deref().unwrap(), shards.shard(0));
    for _ in 0..2_000 {
        engine.sleep(Some(set), Wait::For(Duration::from_micros(1)));
        thread::scope(|scope| {
            let asleep = scope.spawn(|| {
                let hold = set.try_hold().unwrap();
                hold.listen();
                assert!(sleeper.parking.start(Place::Set));
                let start = Instant::now();
                set.wait(&mut crate::sys::epoll::Events::new(), Wait::For(LONG));
                sleeper.parking.stop();
                drop(hold);
                start.elapsed()
            });
            while !sleeper.progress().is_parked {
                thread::yield_now();
            }
            thread::sleep(Duration::from_micros(50));
            sleeper.unpark();
            engine.look(Some(set), &mut Aftermath::default());
            assert!(asleep.join().unwrap() < LONG, "the bell rang for nobody");
        });
    }
    end(engine);
}

/// A task that wakes another thread may go on for long: until then no event is in the hands of its ring.
#[test]
fn h72_a_message_takes_no_event_out_of_the_set() {
    let shards = shards();
    let mut engine = engine(&shards);
    if !engine.can_wait_in_set() {
        return end(engine);
    }
    let set = shards.set.as_deref().unwrap();
    let (_io, _ours, mut peer) = member(set);
    engine.sleep(Some(set), Wait::For(Duration::from_micros(1)));
    peer.write_all(b"x").unwrap();
    let other = Engine::new(shards.shard(0)).unwrap();
    assert_eq!(engine.send_message(other.remote()), Rung::Heard);
    let mut events = crate::sys::epoll::Events::new();
    set.wait(&mut events, Wait::No);
    assert_eq!(events.iter().count(), 1);
    end(Box::new(other));
    end(engine);
}
