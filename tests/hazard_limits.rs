//! What grows, leaks or runs out in the long run: hazards H41, H42, H43, H52 and H53.

#[path = "common/mod.rs"]
mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, unix};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use common::*;

/// Counts the bytes that are allocated right now.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The bytes that `make` leaves allocated, and what it returns.
fn bytes_of<R>(make: impl FnOnce() -> R) -> (usize, R) {
    let before = ALLOCATED.load(Relaxed);
    let result = make();
    (ALLOCATED.load(Relaxed).saturating_sub(before), result)
}

// ===== H41: a million tasks =====

const MILLION: usize = 1_000_000;

/// How many futures were polled, and how many dropped.
#[derive(Default)]
struct Counts {
    polled: AtomicUsize,
    dropped: AtomicUsize,
}

/// A future that waits for ever.
fn sleeper(counts: Arc<Counts>) -> impl Future<Output = ()> + Send {
    struct Count(Arc<Counts>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.dropped.fetch_add(1, Relaxed);
        }
    }
    let count = Count(counts);
    async move {
        count.0.polled.fetch_add(1, Relaxed);
        std::future::pending::<()>().await;
    }
}

/// Bytes for each of so many tasks that have run once, and how many were dropped at the end; on
/// stacks that have no room for a frame per task.
macro_rules! so_many_tasks {
    ($tokio:ident, $builder:ident, $n:expr) => {{
        let scene = || {
            let counts = Arc::new(Counts::default());
            let rt = $tokio::runtime::Builder::$builder()
                .worker_threads(2)
                .thread_stack_size(256 << 10)
                .enable_all()
                .build()
                .unwrap();
            let spawn = || {
                rt.block_on(async {
                    for n in 0..$n {
                        drop($tokio::spawn(sleeper(counts.clone())));
                        // Queues stay short.
                        while counts.polled.load(Relaxed) + 256 < n {
                            $tokio::task::yield_now().await;
                        }
                    }
                    while counts.polled.load(Relaxed) < $n {
                        $tokio::task::yield_now().await;
                    }
                })
            };
            let (bytes, ()) = bytes_of(spawn);
            assert_eq!(rt.metrics().num_alive_tasks(), $n);
            drop(rt);
            (bytes / $n, counts.dropped.load(Relaxed))
        };
        std::thread::Builder::new().stack_size(256 << 10).spawn(scene).unwrap().join().unwrap()
    }};
}

#[test]
fn h41_a_million_tasks() {
    let _alone = alone();
    let (bytes, dropped) = so_many_tasks!(tokio, new_current_thread, MILLION);
    let (theirs, _) = so_many_tasks!(upstream, new_current_thread, MILLION / 20);
    println!("current_thread: {bytes} bytes a task, Tokio {theirs}");
    assert_eq!(dropped, MILLION);
    assert!(bytes <= theirs, "{bytes} bytes a task, Tokio {theirs}");

    let (bytes, dropped) = so_many_tasks!(tokio, new_multi_thread, MILLION);
    let (theirs, _) = so_many_tasks!(upstream, new_multi_thread, MILLION / 20);
    println!("multi_thread: {bytes} bytes a task, Tokio {theirs}");
    assert_eq!(dropped, MILLION);
    assert!(bytes <= theirs, "{bytes} bytes a task, Tokio {theirs}");
}

// ===== H42: a peer that sends what nobody reads =====

/// A peer writes whenever its socket takes something, in small pieces: each is an event. The reader
/// takes less than that; the runtime sees every event, since it always has something to do.
#[test]
fn h42_a_slow_consumer_costs_no_memory() {
    let _alone = alone();
    // Where no other test is begun or ended meanwhile, which takes memory.
    in_a_child("h42_a_slow_consumer_costs_no_memory", slow_consumers);
}

fn slow_consumers() {
    for rt in [current_thread(), multi_thread(1)] {
        let (growth, written) = rt.block_on(async {
            // Each write is an event of its own there.
            let (stream, mut peer) = std::os::unix::net::UnixStream::pair().unwrap();
            stream.set_nonblocking(true).unwrap();
            peer.set_nonblocking(true).unwrap();
            let mut stream = UnixStream::from_std(stream).unwrap();
            let stop = Arc::new(AtomicBool::new(false));
            let busy = tokio::spawn({
                let stop = stop.clone();
                async move {
                    while !stop.load(Relaxed) {
                        tokio::task::yield_now().await;
                    }
                }
            });
            let writer = std::thread::spawn({
                let stop = stop.clone();
                move || {
                    let mut written = 0;
                    while !stop.load(Relaxed) {
                        match peer.write(&[7; 100]) {
                            Ok(n) => written += n,
                            Err(_) => std::thread::yield_now(),
                        }
                    }
                    written
                }
            });
            // For a time, and so many bytes at least.
            let mut slowly = async |time: Duration, bytes: usize| {
                let (start, mut read) = (Instant::now(), 0);
                let mut some = [0; 1000];
                while start.elapsed() < time || read < bytes {
                    let n = stream.read(&mut some).await.unwrap();
                    assert!(n > 0);
                    read += n;
                    tokio::time::sleep(Duration::from_micros(500)).await;
                }
            };
            slowly(Duration::from_millis(300), 20_000).await;
            let before = ALLOCATED.load(Relaxed);
            slowly(Duration::from_millis(1500), 100_000).await;
            let growth = ALLOCATED.load(Relaxed).saturating_sub(before);
            stop.store(true, Relaxed);
            busy.await.unwrap();
            (growth, writer.join().unwrap())
        });
        println!("{written} bytes written, memory grew by {growth}");
        assert!(written > 100_000, "{written} bytes are no flood");
        assert!(growth < 2 << 10, "memory grew by {growth} bytes");
    }
}

// ===== H43: EMFILE for long =====

#[test]
fn h43_accept_without_descriptors_for_long() {
    let _alone = alone();
    in_a_child("h43_accept_without_descriptors_for_long", || {
        limit_descriptors(128);
        for rt in [current_thread(), multi_thread(2)] {
            let (errors, other, took, cpu) = rt.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let addr = listener.local_addr().unwrap();
                let (mut stream, mut peer) = connection().await;
                start_waiting(listener.accept()).await;
                let client =
                    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
                let files = take_all_descriptors();
                client.connect(&addr.into()).unwrap();

                // As servers do it: an error, a pause, the next attempt.
                let failed = Arc::new(AtomicUsize::new(0));
                let count = failed.clone();
                let acceptor = tokio::spawn(async move {
                    let mut errors = 0;
                    loop {
                        match listener.accept().await {
                            Ok((accepted, _)) => return (errors, accepted),
                            Err(error) => {
                                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                                errors += 1;
                                count.store(errors, Relaxed);
                                tokio::time::sleep(Duration::from_millis(10)).await;
                            }
                        }
                    }
                });
                let (start, cpu) = (Instant::now(), cpu_time());
                // Other sockets are served meanwhile.
                let mut other = 0;
                while failed.load(Relaxed) < 50 || other < 10 {
                    assert!(start.elapsed() < LONG, "accept says nothing any more");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    peer.write_all(b"x").unwrap();
                    other += usize::from(stream.read_u8().await.unwrap() == b'x');
                }
                let (took, cpu) = (start.elapsed(), cpu_time() - cpu);
                drop(files);
                let (errors, accepted) =
                    tokio::time::timeout(LONG, acceptor).await.expect("no recovery").unwrap();
                drop((client, accepted));
                (errors, other, took, cpu)
            });
            assert!(errors >= 50, "{errors} errors");
            assert!(other >= 10, "{other} round trips");
            // 50 attempts with pauses, in half a second or more: next to nothing, where a spin would take it all.
            assert!(cpu < took.max(Duration::from_millis(500)) * 3 / 10, "{cpu:?} of CPU time in {took:?}");
        }
    });
}

/// The CPU time of this process.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

// ===== H52: what a child inherits =====

/// The descriptors that a child of this process finds open, apart from its own and those of the
/// test's own start.
fn inherited(before: &[i32]) -> Vec<String> {
    let output = Command::new("/bin/sh")
        .args(["-c", "for f in /proc/$$/fd/*; do echo \"${f##*/} $(readlink $f)\"; done"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(str::to_owned);
    lines
        .filter(|line| {
            let fd = line.split(' ').next().and_then(|fd| fd.parse().ok());
            fd.is_none_or(|fd: i32| fd > 2 && !before.contains(&fd)) && !line.contains("/proc/")
        })
        .collect()
}

fn open_now() -> Vec<i32> {
    let fds = fs::read_dir("/proc/self/fd").unwrap().flatten();
    fds.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The descriptors of this process that a child would inherit.
fn without_cloexec(before: &[i32]) -> Vec<String> {
    let inherits = |fd: &i32| {
        // SAFETY: no memory is passed.
        let flags = unsafe { libc::fcntl(*fd, libc::F_GETFD) };
        flags >= 0 && flags & libc::FD_CLOEXEC == 0
    };
    let fds = open_now().into_iter().filter(|fd| !before.contains(fd)).filter(inherits);
    fds.map(|fd| format!("{fd} {:?}", fs::read_link(format!("/proc/self/fd/{fd}")))).collect()
}

#[test]
fn h52_no_descriptor_is_inherited() {
    let _alone = alone();
    in_a_child("h52_no_descriptor_is_inherited", || {
        let before = open_now();
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for rt in [current_thread(), multi_thread(2)] {
            rt.block_on(async {
                // Everything that has a descriptor, alive at once.
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let addr = listener.local_addr().unwrap();
                let (client, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
                let mut client = client.unwrap();
                wait_in_read(&mut client).await;
                let tcp = (listener, client, accepted.unwrap());
                let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                let socket = tokio::net::TcpSocket::new_v6().unwrap();

                let name = path("socket");
                let listener = UnixListener::bind(&name).unwrap();
                let (client, accepted) = tokio::join!(UnixStream::connect(&name), listener.accept());
                let unix = (listener, client.unwrap(), accepted.unwrap());
                let pairs = (UnixStream::pair().unwrap(), UnixDatagram::pair().unwrap());
                let datagrams =
                    (UnixDatagram::unbound().unwrap(), UnixDatagram::bind(path("datagrams")).unwrap());
                let pipe = unix::pipe::pipe().unwrap();
                let fifo = path("fifo");
                let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
                assert!(made.success());
                let receiver = unix::pipe::OpenOptions::new().open_receiver(&fifo).unwrap();
                let sender = unix::pipe::OpenOptions::new().open_sender(&fifo).unwrap();

                let file = tokio::fs::File::create(path("file")).await.unwrap();
                let again = tokio::fs::File::open(path("file")).await.unwrap();
                let twin = again.try_clone().await.unwrap();
                let mut entries = tokio::fs::read_dir(dir.path()).await.unwrap();
                entries.next_entry().await.unwrap().unwrap();

                let signals = signal(SignalKind::user_defined1()).unwrap();
                let mut child = tokio::process::Command::new("/bin/cat")
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap();
                let foreign = std::os::unix::net::UnixStream::pair().unwrap().0;
                // SAFETY: the stream owns its descriptor.
                let foreign = unsafe { AsyncFd::register(foreign) }.unwrap();
                assert!(foreign.as_raw_fd() > 2);
                tokio::spawn(async { 1 }).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
                tokio::task::spawn_blocking(|| ()).await.unwrap();

                assert_eq!(without_cloexec(&before), [""; 0], "descriptors without FD_CLOEXEC");
                assert_eq!(inherited(&before), [""; 0], "descriptors that a child has");

                child.kill().await.unwrap();
                drop((tcp, udp, socket, unix, pairs, datagrams, pipe, receiver, sender));
                drop((file, again, twin, entries, signals, foreign));
            });
            fs::remove_file(path("socket")).unwrap();
            fs::remove_file(path("datagrams")).unwrap();
            fs::remove_file(path("fifo")).unwrap();
        }
    });
}

// ===== H53: descriptors of rings =====

/// Fails to compile if a type has a descriptor to show: then it has both implementations.
macro_rules! have_no_descriptor {
    ($($type:ty),* $(,)?) => { $(
        const _: fn() = || {
            trait Shows<A> {
                fn it() {}
            }
            struct Raw;
            struct Borrowed;
            impl<T: ?Sized> Shows<()> for T {}
            impl<T: ?Sized + AsRawFd> Shows<Raw> for T {}
            impl<T: ?Sized + std::os::fd::AsFd> Shows<Borrowed> for T {}
            <$type as Shows<_>>::it();
        };
    )* };
}

have_no_descriptor! {
    Builder,
    Runtime,
    tokio::runtime::LocalRuntime,
    tokio::runtime::Handle,
    tokio::runtime::RuntimeMetrics,
    tokio::shard::Remote,
    tokio::shard::Shard,
    tokio::shard::ShardStats,
    tokio::native::BufPool,
    tokio::native::Caps,
    tokio::task::JoinHandle<()>,
    tokio::task::LocalSet,
    tokio::time::Sleep,
}

/// What can be printed of a runtime does not say which descriptor a ring is either.
#[test]
fn h53_nothing_tells_the_descriptor_of_a_ring() {
    let _alone = alone();
    for rt in [current_thread(), multi_thread(2)] {
        let (stream, _peer) = rt.block_on(async {
            let (mut stream, peer) = connection().await;
            wait_in_read(&mut stream).await;
            // On a worker, or this thread: with a ring, if it has none yet.
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let received = tokio::spawn(async move {
                let ours = tokio::net::UnixStream::from_std(ours).unwrap();
                ours.native().recv(vec![0; 1]).await.0
            });
            std::io::Write::write_all(&mut &theirs, b"x").unwrap();
            received.await.unwrap().unwrap();
            (stream, peer)
        });
        let rings: Vec<String> = fs::read_dir("/proc/self/fd")
            .unwrap()
            .flatten()
            .filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().contains("[io_uring]")))
            .map(|fd| fd.file_name().into_string().unwrap())
            .collect();
        assert!(!rings.is_empty() || backend() != tokio::runtime::BackendKind::IoUring);
        let handle = rt.handle();
        let remotes: Vec<_> = handle.shards().map(|shard| handle.remote(shard).unwrap()).collect();
        let stats: Vec<_> = remotes.iter().map(|remote| remote.stats()).collect();
        let text = format!("{rt:?} {handle:?} {remotes:?} {stats:?} {:?} {stream:?}", handle.metrics());
        for ring in rings {
            for field in ["fd: ", "ring: ", "Some(", "RawFd("] {
                let said = text.split(field).skip(1).any(|rest| rest.starts_with(&format!("{ring} ")));
                let exactly = [',', ')', '}'].iter().any(|end| text.contains(&format!("{field}{ring}{end}")));
                assert!(!said && !exactly, "{field}{ring}: {text}");
            }
        }
    }
}
