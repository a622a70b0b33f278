//! A process that forks: hazard H25.
//!
//! The child has a copy of the runtime's memory, none of its threads, and shares its rings with the
//! parent. What it does with them must end, and the parent must not notice.

#[path = "common/mod.rs"]
mod common;
#[path = "common/fork.rs"]
mod fork;

use std::io::{Read, Write};
use std::net::TcpListener as StdListener;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;

use common::*;
use fork::{fork, is_refused};

/// A runtime with a stream that somebody waits for, a listener, and a timer.
struct Scene {
    rt: Runtime,
    stream: TcpStream,
    peer: std::net::TcpStream,
    listener: TcpListener,
}

impl Scene {
    fn new(rt: Runtime) -> Scene {
        let (stream, peer, listener) = rt.block_on(async {
            let (mut stream, peer) = connection().await;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            start_waiting(listener.accept()).await;
            wait_in_read(&mut stream).await;
            tokio::spawn(tokio::time::sleep(Duration::from_secs(3600)));
            (stream, peer, listener)
        });
        Scene { rt, stream, peer, listener }
    }

    /// The stream still works, in both directions, and so do the listener and timers.
    fn assert_unharmed(&mut self) {
        assert_eq!(self.peer.read(&mut [0; 4]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        let addr = self.listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(addr).unwrap();
        self.peer.write_all(b"x").unwrap();
        self.rt.block_on(async {
            let work = async {
                assert_eq!(self.stream.read_u8().await.unwrap(), b'x');
                self.stream.write_all(b"y").await.unwrap();
                drop(self.listener.accept().await.unwrap());
                tokio::time::sleep(Duration::from_millis(1)).await;
                tokio::spawn(async { 7 }).await.unwrap()
            };
            assert_eq!(tokio::time::timeout(LONG, work).await.expect("the parent was harmed"), 7);
        });
        drop(client);
    }
}

fn own_runtime_works() -> bool {
    let rt = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    rt.block_on(async {
        let (mut ours, mut peer) = connection().await;
        let waiting = tokio::spawn(async move { ours.read_u8().await.unwrap() });
        tokio::time::sleep(Duration::from_millis(1)).await;
        peer.write_all(b"z").unwrap();
        waiting.await.unwrap() == b'z'
    })
}

#[test]
fn h25_a_child_is_refused_and_the_parent_unharmed() {
    in_a_child("h25_a_child_is_refused_and_the_parent_unharmed", || {
        for rt in [current_thread(), multi_thread(1), multi_thread(2)] {
            let mut scene = Scene::new(rt);
            eventually("both are watched", || armed_polls() == 2);
            let polls = armed_polls();
            let code = fork(|| {
                let rt = &scene.rt;
                let refusals = [
                    is_refused(|| rt.block_on(async {})),
                    is_refused(|| rt.handle().block_on(async {})),
                    is_refused(|| rt.spawn(async {})),
                    is_refused(|| rt.spawn_blocking(|| ())),
                ];
                match refusals.iter().position(|refused| !refused) {
                    Some(which) => 10 + which as i32,
                    None => 0,
                }
            });
            assert_eq!(code, 0);
            assert_eq!(armed_polls(), polls, "the child took polls away");
            scene.assert_unharmed();
        }
    });
}

/// Each process hears its own signals, and nothing of those of the other one.
#[test]
fn h25_signals_of_a_child_are_its_own() {
    in_a_child("h25_signals_of_a_child_are_its_own", || {
        let parent = multi_thread(1);
        let mut own = parent.block_on(async { signal(SignalKind::user_defined2()).unwrap() });
        let code = fork(|| {
            let rt = current_thread();
            rt.block_on(async {
                let mut signals = signal(SignalKind::user_defined2()).unwrap();
                let mut missed = 0;
                for _ in 0..200 {
                    kill_process(getpid(), Signal::USR2).unwrap();
                    missed += i32::from(timeout(Duration::from_millis(200), signals.recv()).await.is_err());
                }
                missed
            })
        });
        assert_eq!(code, 0, "the child missed so many of 200 signals");
        parent.block_on(async {
            assert!(timeout(Duration::from_millis(50), own.recv()).await.is_err(), "it was the child's");
            kill_process(getpid(), Signal::USR2).unwrap();
            timeout(LONG, own.recv()).await.expect("the parent's own");
        });
    });
}

#[test]
fn h25_what_a_child_drops_it_forgets() {
    in_a_child("h25_what_a_child_drops_it_forgets", || {
        for rt in [current_thread(), multi_thread(1), multi_thread(2)] {
            let mut scene = Some(Scene::new(rt));
            let code = fork(|| {
                let Scene { rt, stream, peer, listener } = scene.take().unwrap();
                drop((stream, listener));
                drop(rt);
                drop(peer);
                0
            });
            assert_eq!(code, 0);
            scene.unwrap().assert_unharmed();
        }
    });
}

#[test]
fn h25_a_child_may_build_a_runtime_of_its_own() {
    in_a_child("h25_a_child_may_build_a_runtime_of_its_own", || {
        let mut scene = Scene::new(current_thread());
        // A ring that this thread keeps for its next runtime is not the child's either.
        drop(current_thread());
        let code = fork(|| {
            let first = i32::from(!own_runtime_works());
            let rt = current_thread();
            let second = i32::from(rt.block_on(async { tokio::spawn(async { 1 }).await.unwrap() }) != 1);
            // And so may its child.
            let third =
                fork(|| i32::from(!own_runtime_works()) + i32::from(!is_refused(|| rt.block_on(async {}))));
            100 * third + 10 * second + first
        });
        assert_eq!(code, 0);
        scene.assert_unharmed();
    });
}

/// The child of a fork in the middle of a task: its copy of the loop must not go on.
#[test]
fn h25_a_fork_inside_of_a_task() {
    in_a_child("h25_a_fork_inside_of_a_task", || {
        let rt = current_thread();
        let mut scene = Scene::new(current_thread());
        let code = fork(|| {
            // Forks once more, now with a runtime of this process, in a task of it.
            let rt = current_thread();
            rt.block_on(async {
                let (mut stream, mut peer) = connection().await;
                wait_in_read(&mut stream).await;
                // And a file operation under way.
                let mut stream = Some(stream);
                let mut reading = Some(Box::pin(tokio::fs::read("/proc/self/status")));
                start_waiting(reading.as_mut().unwrap()).await;
                let code = fork(|| {
                    let mut file = Box::pin(tokio::fs::read("/proc/self/status"));
                    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                    let refused =
                        is_refused(|| tokio::spawn(async {})) && is_refused(|| file.as_mut().poll(&mut cx));
                    drop((stream.take(), reading.take()));
                    i32::from(!refused)
                });
                assert!(!reading.unwrap().await.unwrap().is_empty());
                let ended = |peer: &mut _| read_now(peer).is_ok();
                let before = i32::from(ended(&mut peer));
                drop(stream);
                let after = i32::from(!ended(&mut peer));
                100 * after + 10 * before + code
            })
        });
        assert_eq!(code, 0);
        // A child that returns from the task finds that the loop refuses to go on.
        let code = fork(|| {
            let rt = current_thread();
            let refused = rt.block_on(async {
                // SAFETY: as above.
                if unsafe { libc::fork() } == 0 {
                    return None;
                }
                let mut status = 0;
                // SAFETY: `status` outlives the call.
                while unsafe { libc::waitpid(-1, &mut status, 0) } < 0 {}
                Some(status)
            });
            match refused {
                // The grandchild: its future was ready, so the loop had no need to go on.
                None => i32::from(!is_refused(|| rt.block_on(async {}))),
                Some(status) if libc::WIFEXITED(status) => libc::WEXITSTATUS(status),
                Some(_) => 77,
            }
        });
        assert_eq!(code, 0);
        scene.assert_unharmed();
        drop(rt);
    });
}

/// What programs do all the time: fork, a closure, exec.
#[test]
fn h25_pre_exec_1000_times() {
    in_a_child("h25_pre_exec_1000_times", || {
        let mut scene = Scene::new(multi_thread(2));
        let exits = scene.rt.block_on(async {
            let mut exits = 0;
            for _ in 0..1000 {
                let mut command = tokio::process::Command::new("/bin/true");
                // SAFETY: the closure does nothing.
                unsafe { command.pre_exec(|| Ok(())) };
                exits += usize::from(command.status().await.unwrap().success());
            }
            exits
        });
        assert_eq!(exits, 1000);
        scene.assert_unharmed();
    });
}

/// An echo over a stream while the process forks, over and over.
#[test]
fn h25_forks_in_the_middle_of_traffic() {
    in_a_child("h25_forks_in_the_middle_of_traffic", || {
        let rt = multi_thread(2);
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, mut stopped) = oneshot::channel::<()>();
        let traffic = rt.spawn(async move {
            let mut ours = TcpStream::connect(addr).await.unwrap();
            let mut rounds = 0u64;
            while stopped.try_recv().is_err() {
                ours.write_all(b"0123456789").await.unwrap();
                let mut answer = [0; 10];
                ours.read_exact(&mut answer).await.unwrap();
                assert_eq!(&answer, b"0123456789");
                rounds += 1;
            }
            rounds
        });
        let (mut peer, _) = listener.accept().unwrap();
        let echo = std::thread::spawn(move || {
            let mut buf = [0; 64];
            while let Ok(n @ 1..) = peer.read(&mut buf) {
                peer.write_all(&buf[..n]).unwrap();
            }
        });
        for _ in 0..100 {
            assert_eq!(fork(|| 0), 0);
        }
        stop.send(()).unwrap();
        assert!(rt.block_on(traffic).unwrap() > 0);
        echo.join().unwrap();
    });
}
