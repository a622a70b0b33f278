//! Crates that are bound to the published Tokio, inside our runtime: with the feature `interop`,
//! with it switched off, and without it.
//!
//! `cargo test --workspace` runs the last of these; `cargo test --features interop --test interop` the
//! others.

use std::time::Duration;

/// A sleep of the published Tokio, as a third-party crate would await it.
async fn foreign_sleep() {
    upstream::time::sleep(Duration::from_millis(5)).await;
}

/// What a panic says.
fn message(panic: tokio::task::JoinError) -> String {
    let payload = panic.into_panic();
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

async fn finds_no_drivers() {
    let sleep = message(tokio::spawn(foreign_sleep()).await.unwrap_err());
    assert!(sleep.contains("timers are disabled"), "{sleep}");
    let socket = tokio::spawn(async { upstream::net::UdpSocket::bind("127.0.0.1:0").await.map(drop) });
    let socket = message(socket.await.unwrap_err());
    assert!(socket.contains("IO is disabled"), "{socket}");
}

#[cfg(not(feature = "interop"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_feature_its_sockets_and_timers_panic() {
    finds_no_drivers().await;
    // What needs no driver works.
    assert_eq!(upstream::spawn(async { 42 }).await.unwrap(), 42);
    // It is not in our runtime, and the panic says what to do.
    finds_no_runtime(upstream::spawn(async { drop(tokio::spawn(async {})) }).await.unwrap_err());
}

fn finds_no_runtime(panicked: upstream::task::JoinError) {
    let payload = panicked.into_panic();
    let text = payload.downcast_ref::<String>().expect("a panic with a text");
    assert!(text.starts_with("there is no reactor running"), "{text}");
    assert!(text.contains("[patch.crates-io]") && text.contains("cargo spargio adopt"), "{text}");
}

#[cfg(feature = "interop")]
mod with_the_feature {
    use super::*;

    use http_body_util::{BodyExt, Full};
    use hyper::Response;
    use hyper::body::Bytes;
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::interop::{self, Interop};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn its_timers_tasks_and_sockets_work() {
        assert!(interop::is_enabled());
        tokio::spawn(foreign_sleep()).await.unwrap();
        let spawned = upstream::spawn(async {
            foreign_sleep().await;
            std::thread::current().name().map(str::to_owned)
        });
        assert_eq!(spawned.await.unwrap().as_deref(), Some("spargio-host"));

        let listener = upstream::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let echo = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buf = [0; 4];
            stream.read_exact(&mut buf).await.unwrap();
            stream.write_all(&buf).await.unwrap();
        });
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        let mut buf = [0; 4];
        stream.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"ping");
        echo.await.unwrap();
    }

    /// A client from crates.io: its pool, resolver, sockets and timers are the published Tokio's.
    async fn hyper_client() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = hyper::service::service_fn(|_| async {
                    Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("hello"))))
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        for _ in 0..20 {
            let answer = client.get(format!("http://{address}/").parse().unwrap()).await.unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
        }
    }

    #[tokio::test]
    async fn a_client_works_on_a_current_thread_runtime() {
        hyper_client().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_client_works_on_a_multi_thread_runtime() {
        hyper_client().await;
    }

    #[tokio::test]
    async fn sockets_go_there_and_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut ours = TcpStream::connect(address).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        // Watched here once, so that there is something to take back.
        peer.write_all(b"a").await.unwrap();
        assert_eq!(ours.read_u8().await.unwrap(), b'a');
        peer.write_all(b"bc").await.unwrap();
        let mut theirs = ours.into_published().unwrap();
        assert_eq!(theirs.read_u8().await.unwrap(), b'b');
        let mut ours = TcpStream::from_published(theirs).unwrap();
        assert_eq!(ours.read_u8().await.unwrap(), b'c');
        drop(peer);
        assert_eq!(ours.read(&mut [0; 1]).await.unwrap(), 0);

        let listener = listener.into_published().unwrap();
        let (accepted, connected) = tokio::join!(listener.accept(), TcpStream::connect(address));
        accepted.unwrap();
        connected.unwrap();
        assert_eq!(TcpListener::from_published(listener).unwrap().local_addr().unwrap(), address);
    }

    #[tokio::test]
    async fn all_kinds_of_sockets_convert() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = udp.local_addr().unwrap();
        let udp = udp.into_published().unwrap();
        assert_eq!(udp.send_to(b"x", address).await.unwrap(), 1);
        let udp = UdpSocket::from_published(udp).unwrap();
        assert_eq!(udp.recv(&mut [0; 8]).await.unwrap(), 1);

        let listener = UnixListener::bind(&path).unwrap().into_published().unwrap();
        let listener = UnixListener::from_published(listener).unwrap();
        let (stream, accepted) = tokio::join!(UnixStream::connect(&path), listener.accept());
        let mut stream = UnixStream::from_published(stream.unwrap().into_published().unwrap()).unwrap();
        let mut accepted = accepted.unwrap().0.into_published().unwrap();
        accepted.write_all(b"y").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'y');

        let (a, b) = UnixDatagram::pair().unwrap();
        let (a, b) = (a.into_published().unwrap(), UnixDatagram::from_published(b.into_published().unwrap()));
        a.send(b"z").await.unwrap();
        assert_eq!(b.unwrap().recv(&mut [0; 8]).await.unwrap(), 1);
    }

    /// What our code does in a task that a third-party crate spawned: a handler of a server.
    async fn handler() -> (String, tokio::runtime::Id) {
        let here = tokio::runtime::Handle::current().id();
        let spawned = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(tokio::runtime::Handle::current().id(), here);
        });
        spawned.await.unwrap();
        tokio::time::timeout(Duration::from_secs(60), tokio::task::yield_now()).await.unwrap();
        let name = tokio::fs::read_to_string("/proc/self/comm").await.unwrap();
        let length = tokio::task::spawn_blocking(move || name.len()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stream, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut stream, mut accepted) = (stream.unwrap(), accepted.unwrap().0);
        accepted.write_all(&[length as u8]).await.unwrap();
        assert_eq!(usize::from(stream.read_u8().await.unwrap()), length);
        let child = tokio::process::Command::new("true").status().await.unwrap();
        assert!(child.success());
        (std::thread::current().name().unwrap_or_default().to_owned(), here)
    }

    async fn all_that_crates_spawn() {
        let here = tokio::runtime::Handle::current().id();
        let expected = ("spargio-host".to_owned(), here);
        assert_eq!(upstream::spawn(handler()).await.unwrap(), expected);
        // As a connection's task spawns its streams'.
        let nested = upstream::spawn(async { upstream::spawn(handler()).await.unwrap() });
        assert_eq!(nested.await.unwrap(), expected);

        let (tell, told) = tokio::sync::oneshot::channel();
        let executor = TokioExecutor::new();
        hyper::rt::Executor::execute(&executor, async { tell.send(handler().await).unwrap() });
        assert_eq!(told.await.unwrap(), expected);

        let on_its_pool = upstream::task::spawn_blocking(|| {
            tokio::runtime::Handle::current().block_on(async { tokio::spawn(handler()).await.unwrap().1 })
        });
        assert_eq!(on_its_pool.await.unwrap(), here);
    }

    #[tokio::test]
    async fn what_a_crate_spawns_is_in_our_current_thread_runtime() {
        all_that_crates_spawn().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_a_crate_spawns_is_in_our_multi_thread_runtime() {
        all_that_crates_spawn().await;
        // It may block there as well: others of its kind go on.
        let blocked = upstream::spawn(async {
            let (tell, told) = std::sync::mpsc::channel();
            upstream::spawn(async move { tell.send(1).unwrap() });
            tokio::task::block_in_place(move || {
                tokio::runtime::Handle::current().block_on(async { handler().await });
                told.recv().unwrap()
            })
        });
        assert_eq!(blocked.await.unwrap(), 1);
    }

    #[test]
    fn each_runtime_has_its_own() {
        let runtimes: Vec<_> = (0..3).map(|_| tokio::runtime::Runtime::new().unwrap()).collect();
        for runtime in &runtimes {
            let found = runtime.block_on(async { upstream::spawn(handler()).await.unwrap().1 });
            assert_eq!(found, runtime.handle().id());
        }
    }

    /// Dropped runtimes take what third-party crates spawned with them, and the ports of that.
    #[test]
    fn what_a_crate_spawns_ends_with_our_runtime() {
        struct Dropped(std::sync::mpsc::Sender<()>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.send(()).unwrap();
            }
        }

        let (tell, told) = std::sync::mpsc::channel();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let address = runtime.block_on(async {
            let listener = upstream::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            // One that keeps a handle of ours.
            let (guard, handle) = (Dropped(tell), tokio::runtime::Handle::current());
            upstream::spawn(async move {
                let _kept = (guard, handle);
                listener.accept().await.unwrap();
            });
            address
        });
        drop(runtime);
        told.try_recv().unwrap();
        std::net::TcpListener::bind(address).unwrap();
    }

    #[test]
    fn a_shutdown_does_not_wait_longer_than_it_may() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let (begin, begun) = std::sync::mpsc::channel();
        runtime.block_on(async {
            upstream::task::spawn_blocking(move || {
                begin.send(()).unwrap();
                let _ = ended.recv();
            });
        });
        begun.recv().unwrap();
        // Would never return otherwise: the function waits for what comes after.
        runtime.shutdown_timeout(Duration::from_millis(20));
        drop(end);
    }

    /// A runtime that is dropped in asynchronous code of the published Tokio.
    #[test]
    fn a_runtime_may_be_dropped_in_a_foreign_task() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        upstream::runtime::Builder::new_current_thread().build().unwrap().block_on(async { drop(runtime) });
    }

    #[test]
    fn a_foreign_task_of_no_runtime_is_told_what_to_do() {
        let spawned = interop::handle().spawn(async { drop(tokio::spawn(async {})) });
        finds_no_runtime(interop::handle().block_on(spawned).unwrap_err());
        assert!(tokio::runtime::Handle::try_current().unwrap_err().is_missing_context());
    }

    #[test]
    fn a_thread_outside_may_enter_the_host() {
        let _guard = interop::handle().enter();
        interop::handle().block_on(foreign_sleep());
    }

    #[test]
    fn it_can_be_switched_off() {
        const CHILD: &str = "SPARGIO_TEST_INTEROP_IS_OFF";
        if std::env::var_os(CHILD).is_some() {
            assert!(!interop::is_enabled());
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            return runtime.block_on(finds_no_drivers());
        }
        let name = "with_the_feature::it_can_be_switched_off";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1")
            .env("SPARGIO_INTEROP", "off")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && text.contains("1 passed"),
            "{text}{}",
            String::from_utf8_lossy(&child.stderr)
        );
    }
}
