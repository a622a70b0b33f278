use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::WatchSet;
use crate::driver::Interest;
use crate::driver::scheduled_io::{Direction, ScheduledIo, Watch};
use crate::driver::shards::Shards;
use crate::sys::epoll::{Epoll, Events};
use crate::sys::event_fd::EventFd;
use crate::sys::uring::Wait;
use crate::sys::{fault, poll};

const LONG: Duration = Duration::from_secs(30);

/// Shards of a runtime that no other test has, without rings.
fn shards(runtime: u64) -> Shards {
    Shards::new(u64::MAX - runtime, 2, Some(WatchSet::new().unwrap()), false)
}

/// A resource, and the peer that makes it readable.
fn resource() -> (Arc<ScheduledIo>, UnixStream, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    (Arc::new(ScheduledIo::new(ours.as_raw_fd(), Interest::READABLE)), ours, peer)
}

fn is_readable(io: &ScheduledIo) -> bool {
    io.ready_now(Direction::Read).is_some()
}

/// Takes and enters what is there.
fn look(set: &WatchSet) {
    let mut events = Events::new();
    set.wait(&mut events, Wait::No);
    set.serve(&events, &mut Vec::new());
}

/// How often the alarm wakes, in one look.
fn heard(set: &WatchSet) -> usize {
    let (mut events, mut wakers) = (Events::new(), Vec::new());
    set.wait(&mut events, Wait::No);
    set.serve(&events, &mut wakers);
    wakers.len()
}

#[test]
fn the_alarm_wakes_once_for_what_happens_in_another_instance() {
    let set = WatchSet::new().unwrap();
    let other = Epoll::new().unwrap();
    let bells = [EventFd::new().unwrap(), EventFd::new().unwrap()];
    other.add(bells[0].as_raw_fd(), poll::IN, 0).unwrap();

    set.set_alarm(other.as_raw_fd(), Waker::noop().clone()).unwrap();
    assert_eq!(heard(&set), 0);
    // One that comes later.
    other.add(bells[1].as_raw_fd(), poll::IN, 1).unwrap();
    assert_eq!(heard(&set), 0);
    bells[1].ring().unwrap();
    assert_eq!(heard(&set), 1);
    bells[0].ring().unwrap();
    assert_eq!(heard(&set), 0);

    // Readable already.
    set.end_alarm(other.as_raw_fd());
    set.set_alarm(other.as_raw_fd(), Waker::noop().clone()).unwrap();
    assert_eq!((heard(&set), heard(&set)), (1, 0));

    set.end_alarm(other.as_raw_fd());
    bells[0].ring().unwrap();
    assert_eq!(heard(&set), 0);
    assert_eq!(set.len(), 0);
}

#[test]
fn h04_an_event_of_who_has_left_is_nobodys() {
    let set = WatchSet::new().unwrap();
    let (old, _ours, mut peer) = resource();
    let token = set.add(&old).unwrap().unwrap();
    peer.write_all(b"x").unwrap();

    // Taken, but not entered yet.
    let mut events = Events::new();
    set.wait(&mut events, Wait::No);
    assert_eq!(events.iter().count(), 1);

    drop(set.remove(old.fd(), token));
    let (new, _ours, _peer) = resource();
    set.add(&new).unwrap();
    assert_eq!(set.len(), 1);
    set.serve(&events, &mut Vec::new());
    assert!(!is_readable(&new) && !is_readable(&old));
}

#[test]
fn h07_what_the_kernel_refuses_to_watch_is_an_error() {
    let shards = shards(1);
    let file = File::open("/proc/self/exe").unwrap();
    let io = Arc::new(ScheduledIo::new(file.as_raw_fd(), Interest::READABLE));
    assert_eq!(shards.watch(&io).unwrap_err().raw_os_error(), Some(libc::EPERM));
    assert!(!io.is_watched());
    assert!(io.with_watch(|watch| *watch == Watch::Idle));

    let (first, _ours, _peer) = resource();
    shards.watch(&first).unwrap();
    let twin = Arc::new(ScheduledIo::new(first.fd(), Interest::READABLE));
    assert_eq!(shards.watch(&twin).unwrap_err().raw_os_error(), Some(libc::EEXIST));
    assert_eq!(shards.set.as_ref().unwrap().len(), 1);
    shards.unwatch(&first, None);
    shards.watch(&twin).unwrap();
    shards.unwatch(&twin, None);
    assert_eq!(shards.set.as_ref().unwrap().len(), 0);
}

/// Nobody looks into the set meanwhile, and nobody needs to.
#[test]
fn h03_what_is_let_go_of_is_gone_at_once_on_any_thread() {
    let _ports = fault::without_children();
    let shards = shards(2);
    let unwatch = |io: &ScheduledIo, fd| {
        thread::scope(|scope| scope.spawn(|| shards.unwatch(io, Some(fd))).join().unwrap())
    };
    let (io, ours, mut peer) = resource();
    shards.watch(&io).unwrap();
    unwatch(&io, ours.into());
    peer.set_nonblocking(true).unwrap();
    assert_eq!(peer.read(&mut [0]).map_err(|e| e.kind()), Ok(0));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let io = Arc::new(ScheduledIo::new(listener.as_raw_fd(), Interest::READABLE));
    shards.watch(&io).unwrap();
    unwatch(&io, listener.into());
    drop(TcpListener::bind(addr).unwrap());

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let io = Arc::new(ScheduledIo::new(socket.as_raw_fd(), Interest::READABLE));
    shards.watch(&io).unwrap();
    unwatch(&io, socket.into());
    drop(UdpSocket::bind(addr).unwrap());
}

/// A file that others share is let go of, and not shut down for them.
#[test]
fn h61_a_duplicate_outlives_what_is_let_go_of() {
    let shards = shards(3);
    let (io, ours, mut peer) = resource();
    let mut duplicate = ours.try_clone().unwrap();
    shards.watch(&io).unwrap();
    shards.unwatch(&io, Some(ours.into()));
    peer.write_all(b"x").unwrap();
    look(shards.set.as_ref().unwrap());
    assert!(!is_readable(&io), "the set goes on reporting what has left it");
    assert_eq!(duplicate.read(&mut [0; 2]).unwrap(), 1);
    duplicate.write_all(b"y").unwrap();
    assert_eq!(peer.read(&mut [0; 2]).unwrap(), 1);
    peer.set_nonblocking(true).unwrap();
    assert_eq!(peer.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// The wakers that a thread finds go to it alone.
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn h36_each_event_comes_to_one_of_several_threads() {
    const EVENTS: usize = 2_000;

    let set = WatchSet::new().unwrap();
    let (io, mut ours, mut peer) = resource();
    ours.set_nonblocking(true).unwrap();
    let token = set.add(&io).unwrap().unwrap();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let is_over = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut events = Events::new();
                let mut wakers = Vec::new();
                while !is_over.load(SeqCst) {
                    if let Some(_hold) = set.try_hold() {
                        set.wait(&mut events, Wait::For(Duration::from_millis(1)));
                        set.serve(&events, &mut wakers);
                    }
                    wakers.drain(..).for_each(Waker::wake);
                }
            });
        }
        let waker = Waker::from(count.clone());
        for n in 0..EVENTS {
            io.clear_readiness(&io.ready_event(Interest::READABLE));
            assert!(io.poll_readiness(&mut Context::from_waker(&waker), Direction::Read).is_pending());
            peer.write_all(b"x").unwrap();
            let start = Instant::now();
            while count.0.load(SeqCst) == n {
                assert!(start.elapsed() < LONG, "event {n} is lost");
                thread::yield_now();
            }
            assert_eq!(ours.read(&mut [0; 2]).unwrap(), 1);
        }
        is_over.store(true, SeqCst);
    });
    assert_eq!(count.0.load(SeqCst), EVENTS);
    drop(set.remove(io.fd(), token));
}

#[test]
fn the_bell_ends_a_sleep_and_is_nobodys_event() {
    let set = WatchSet::new().unwrap();
    let (io, _ours, _peer) = resource();
    let token = set.add(&io).unwrap().unwrap();
    for _ in 0..3 {
        thread::scope(|scope| {
            let asleep = scope.spawn(|| {
                let _hold = set.try_hold().unwrap();
                let start = Instant::now();
                let mut events = Events::new();
                set.wait(&mut events, Wait::For(LONG));
                set.serve(&events, &mut Vec::new());
                start.elapsed()
            });
            set.ring().unwrap();
            assert!(asleep.join().unwrap() < LONG);
        });
    }
    assert!(!is_readable(&io));
    drop(set.remove(io.fd(), token));
}

#[test]
fn one_thread_at_a_time_holds_the_set() {
    let set = WatchSet::new().unwrap();
    let hold = set.try_hold();
    for _ in 0..2 {
        // Nor does asking for it take it away from whoever has it.
        assert!(hold.is_some() && set.try_hold().is_none());
    }
    drop(hold);
    assert!(set.try_hold().is_some());
}

#[test]
fn after_the_end_all_are_told_and_so_is_who_comes_too_late() {
    let shards = shards(4);
    let (io, _ours, _peer) = resource();
    shards.watch(&io).unwrap();
    assert!(!shards.end_of_shard() && shards.end_of_shard());
    shards.close_set();
    assert!(io.ready_event(Interest::READABLE).is_shutdown);

    let (late, _ours, _peer) = resource();
    shards.watch(&late).unwrap();
    assert!(late.ready_event(Interest::READABLE).is_shutdown);
    shards.shard(0).unpark();
}
