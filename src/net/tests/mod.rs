//! Sockets over a ring and a watch set that the kernel treats badly, as scripted by [`fault`]: whatever
//! happens, an echo ends (hazards H05, H17, H18, H19 and H31). And the lanes.

#[cfg(all(feature = "uring-native", feature = "fs"))]
mod completions;
#[cfg(feature = "uring-native")]
mod enter;
#[cfg(feature = "uring-native")]
mod lanes;
#[cfg(feature = "uring-native")]
mod queues;
#[cfg(feature = "uring-native")]
mod restricted;
mod set;
mod setup;

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use crate::io::{AsyncReadExt, AsyncWriteExt};
use crate::net::{TcpListener, TcpStream};
use crate::runtime::{Builder, Runtime};
use crate::sys::fault::{self, Script};

/// Longer than anything here takes, even on a busy machine.
const LONG: Duration = Duration::from_secs(30);

/// Runs a scene under `script`, on a thread of its own, which has no ring yet.
fn under(script: &Script, what: &str, scene: impl FnOnce() + Send + 'static) {
    let _ports = fault::without_children();
    let (done, is_done) = mpsc::channel();
    let script = script.clone();
    let thread = std::thread::spawn(move || {
        let _installed = script.install();
        scene();
        let _ = done.send(());
    });
    match is_done.recv_timeout(LONG) {
        Ok(()) => thread.join().unwrap(),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let panic = thread.join().unwrap_err();
            let text = panic.downcast_ref::<String>().map(String::as_str);
            panic!("{what}: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("panicked"));
        }
    }
}

fn current_thread() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// A multi-thread runtime whose threads are under this thread's script.
fn multi_thread(workers: usize) -> io::Result<Runtime> {
    let script = fault::current();
    let inherit = move || fault::inherit(script.clone());
    Builder::new_multi_thread().worker_threads(workers).on_thread_start(inherit).enable_all().build()
}

/// A loopback address that no other process takes a port of.
fn own_address() -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, 78, high, low], 0))
}

async fn serve(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        crate::task::spawn(async move {
            let mut buf = [0; 64];
            while let Ok(n @ 1..) = stream.read(&mut buf).await {
                stream.write_all(&buf[..n]).await.unwrap();
            }
        });
    }
}

/// Some connections and round trips; returns how many bytes came back.
async fn echo(connections: u8, rounds: u8) -> usize {
    let listener = TcpListener::bind(own_address()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = crate::task::spawn(serve(listener));
    let clients: Vec<_> = (0..connections).map(|tag| crate::task::spawn(client(addr, tag, rounds))).collect();
    let mut bytes = 0;
    for client in clients {
        bytes += client.await.unwrap();
    }
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    // The listener was watched; its port is free.
    drop(std::net::TcpListener::bind(addr).unwrap());
    bytes
}

async fn client(addr: SocketAddr, tag: u8, rounds: u8) -> usize {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let mut bytes = 0;
    for round in 0..rounds {
        stream.write_all(&[tag, round]).await.unwrap();
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [tag, round]);
        bytes += answer.len();
    }
    bytes
}

/// The same echo by operations of the ring.
#[cfg(feature = "uring-native")]
async fn ring_echo(connections: u8, rounds: u8) -> usize {
    let listener = TcpListener::bind(own_address()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = crate::task::spawn(async move {
        while let Ok((stream, _)) = listener.native().accept().await {
            crate::task::spawn(async move {
                let mut buf = Vec::with_capacity(64);
                loop {
                    let (result, received) = stream.native().recv(buf).await;
                    if !matches!(result, Ok(1..)) {
                        return;
                    }
                    let (result, sent) = stream.native().send_all(received).await;
                    result.unwrap();
                    buf = sent;
                    buf.clear();
                }
            });
        }
    });
    let client = |tag: u8| async move {
        let stream = TcpStream::connect(addr).await.unwrap();
        let mut bytes = 0;
        for round in 0..rounds {
            stream.native().send_all(vec![tag, round]).await.0.unwrap();
            let (result, answer) = stream.native().recv_exact(vec![0; 2]).await;
            result.unwrap();
            assert_eq!(answer, [tag, round]);
            bytes += answer.len();
        }
        bytes
    };
    let clients: Vec<_> = (0..connections).map(|tag| crate::task::spawn(client(tag))).collect();
    let mut bytes = 0;
    for client in clients {
        bytes += client.await.unwrap();
    }
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    bytes
}

/// An echo on each flavour; returns what came back.
fn on_each_flavour<F: Future<Output = usize> + Send + 'static>(echo: impl Fn() -> F) -> Vec<usize> {
    let on = |rt: io::Result<Runtime>| rt.unwrap().block_on(async { crate::task::spawn(echo()).await.unwrap() });
    vec![on(current_thread()), on(multi_thread(1)), on(multi_thread(2))]
}

/// The same for the first echo.
fn echo_on_each_flavour(connections: u8, rounds: u8) -> Vec<usize> {
    on_each_flavour(|| echo(connections, rounds))
}

/// The same for the echo by operations of the ring.
#[cfg(feature = "uring-native")]
fn ring_echo_on_each_flavour(connections: u8, rounds: u8) -> Vec<usize> {
    on_each_flavour(|| ring_echo(connections, rounds))
}
