//! Where descriptors or locked memory are few: what a runtime does not need costs none, and a thread that gets no
//! ring serves its shard all the same.

mod common;

use std::fs::File;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use tokio::runtime::{Builder, Handle, Runtime};

use common::*;

/// Sockets that were made while there was everything.
struct Sockets {
    tcp: [TcpStream; 2],
    unix: [UnixStream; 2],
    udp: UdpSocket,
}

impl Sockets {
    async fn new() -> io::Result<Sockets> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (client, server) = tokio::join!(TcpStream::connect(addr), listener.accept());
        let udp = UdpSocket::bind("127.0.0.1:0").await?;
        udp.connect(udp.local_addr()?).await?;
        Ok(Sockets { tcp: [client?, server?.0], unix: UnixStream::pair()?.into(), udp })
    }

    /// Each waits for what is sent a moment later.
    async fn exchange(&mut self) {
        let later = async || tokio::time::sleep(Duration::from_millis(1)).await;
        for round in 0..3_u8 {
            let [a, b] = &mut self.tcp;
            let (read, ()) = tokio::join!(a.read_u8(), async {
                later().await;
                b.write_u8(round).await.unwrap()
            });
            assert_eq!(read.unwrap(), round);
            let [a, b] = &mut self.unix;
            let (read, ()) = tokio::join!(b.read_u8(), async {
                later().await;
                a.write_u8(round).await.unwrap()
            });
            assert_eq!(read.unwrap(), round);
            let mut bytes = [0; 2];
            let (received, ()) = tokio::join!(self.udp.recv(&mut bytes), async {
                later().await;
                assert_eq!(self.udp.send(&[round]).await.unwrap(), 1);
            });
            assert_eq!((received.unwrap(), bytes[0]), (1, round));
        }
    }
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.unwrap_or_else(|_| panic!("{what}: it hangs"))
}

/// New sockets, used by a task of `rt`.
fn use_sockets(rt: &Runtime, what: &str) {
    let task = rt.spawn(async { Sockets::new().await.unwrap().exchange().await });
    rt.block_on(in_time(what, task)).unwrap();
}

/// Some that are made now, and used by a task later.
fn sockets(rt: &Runtime) -> Sockets {
    rt.block_on(async { tokio::spawn(Sockets::new()).await.unwrap().unwrap() })
}

// ===== runtimes that have not much to do =====

/// All at once; each is used when all are there, and once more.
fn many_runtimes(test: &str, limit: u64, runtimes: usize, workers: usize) {
    on_each_backend(test, || {
        limit_descriptors(limit);
        let mut all: Vec<Runtime> = Vec::new();
        for n in 0..runtimes {
            let rt = Builder::new_multi_thread().worker_threads(workers).enable_all().build();
            all.push(rt.unwrap_or_else(|e| panic!("runtime {n}, {} descriptors: {e}", open_fds())));
        }
        println!("{} descriptors: {runtimes} runtimes with {workers} workers each", open_fds());
        for round in 0..2 {
            for (n, rt) in all.iter().enumerate() {
                use_sockets(rt, &format!("round {round}, runtime {n}"));
            }
        }
        println!("{} descriptors after some I/O on each", open_fds());
    });
}

#[test]
fn thirty_four_runtimes_with_thirty_two_workers() {
    many_runtimes("thirty_four_runtimes_with_thirty_two_workers", 1024, 34, 32);
}

#[test]
fn sixteen_runtimes_with_sixteen_workers() {
    many_runtimes("sixteen_runtimes_with_sixteen_workers", 256, 16, 16);
}

// ===== threads that get none =====

/// Leaves so many descriptors.
fn leave(descriptors: usize) -> Vec<File> {
    let mut files = take_all_descriptors();
    files.truncate(files.len() - descriptors);
    files
}

/// Many tasks block at once, and each does something with sockets while it does; there is no ring for them.
fn in_place(test: &str, descriptors: usize, tasks: usize) {
    on_each_backend(test, || {
        limit_descriptors(1024);
        let rt = multi_thread(2);
        let mut before = sockets(&rt);
        let files = leave(descriptors);
        let tasks: Vec<_> = (0..tasks)
            .map(|n| {
                rt.spawn(async move {
                    tokio::task::block_in_place(|| {
                        std::thread::sleep(Duration::from_millis(1));
                        if n % 10 == 0 {
                            Handle::current().block_on(tokio::time::sleep(Duration::from_millis(1)));
                        }
                    });
                    tokio::task::yield_now().await;
                })
            })
            .collect();
        rt.block_on(async {
            in_time("sockets beside it", before.exchange()).await;
            for task in tasks {
                in_time("block_in_place", task).await.unwrap();
            }
            in_time("sockets after it", before.exchange()).await;
            // On a worker.
            let task = tokio::spawn(async move { before.exchange().await });
            in_time("sockets of a worker after it", task).await.unwrap()
        });
        drop(files);
        use_sockets(&rt, "with descriptors again");
    });
}

#[test]
fn block_in_place_with_ten_descriptors_left() {
    in_place("block_in_place_with_ten_descriptors_left", 10, 1000);
}

#[test]
fn block_in_place_with_no_descriptor_left() {
    in_place("block_in_place_with_no_descriptor_left", 0, 200);
}

/// `block_on` of each flavour on threads that never had a ring, one after the other, and of a handle.
#[test]
fn block_on_a_new_thread_with_no_descriptor_left() {
    on_each_backend("block_on_a_new_thread_with_no_descriptor_left", || {
        limit_descriptors(256);
        for rt in [current_thread(), multi_thread(2)] {
            let flavour = rt.handle().runtime_flavor();
            let mut before = sockets(&rt);
            let files = leave(0);
            for n in 0..20 {
                std::thread::scope(|scope| {
                    let exchange = || rt.block_on(in_time("a new thread", before.exchange()));
                    let end = scope.spawn(exchange).join();
                    assert!(end.is_ok(), "{flavour:?}, thread {n}");
                });
            }
            if flavour == tokio::runtime::RuntimeFlavor::MultiThread {
                let handle = rt.handle().clone();
                let exchange = move || {
                    handle.block_on(in_time("a handle", before.exchange()));
                    before
                };
                before = std::thread::spawn(exchange).join().unwrap();
            }
            drop(files);
            rt.block_on(in_time("with descriptors again", before.exchange()));
            use_sockets(&rt, "with descriptors again");
        }
    });
}

/// The limit is lowered, while far more are open than it allows.
#[test]
fn a_limit_below_what_is_open() {
    on_each_backend("a_limit_below_what_is_open", || {
        for rt in [current_thread(), multi_thread(2)] {
            let mut all: Vec<_> = (0..20).map(|_| sockets(&rt)).collect();
            let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            let set = |limit: &libc::rlimit| {
                // SAFETY: reads a struct that outlives the call.
                assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) }, 0);
            };
            // SAFETY: writes a struct that outlives the call.
            assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
            set(&libc::rlimit { rlim_cur: 3, ..limit });
            assert!(File::open("/dev/null").is_err());
            let blocked = rt.block_on(async {
                for sockets in &mut all {
                    in_time("where it was made", sockets.exchange()).await;
                }
                let tasks: Vec<_> = all
                    .drain(..)
                    .map(|mut sockets| {
                        tokio::spawn(async move {
                            sockets.exchange().await;
                            sockets
                        })
                    })
                    .collect();
                for task in tasks {
                    all.push(in_time("in tasks", task).await.unwrap());
                }
                // Whoever serves the sockets of a worker that is stuck.
                (rt.handle().runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread)
                    .then(|| tokio::spawn(async { std::thread::sleep(Duration::from_millis(100)) }))
            });
            rt.block_on(async {
                for sockets in &mut all {
                    in_time("beside a stuck worker", sockets.exchange()).await;
                }
                if let Some(blocked) = blocked {
                    blocked.await.unwrap();
                }
            });
            std::thread::scope(|scope| {
                let exchange = || rt.block_on(in_time("on a new thread", all[0].exchange()));
                scope.spawn(exchange).join().unwrap();
            });
            drop(all);
            set(&limit);
            use_sockets(&rt, "with descriptors again");
        }
    });
}

// ===== memory that may be locked =====

/// Nobody, with room for a ring or two.
fn with_little_memory(test: &str, kib: u64) {
    // SAFETY: always allowed.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: needs root");
        return;
    }
    // Whatever the runtimes stand on.
    in_a_child(test, || {
        let limit = libc::rlimit { rlim_cur: kib << 10, rlim_max: kib << 10 };
        // SAFETY: reads a struct that outlives the call; and integers.
        unsafe {
            assert_eq!(libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit), 0);
            assert_eq!(libc::setresuid(65534, 65534, 65534), 0, "{}", io::Error::last_os_error());
        }
        for rt in [multi_thread(1), current_thread(), multi_thread(8)] {
            println!("{}", rt.handle().backend());
            use_sockets(&rt, "at first");
            let mut before = sockets(&rt);
            for n in 0..8 {
                std::thread::scope(|scope| {
                    let exchange = || rt.block_on(in_time("a new thread", before.exchange()));
                    assert!(scope.spawn(exchange).join().is_ok(), "thread {n}");
                });
            }
            if rt.handle().runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread {
                rt.block_on(async {
                    let tasks: Vec<_> = (0..100)
                        .map(|_| {
                            let block = || {
                                std::thread::sleep(Duration::from_millis(2));
                                Handle::current().block_on(async {
                                    Sockets::new().await.unwrap().exchange().await;
                                });
                            };
                            tokio::spawn(async move { tokio::task::block_in_place(block) })
                        })
                        .collect();
                    for task in tasks {
                        in_time("block_in_place", task).await.unwrap();
                    }
                });
            }
            use_sockets(&rt, "at last");
        }
    });
}

#[test]
fn nobody_with_64_kib() {
    with_little_memory("nobody_with_64_kib", 64);
}

#[test]
fn nobody_with_512_kib() {
    with_little_memory("nobody_with_512_kib", 512);
}
