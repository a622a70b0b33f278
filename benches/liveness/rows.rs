// Included twice: `tokio` is this crate, or the published Tokio.

use std::future::Future;
use std::os::unix::net::UnixStream as StdStream;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use tokio::net::{UdpSocket, UnixStream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{block_in_place, yield_now};

use super::{MOMENT, Owner, both, figures};

/// A runtime with sockets on which nothing happens.
pub(crate) struct Subject(Runtime);

impl Subject {
    /// Without workers: of one thread.
    pub(crate) fn new(workers: usize, sockets: usize) -> Subject {
        let mut builder =
            if workers == 0 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
        let rt = builder.worker_threads(workers.max(1)).enable_all().build().unwrap();
        let watched = Arc::new(AtomicUsize::new(0));
        rt.block_on(async {
            // Both ends of a pair are watched.
            for _ in 0..sockets / 2 {
                let (a, b) = UnixStream::pair().unwrap();
                for stream in [a, b] {
                    let watched = watched.clone();
                    tokio::spawn(async move {
                        let mut readable = pin!(stream.readable());
                        watch(readable.as_mut());
                        watched.fetch_add(1, SeqCst);
                        let _ = readable.await;
                    });
                }
            }
            while watched.load(SeqCst) < sockets {
                tokio::time::sleep(MOMENT).await;
            }
            tokio::time::sleep(MOMENT).await;
        });
        Subject(rt)
    }

    /// `calls` of a task that goes on in between.
    pub(crate) fn block_in_place(&self, calls: u64, call: fn()) -> Vec<f64> {
        let task = self.0.spawn(async move {
            both(calls, async || {
                for _ in 0..calls {
                    block_in_place(call);
                    yield_now().await;
                }
            })
            .await
        });
        self.0.block_on(task).unwrap()
    }

    /// What may be in there.
    pub(crate) fn block_on_inside() {
        Handle::current().block_on(yield_now());
    }

    pub(crate) fn block_on(&self, calls: u64) -> Vec<f64> {
        self.0.block_on(async {});
        let start = figures();
        for _ in 0..calls {
            self.0.block_on(yield_now());
        }
        figures().of_thread_since(start, calls)
    }

    /// CPU time per second while one worker sleeps in a task.
    pub(crate) fn beside_a_sleeping_worker(&self, sleep: Duration) -> Vec<f64> {
        let task = self.0.spawn(async move {
            let start = figures();
            thread::sleep(sleep);
            figures().since(start, 1)[0]
        });
        vec![self.0.block_on(task).unwrap() / sleep.as_secs_f64()]
    }

    /// Drops streams and UDP sockets here, which somebody else owns.
    pub(crate) fn drop_owned_by(&self, owner: Owner, sockets: u64) -> Vec<f64> {
        let (sender, receiver) = mpsc::channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let task = self.0.spawn({
            let is_over = is_over.clone();
            async move {
                let mut streams = Vec::new();
                let mut datagrams = Vec::new();
                for _ in 0..sockets {
                    let (stream, peer) = pair();
                    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                    watch(pin!(stream.readable()));
                    watch(pin!(socket.recv(&mut [0])));
                    streams.push((stream, peer));
                    datagrams.push(socket);
                }
                tokio::time::sleep(MOMENT).await;
                sender.send((streams, datagrams)).unwrap();
                while !is_over.load(SeqCst) {
                    match owner {
                        Owner::Idle => tokio::time::sleep(MOMENT).await,
                        Owner::Busy => std::hint::spin_loop(),
                        Owner::Blocked => thread::sleep(MOMENT),
                    }
                }
            }
        });
        let (streams, datagrams) = receiver.recv().unwrap();
        thread::sleep(MOMENT);
        let (streams, peers): (Vec<_>, Vec<_>) = streams.into_iter().unzip();
        let start = figures();
        drop(streams);
        let mut all = figures().of_thread_since(start, sockets);
        let start = figures();
        drop(datagrams);
        all.extend(figures().of_thread_since(start, sockets));
        is_over.store(true, SeqCst);
        self.0.block_on(task).unwrap();
        drop(peers);
        all
    }
}

/// Has the runtime watch what `future` waits for.
fn watch<F: Future>(future: Pin<&mut F>) {
    assert!(future.poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

fn pair() -> (UnixStream, StdStream) {
    let (ours, peer) = StdStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (UnixStream::from_std(ours).unwrap(), peer)
}
