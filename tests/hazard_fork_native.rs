//! A process that forks, and what only this crate has: shards, the native lane. Hazard H25.

mod common;
#[path = "common/fork.rs"]
mod fork;

use std::future::Future;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream as StdUnix;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::native::{BufPool, FdStream, Lane};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::{BackendKind, Builder, Runtime};
use tokio::shard::{Inbox, RawMessage};

use common::*;
use fork::{fork, is_refused};

/// Polls it once, wherever this is.
fn poll<F: Future>(future: F) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// The first that is not refused, as an exit code.
fn all_refused(refusals: &[bool]) -> i32 {
    refusals.iter().position(|refused| !refused).map_or(0, |which| 10 + which as i32)
}

#[test]
fn h25_a_child_is_refused_by_shards() {
    in_a_child("h25_a_child_is_refused_by_shards", || {
        for rt in [current_thread(), multi_thread(2)] {
            let remote = rt.handle().remote(rt.handle().shards().next().unwrap()).unwrap();
            let mut inbox: Option<Inbox<u32>> = Some(remote.bind(4).unwrap());
            let _raw: Inbox<RawMessage> = remote.bind(4).unwrap();
            let mut sender = Some(remote.sender::<u32>().unwrap());
            sender.as_ref().unwrap().try_send(7).unwrap();
            let mut ticket = Some(Box::pin(sender.as_ref().unwrap().flush()));
            assert!(!poll(ticket.as_mut().unwrap()));
            let code = fork(|| {
                let (tx, rx) = (sender.as_ref().unwrap(), inbox.as_mut().unwrap());
                let code = all_refused(&[
                    is_refused(|| remote.spawn_pinned(async {})),
                    is_refused(|| remote.spawn_pinned_with(|| async {})),
                    is_refused(|| remote.spawn_stealable(async {})),
                    is_refused(|| remote.bind::<u8>(1)),
                    is_refused(|| remote.sender::<u32>().map(drop)),
                    is_refused(|| remote.send_raw(1, 2)),
                    is_refused(|| tx.try_send(8)),
                    is_refused(|| tx.try_send_batch([8, 9])),
                    is_refused(|| poll(tx.send(8))),
                    is_refused(|| poll(tx.send_batch([8, 9]))),
                    is_refused(|| poll(tx.flush())),
                    is_refused(|| poll(ticket.as_mut().unwrap())),
                    is_refused(|| rx.try_recv()),
                    is_refused(|| poll(rx.recv())),
                    is_refused(|| rx.close()),
                ]);
                drop((ticket.take(), sender.take(), inbox.take()));
                code
            });
            assert_eq!(code, 0);
            rt.block_on(async {
                let (tx, mut rx) = (sender.unwrap(), inbox.unwrap());
                tx.try_send(8).unwrap();
                assert_eq!((rx.recv().await, rx.recv().await), (Some(7), Some(8)));
                ticket.unwrap().await.unwrap();
                remote.spawn_pinned(async {}).await.unwrap();
            });
        }
    });
}

/// What a native operation is begun on, for ever: futures of it leave the runtime's threads.
struct Scene {
    stream: &'static TcpStream,
    peer: std::net::TcpStream,
    listener: &'static TcpListener,
    file: &'static tokio::fs::File,
    any: FdStream,
    any_peer: StdUnix,
    pool: &'static BufPool,
}

type Boxed = Pin<Box<dyn Future<Output = usize> + Send>>;

impl Scene {
    async fn new() -> Scene {
        let (stream, peer) = connection().await;
        peer.set_nonblocking(false).unwrap();
        let (any, any_peer) = StdUnix::pair().unwrap();
        Scene {
            stream: Box::leak(Box::new(stream)),
            peer,
            listener: Box::leak(Box::new(TcpListener::bind("127.0.0.1:0").await.unwrap())),
            file: Box::leak(Box::new(tokio::fs::File::open("/proc/self/status").await.unwrap())),
            any: FdStream::new(any).unwrap(),
            any_peer,
            pool: Box::leak(Box::new(BufPool::new(4, 64))),
        }
    }

    /// An operation of each kind.
    fn operations(&self) -> Vec<Boxed> {
        let (stream, listener, file, pool) = (self.stream, self.listener, self.file, self.pool);
        vec![
            Box::pin(async { stream.native().recv(vec![0; 8]).await.0.unwrap() }),
            Box::pin(async { stream.native().send_all("x").await.0.map_or(0, |()| 1) }),
            Box::pin(async { stream.native().recv_multi(pool).next().await.map_or(0, |b| b.unwrap().len()) }),
            Box::pin(async { listener.native().accept().await.map_or(0, |_| 1) }),
            Box::pin(async { listener.native().accept_multi().next().await.map_or(0, |_| 1) }),
            Box::pin(async { file.native().read_at(vec![0; 8], 0).await.0.unwrap() }),
            Box::pin(async {
                tokio::native::fs::open("/dev/null", Default::default()).await.map_or(0, |_| 1)
            }),
            Box::pin(async {
                let parts = (stream.native().recv(vec![0; 8]), stream.native().send_all("x"));
                tokio::native::chain(parts).await.0.0.unwrap()
            }),
        ]
    }
}

#[test]
fn h25_a_child_is_refused_by_native_operations() {
    in_a_child("h25_a_child_is_refused_by_native_operations", || {
        let rt = multi_thread(1);
        // On a worker: there they are in flight while this thread forks.
        let (mut scene, mut flying) = rt.block_on(async {
            let begin = async {
                let scene = Scene::new().await;
                // The one that receives, and the one that accepts.
                let mut flying: Vec<_> = scene.operations().into_iter().step_by(3).take(2).collect();
                for operation in &mut flying {
                    start_waiting(operation).await;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
                (scene, flying)
            };
            tokio::spawn(begin).await.unwrap()
        });
        let code = fork(|| {
            let _inside = rt.enter();
            // There is something to take, which is not for the child.
            scene.peer.write_all(b"theirs").unwrap();
            scene.any_peer.write_all(b"t").unwrap();
            std::thread::sleep(Duration::from_millis(5));
            let fresh = scene.operations();
            let mut refusals: Vec<_> =
                fresh.into_iter().map(|operation| is_refused(|| poll(operation))).collect();
            refusals.extend(flying.iter_mut().map(|operation| is_refused(|| poll(operation))));
            // Dropped, they are forgotten.
            flying.clear();
            all_refused(&refusals)
        });
        assert_eq!(code, 0);
        rt.block_on(async {
            let accepting = flying.pop().unwrap();
            assert_eq!(tokio::time::timeout(LONG, flying.pop().unwrap()).await.expect("it was harmed"), 6);
            let client = TcpStream::connect(scene.listener.local_addr().unwrap()).await.unwrap();
            assert_eq!(tokio::time::timeout(LONG, accepting).await.expect("it was harmed"), 1);
            drop(client);
            assert_eq!(scene.any.read_u8().await.unwrap(), b't');
            scene.stream.native().send_all("answer").await.0.unwrap();
            let mut answer = [0; 6];
            scene.peer.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"answer");
        });
        // A wait for readiness, too.
        let code = fork(|| i32::from(!is_refused(|| poll(scene.any.read_u8()))));
        assert_eq!(code, 0);
    });
}

fn on_the_native_lane() -> [Runtime; 2] {
    let on = |mut builder: Builder| builder.enable_all().lane(Lane::Native).build().unwrap();
    let mut workers = Builder::new_multi_thread();
    workers.worker_threads(1);
    [on(Builder::new_current_thread()), on(workers)]
}

/// Bytes that the parent keeps for the end of its turn are not sent by the child as well.
#[test]
fn h25_what_was_kept_is_sent_once() {
    in_a_child("h25_what_was_kept_is_sent_once", || {
        let is_kept = backend() == BackendKind::IoUring;
        for rt in on_the_native_lane() {
            let scene = async move {
                let (ours, mut peer) = StdUnix::pair().unwrap();
                ours.set_nonblocking(true).unwrap();
                let mut ours = UnixStream::from_std(ours).unwrap();
                tokio::task::yield_now().await;
                // A busy turn: the first ones go out, those after them are kept.
                for byte in 0..20 {
                    ours.write_all(&[byte]).await.unwrap();
                }
                let mut ours = Some(ours);
                let code = fork(|| {
                    let stream = ours.as_mut().unwrap();
                    let refused = !is_kept || is_refused(|| poll(stream.write_all(b"lost")));
                    let std = ours.take().unwrap().into_std();
                    drop(std);
                    i32::from(!refused)
                });
                assert_eq!(code, 0);
                let code = fork(|| {
                    drop(ours.take());
                    0
                });
                assert_eq!(code, 0);
                drop(ours);
                tokio::task::yield_now().await;
                let mut all = Vec::new();
                peer.set_read_timeout(Some(LONG)).unwrap();
                peer.read_to_end(&mut all).unwrap();
                assert_eq!(all, (0..20).collect::<Vec<u8>>());
            };
            rt.block_on(async { tokio::spawn(scene).await.unwrap() });
        }
    });
}
