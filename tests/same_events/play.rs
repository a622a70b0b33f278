// Included twice: `tokio` is this crate, or the published Tokio.

use std::future::Future;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};
use tokio::runtime::Builder;

use super::flag::Flag;
use super::scene::{INTERESTS, Kind, MOMENT, Step, Subject, read, write};

fn interest(bits: u8) -> Interest {
    let parts = [Interest::READABLE, Interest::WRITABLE, Interest::PRIORITY, Interest::ERROR];
    let parts = parts.into_iter().enumerate().filter(|(bit, _)| bits & 1 << bit != 0);
    parts.map(|(_, interest)| interest).reduce(|all, more| all | more).unwrap()
}

fn register<T: AsRawFd>(object: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: what it is given owns its descriptor, or is meant to be refused.
    unsafe { AsyncFd::register_with_interest(object, interest) }.map_err(io::Error::from)
}

fn letters(ready: Ready) -> String {
    let bits = [
        (ready.is_readable(), "r"),
        (ready.is_writable(), "w"),
        (ready.is_priority(), "p"),
        (ready.is_error(), "e"),
        (ready.is_read_closed(), "R"),
        (ready.is_write_closed(), "W"),
    ];
    bits.iter().filter(|(is, _)| *is).map(|(_, letter)| *letter).collect()
}

/// A descriptor, registered with one interest.
struct Watched {
    name: String,
    subject: Subject,
    fd: Option<AsyncFd<Arc<OwnedFd>>>,
}

/// Somebody who waits for `asked`.
struct Waiter<'a> {
    asked: u8,
    flag: Arc<Flag>,
    future: Pin<Box<dyn Future<Output = String> + 'a>>,
    told: Option<String>,
}

impl Waiter<'_> {
    fn poll(&mut self) {
        if self.told.is_none() {
            let waker = Waker::from(self.flag.clone());
            if let Poll::Ready(told) = self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.told = Some(told);
            }
        }
    }
}

/// All who may wait for `fd`, and have been polled once.
fn waiters(fd: &AsyncFd<Arc<OwnedFd>>) -> Vec<Waiter<'_>> {
    INTERESTS
        .into_iter()
        .map(|asked| {
            let future = Box::pin(async move {
                match fd.ready(interest(asked)).await {
                    Ok(mut guard) => {
                        guard.retain_ready();
                        letters(guard.ready())
                    }
                    Err(e) => format!("{:?}", e.kind()),
                }
            });
            let mut waiter = Waiter { asked, flag: Arc::default(), future, told: None };
            waiter.poll();
            waiter
        })
        .collect()
}

/// Those who are told something; `?` is who would be if only it were woken.
fn told(waiters: &mut [Waiter<'_>]) -> String {
    let mut text = String::new();
    for waiter in waiters {
        let was_woken = waiter.flag.is_set();
        let before = waiter.told.is_some();
        waiter.poll();
        if let Some(told) = &waiter.told {
            let asleep = if before || was_woken { "" } else { "?" };
            text += &format!(" {}={told}{asleep}", super::scene::letters(waiter.asked));
        }
    }
    text
}

/// Lets the runtime turn: whoever is woken by what happened has been woken after it. How long that takes is the
/// machine's matter, so the last thing that happens is that there is something to read from `tail`.
async fn turn(tail: &AsyncFd<UnixStream>, end: &UnixStream) {
    for _ in 0..2 {
        (&*end).write_all(b".").unwrap();
        let mut guard = tail.readable().await.unwrap();
        assert_eq!(tail.get_ref().read(&mut [0; 2]).unwrap(), 1);
        guard.clear_ready();
        tokio::time::sleep(MOMENT).await;
    }
}

impl Watched {
    /// What one step does here, apart from the waiting.
    fn act(&self, step: &Step) -> String {
        let Some(fd) = &self.fd else { return String::new() };
        match step {
            Step::Act(_, act) => act(&self.subject),
            Step::Read => attempts(|| fd.try_io(Interest::READABLE, |fd| read(fd.as_raw_fd()))),
            Step::Fill => attempts(|| fd.try_io(Interest::WRITABLE, |fd| write(fd.as_raw_fd()))),
            Step::Clear => {
                // Whatever is believed, nobody believes it any more.
                for bits in [1, 2, 4, 8] {
                    let ready = pin!(fd.ready(interest(bits)));
                    if let Poll::Ready(Ok(mut guard)) = ready.poll(&mut Context::from_waker(Waker::noop())) {
                        guard.clear_ready();
                    }
                }
                String::new()
            }
        }
    }
}

/// Writes to all until there is no room.
fn fill(all: &[Watched], takes: Duration) {
    // What is underway to the peer makes room: they are full when there was none for a while.
    let mut quiet = 0;
    while quiet < 3 {
        std::thread::sleep(takes);
        quiet += 1;
        for watched in all.iter().filter(|watched| watched.fd.is_some()) {
            while write(watched.subject.fd()).is_ok() {
                quiet = 0;
            }
        }
    }
}

/// Until it does not work any more. How much is in one go is not told.
fn attempts(mut attempt: impl FnMut() -> io::Result<usize>) -> String {
    let mut so_far = "nothing";
    for _ in 0..100_000 {
        match attempt() {
            Ok(0) => return format!("{so_far}, then the end"),
            Ok(_) => so_far = "some",
            Err(e) => return format!("{so_far}, then {:?} {:?}", e.kind(), e.raw_os_error()),
        }
    }
    "without end".to_string()
}

/// What is told of descriptors of this kind, with each interest, at each step.
pub fn play(kind: &Kind, is_multi: bool) -> Vec<String> {
    let mut builder = if is_multi { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    let rt = builder.worker_threads(1).enable_all().build().unwrap();
    let scene = async {
        let (tail, end) = UnixStream::pair().unwrap();
        tail.set_nonblocking(true).unwrap();
        let tail = register(tail, Interest::READABLE).unwrap();
        let mut notes = Vec::new();
        let mut all = Vec::new();
        for bits in INTERESTS {
            let name = format!("{}, {}", kind.name, super::scene::letters(bits));
            let subject = (kind.make)();
            let fd = register(subject.ours.clone(), interest(bits));
            if let Err(e) = &fd {
                notes.push(format!("{name}: {:?} {:?}", e.kind(), e.raw_os_error()));
            }
            all.push(Watched { name, subject, fd: fd.ok() });
        }
        turn(&tail, &end).await;
        for (n, step) in kind.steps.iter().enumerate() {
            let mut waiting: Vec<_> = all.iter().map(|w| w.fd.as_ref().map(waiters)).collect();
            turn(&tail, &end).await;
            // Who has something already does not wait for more.
            for waiters in waiting.iter_mut().flatten() {
                told(waiters);
                waiters.retain(|waiter| waiter.told.is_none());
            }
            if let Step::Fill = step {
                fill(&all, kind.takes);
            }
            let did: Vec<_> = all.iter().map(|w| w.act(step)).collect();
            std::thread::sleep(kind.takes);
            turn(&tail, &end).await;
            let woken: Vec<_> = waiting.iter_mut().map(|w| w.as_mut().map(|w| told(w))).collect();
            drop(waiting);
            let mut asking: Vec<_> = all.iter().map(|w| w.fd.as_ref().map(waiters)).collect();
            turn(&tail, &end).await;
            for (((w, did), woken), asking) in all.iter().zip(did).zip(woken).zip(&mut asking) {
                let (Some(woken), Some(asking)) = (woken, asking) else { continue };
                notes.push(format!("{}, {n} {step}: {did}; woken{woken}; now{}", w.name, told(asking)));
            }
        }
        notes
    };
    rt.block_on(scene)
}

/// How it ends to register `first` and then `second` in one runtime, while the first is there.
pub fn both<A: AsRawFd, B: AsRawFd>(first: A, second: B) -> String {
    let rt = Builder::new_current_thread().enable_all().build().unwrap();
    let _enter = rt.enter();
    let first = register(first, interest(3));
    let second = register(second, interest(3));
    format!("{:?}, {:?}", error(&first), error(&second))
}

fn error<T: AsRawFd>(outcome: &io::Result<AsyncFd<T>>) -> Option<(io::ErrorKind, Option<i32>)> {
    outcome.as_ref().err().map(|e| (e.kind(), e.raw_os_error()))
}
