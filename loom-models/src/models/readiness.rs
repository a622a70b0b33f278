//! The readiness word, its tick and its waiters.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::Notify;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{AcqRel, Acquire};
use loom::thread;

use crate::driver::scheduled_io::{Direction, Readiness, ScheduledIo};
use crate::driver::{Interest, Ready};

/// A waker that ends a wait.
struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

fn bell() -> (Arc<Bell>, Waker) {
    let bell = Arc::new(Bell(Notify::new()));
    (bell.clone(), Waker::from(bell))
}

/// All interleavings of up to four preemptions.
fn check(scene: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(scene);
}

struct Socket {
    io: ScheduledIo,
    /// What the kernel holds for the reader.
    bytes: AtomicUsize,
}

fn socket() -> Arc<Socket> {
    Arc::new(Socket { io: ScheduledIo::new(-1, Interest::READABLE), bytes: AtomicUsize::new(0) })
}

impl Socket {
    /// Data comes in, and then the ring reports it.
    fn event(&self) {
        self.bytes.fetch_add(1, AcqRel);
        self.io.set_readiness(Ready::READABLE);
        let mut wakers = Vec::new();
        self.io.take_wakers(Ready::READABLE, &mut wakers);
        for waker in wakers {
            waker.wake();
        }
    }

    /// A read that empties the socket; 0 is `WouldBlock`.
    fn read(&self) -> usize {
        self.bytes.swap(0, AcqRel)
    }
}

#[test]
fn h06_no_edge_is_lost_between_a_clear_and_an_event() {
    check(|| {
        let socket = socket();
        let driver = thread::spawn({
            let socket = socket.clone();
            move || {
                socket.event();
                socket.event();
            }
        });
        let mut got = 0;
        let (bell, waker) = bell();
        let mut cx = Context::from_waker(&waker);
        while got < 2 {
            // `Registration::poll_io`.
            match socket.io.poll_readiness(&mut cx, Direction::Read) {
                Poll::Pending => bell.0.wait(),
                Poll::Ready(event) => match socket.read() {
                    0 => socket.io.clear_readiness(&event),
                    n => got += n,
                },
            }
        }
        driver.join().unwrap();
        socket.io.clear_wakers();
    });
}

/// The same with the shortcut of a read that found the end of the data.
#[test]
fn h06_a_short_read_clears_only_what_it_saw() {
    check(|| {
        let socket = socket();
        let driver = thread::spawn({
            let socket = socket.clone();
            move || {
                socket.event();
                socket.event();
            }
        });
        let mut got = 0;
        let (bell, waker) = bell();
        let mut cx = Context::from_waker(&waker);
        while got < 2 {
            match socket.io.poll_readiness(&mut cx, Direction::Read) {
                Poll::Pending => bell.0.wait(),
                Poll::Ready(event) => {
                    got += socket.read();
                    socket.io.clear_readiness(&event);
                }
            }
        }
        driver.join().unwrap();
        socket.io.clear_wakers();
    });
}

/// `readiness` futures have wakers of their own.
#[test]
fn h06_a_listed_waiter_sees_the_event_or_is_woken() {
    loom::model(|| {
        let socket = socket();
        let driver = thread::spawn({
            let socket = socket.clone();
            move || socket.event()
        });
        let (bell, waker) = bell();
        let mut cx = Context::from_waker(&waker);
        let mut readiness = pin!(Readiness::new(&socket.io, Interest::READABLE, || Ok(())));
        loop {
            match readiness.as_mut().poll(&mut cx) {
                Poll::Pending => bell.0.wait(),
                Poll::Ready(event) => {
                    assert!(event.unwrap().ready.is_readable());
                    break;
                }
            }
        }
        driver.join().unwrap();
    });
}

/// Once shut down, a wait ends, whatever is cleared meanwhile.
#[test]
fn h06_the_shutdown_bit_survives_a_clear() {
    loom::model(|| {
        let socket = socket();
        socket.io.set_readiness(Ready::READABLE);
        let driver = thread::spawn({
            let socket = socket.clone();
            move || {
                let mut wakers = Vec::new();
                socket.io.shutdown(&mut wakers);
                for waker in wakers {
                    waker.wake();
                }
            }
        });
        let (bell, waker) = bell();
        let mut cx = Context::from_waker(&waker);
        loop {
            match socket.io.poll_readiness(&mut cx, Direction::Read) {
                Poll::Pending => bell.0.wait(),
                Poll::Ready(event) if event.is_shutdown => break,
                Poll::Ready(event) => socket.io.clear_readiness(&event),
            }
        }
        driver.join().unwrap();
        assert_eq!(socket.bytes.load(Acquire), 0);
    });
}
