use super::{Shards, Watch};

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::driver::Interest;
use crate::driver::scheduled_io::{Direction, ScheduledIo};
use crate::driver::uring::SETTLED;
use crate::sys::uring::Wait;

/// Two shards of a runtime that no other test has.
fn two(runtime: u64) -> (Shards, Vec<super::Driver>) {
    Shards::new(u64::MAX - runtime, 2).unwrap()
}

/// A resource, and the peer that makes it readable.
fn resource() -> (Arc<ScheduledIo>, UnixStream, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    (Arc::new(ScheduledIo::new(ours.as_raw_fd(), Interest::READABLE)), ours, peer)
}

fn is_readable(io: &ScheduledIo) -> bool {
    io.ready_now(Direction::Read).is_some()
}

fn members(shards: &Shards) -> Vec<usize> {
    shards.shards.iter().map(|shard| shard.members.lock().slab.len()).collect()
}

#[test]
fn h04_an_event_of_who_has_left_is_nobodys() {
    let (shards, drivers) = two(0);
    let (old, _ours, mut peer) = resource();
    shards.watch(&old).unwrap();
    peer.write_all(b"x").unwrap();

    // Collected, but not looked at yet.
    let shard = &drivers[0].shard;
    let mut waiting = shard.waiting.lock();
    let epoll = waiting.as_mut().unwrap();
    epoll.wait(Wait::No).unwrap();
    assert_eq!(epoll.events().count(), 1);

    shards.unwatch(&old, None);
    let (new, _ours, _peer) = resource();
    shards.shards[0].register(&new).unwrap();
    assert_eq!(members(&shards), [1, 0]);
    shard.collect(epoll, &mut Vec::new());
    assert!(!is_readable(&new) && !is_readable(&old));
}

#[test]
fn a_watch_follows_a_task_that_has_settled_elsewhere() {
    let (shards, mut drivers) = two(1);
    let (io, _ours, mut peer) = resource();
    drivers[0].attach();
    shards.watch(&io).unwrap();
    drivers[0].detach();
    assert_eq!(members(&shards), [1, 0]);

    drivers[1].attach();
    for waits in 1..=SETTLED {
        assert_eq!(members(&shards), [1, 0], "after {waits} waits");
        shards.watch(&io).unwrap();
    }
    assert_eq!(members(&shards), [0, 1]);

    peer.write_all(b"x").unwrap();
    drivers[0].turn(Wait::No);
    assert!(!is_readable(&io));
    drivers[1].turn(Wait::No);
    assert!(is_readable(&io));
    drivers[1].detach();
    shards.unwatch(&io, None);
    assert_eq!(members(&shards), [0, 0]);
}

#[test]
fn what_the_kernel_refuses_to_watch_is_an_error() {
    let (shards, _drivers) = two(2);
    let file = File::open("/proc/self/exe").unwrap();
    let io = Arc::new(ScheduledIo::new(file.as_raw_fd(), Interest::READABLE));
    let error = shards.watch(&io).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    assert!(!io.is_watched());
    assert!(io.with_watch(|watch| matches!(watch.current, Watch::Idle)));
    assert_eq!(members(&shards), [0, 0]);
}

#[test]
fn a_stalled_siblings_events_are_taken_and_its_wake_up_is_not() {
    let (shards, mut drivers) = two(3);
    let (io, _ours, mut peer) = resource();
    assert!(io.poll_readiness(&mut Context::from_waker(Waker::noop()), Direction::Read).is_pending());
    drivers[1].attach();
    shards.watch(&io).unwrap();
    drivers[1].detach();
    peer.write_all(b"x").unwrap();
    drivers[0].turn_for(shards.shard(1), Duration::from_secs(10));
    assert!(is_readable(&io));

    // It is back and sleeps: a visitor takes nothing from it.
    let mut sleeper = drivers.pop().unwrap();
    let asleep = std::thread::spawn(move || sleeper.turn(Wait::For(Duration::from_secs(60))));
    while !shards.progress(1).is_parked {
        std::thread::yield_now();
    }
    let start = Instant::now();
    shards.unpark(1);
    drivers[0].turn_for(shards.shard(1), Duration::ZERO);
    asleep.join().unwrap();
    assert!(start.elapsed() < Duration::from_secs(30));
    // The resource and what watches it hold each other.
    shards.unwatch(&io, None);
}

#[test]
fn after_the_shutdown_nothing_is_open_and_all_are_told() {
    let (shards, mut drivers) = two(4);
    let (io, _ours, _peer) = resource();
    shards.watch(&io).unwrap();
    drivers.iter_mut().for_each(super::Driver::shutdown);
    assert!(io.ready_event(Interest::READABLE).is_shutdown);
    assert!(shards.shards.iter().all(|shard| shard.waiting.lock().is_none() && shard.waker.lock().is_none()));
    assert!(shards.shards.iter().all(|shard| shard.members.lock().registry.is_none()));

    // Who comes too late is told as well.
    let (late, _ours, _peer) = resource();
    shards.watch(&late).unwrap();
    assert!(late.ready_event(Interest::READABLE).is_shutdown);
    shards.unpark(0);
}
