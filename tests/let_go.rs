//! Letting go: whoever drops a socket, or takes it out, and wherever: its peer and its address know at once,
//! whatever the thread does that watched it; and whoever has a duplicate keeps it.
//!
//! The task that made the socket waited for it, so that it is watched by that task's thread, the *owner*; then it
//! is idle, or busy without ever yielding, or in `block_in_place`, or yields all the time, until it is told that
//! the peer has seen the end. If it is not told within half a second the test has failed: whatever was to happen
//! did not happen while the owner was like that. On Tokio it takes microseconds.

mod common;
#[path = "let_go/kinds.rs"]
mod kinds;
#[path = "let_go/restart.rs"]
mod restart;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::Notify;

use common::*;
use kinds::{Ends, How, Made};

/// Makes something, and has it watched by the thread it is made on.
type Make = fn(How) -> Pin<Box<dyn Future<Output = Made> + Send>>;

/// How long an owner is as it is, unless it is told that all is well.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the owner does meanwhile.
#[derive(Debug, Clone, Copy)]
enum Owner {
    Idle,
    Busy,
    InPlace,
    Yielding,
}

/// Who lets go.
#[derive(Debug, Clone, Copy)]
enum Where {
    /// The task that made it, just before it does what [`Owner`] says.
    Itself,
    /// A thread that has nothing to do with the runtime.
    Foreign,
    /// Another task, on the other worker if the owner's is not free.
    Sibling,
    /// The same in `block_in_place`.
    SiblingInPlace,
}

const OWNERS: [Owner; 4] = [Owner::Idle, Owner::Busy, Owner::InPlace, Owner::Yielding];
const WHERES: [Where; 4] = [Where::Itself, Where::Foreign, Where::Sibling, Where::SiblingInPlace];

/// Until when an owner is what it is.
#[derive(Default)]
struct Release {
    is_over: AtomicBool,
    notify: Notify,
}

impl Release {
    fn release(&self) {
        self.is_over.store(true, SeqCst);
        self.notify.notify_one();
    }

    /// Is `owner` for so long.
    async fn hold(&self, owner: Owner) {
        let wait = || {
            let start = Instant::now();
            while !self.is_over.load(SeqCst) && start.elapsed() < PATIENCE {
                std::hint::spin_loop();
            }
        };
        match owner {
            Owner::Idle => drop(tokio::time::timeout(PATIENCE, self.notify.notified()).await),
            Owner::Busy => wait(),
            Owner::InPlace => tokio::task::block_in_place(|| {
                let start = Instant::now();
                while !self.is_over.load(SeqCst) && start.elapsed() < PATIENCE {
                    std::thread::sleep(Duration::from_micros(200));
                }
            }),
            Owner::Yielding => {
                let start = Instant::now();
                while !self.is_over.load(SeqCst) && start.elapsed() < PATIENCE {
                    tokio::task::yield_now().await;
                }
            }
        }
        self.is_over.store(true, SeqCst);
    }

    /// Waits for `condition`, as long as the owner is what it is.
    fn sees(&self, ends: &mut Ends) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let is_over = self.is_over.load(SeqCst);
            match ends() {
                Ok(()) => return Ok(()),
                Err(why) if is_over || start.elapsed() > PATIENCE => return Err(why),
                Err(_) => std::thread::sleep(Duration::from_micros(100)),
            }
        }
    }
}

/// One cell of the matrix.
fn cell(rt: &Runtime, at: Where, owner: Owner, how: How, make: Make) -> Result<(), String> {
    let release = Arc::new(Release::default());
    let (sender, receiver) = mpsc::channel();
    let (did_let_go, has_let_go) = mpsc::channel();
    let task = rt.spawn({
        let (release, did_let_go) = (release.clone(), did_let_go.clone());
        async move {
            let Made { let_go, ends } = make(how).await;
            match at {
                Where::Itself if matches!(owner, Owner::InPlace) => {
                    tokio::task::block_in_place(|| {
                        let_go();
                        sender.send((None, ends)).unwrap();
                        did_let_go.send(()).unwrap();
                        while !release.is_over.load(SeqCst) {
                            std::thread::sleep(Duration::from_micros(200));
                        }
                    });
                }
                Where::Itself => {
                    let_go();
                    sender.send((None, ends)).unwrap();
                    did_let_go.send(()).unwrap();
                    release.hold(owner).await;
                }
                _ => {
                    sender.send((Some(let_go), ends)).unwrap();
                    release.hold(owner).await;
                }
            }
        }
    });
    let (let_go, mut ends) = receiver.recv_timeout(LONG).expect("the owner makes nothing");
    // The owner is as it is by now.
    std::thread::sleep(Duration::from_millis(2));
    if let Some(let_go) = let_go {
        let let_go = move || {
            let_go();
            did_let_go.send(()).unwrap();
        };
        match at {
            Where::Itself => unreachable!("it has let go"),
            Where::Foreign => drop(std::thread::spawn(let_go)),
            Where::Sibling => drop(rt.spawn(async move { let_go() })),
            Where::SiblingInPlace => drop(rt.spawn(async move { tokio::task::block_in_place(let_go) })),
        }
    }
    let seen = has_let_go
        .recv_timeout(PATIENCE)
        .map_err(|_| "whoever lets go is held up".to_string())
        .and_then(|()| release.sees(&mut ends));
    release.release();
    rt.block_on(task).unwrap();
    seen.map_err(|why| format!("{at:?} lets go, the owner is {owner:?}: {why}"))
}

/// Between two `block_on` of a runtime with one thread nobody turns.
fn between(how: How, make: Make) -> Result<(), String> {
    let rt = current_thread();
    let Made { let_go, mut ends } = rt.block_on(async { tokio::spawn(make(how)).await.unwrap() });
    let_go();
    let release = Release::default();
    let seen = release.sees(&mut ends);
    rt.block_on(async { tokio::task::yield_now().await });
    seen.map_err(|why| format!("between two block_on: {why}"))
}

fn matrix(test: &str, how: How, make: Make) {
    on_each_backend(test, || {
        let rt = multi_thread(2);
        let mut ends = Vec::new();
        for at in WHERES {
            for owner in OWNERS {
                ends.push(cell(&rt, at, owner, how, make));
            }
        }
        ends.push(between(how, make));
        let failed: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
        println!("{} of {} cells failed", failed.len(), ends.len());
        assert!(failed.is_empty(), "{failed:#?}");
    });
}

macro_rules! kinds {
    ($($kind:ident: $($test:ident),*;)*) => {$(mod $kind {
        $(#[test]
        fn $test() {
            super::matrix(
                concat!(stringify!($kind), "::", stringify!($test)),
                super::kinds::$test,
                |how| Box::pin(super::kinds::$kind(how)),
            );
        })*
    })*};
}

kinds! {
    tcp_stream: dropped, taken_out, used_and_closed, beside_a_duplicate, beside_one_made_before;
    tcp_listener: dropped, taken_out, used_and_closed, beside_a_duplicate, beside_one_made_before;
    udp_socket: dropped, taken_out, used_and_closed, beside_a_duplicate, beside_one_made_before;
    unix_stream: dropped, taken_out, used_and_closed, beside_a_duplicate, beside_one_made_before;
    unix_listener: dropped, taken_out, used_and_closed, beside_a_duplicate, beside_one_made_before;
    unix_datagram: dropped, taken_out, used_and_closed, beside_a_duplicate, beside_one_made_before;
    pipe_sender: dropped, taken_out, used_and_closed, beside_a_duplicate, beside_one_made_before;
    pipe_receiver: dropped, taken_out, used_and_closed, beside_a_duplicate, beside_one_made_before;
    async_fd: dropped, taken_out, used_and_closed, beside_a_duplicate, beside_one_made_before;
}
