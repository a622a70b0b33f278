//! What the kernel does not let go of holds up nobody (H76): a peer that does not take what was sent without a copy, an
//! operation that cannot be cancelled. In each scene the kernel is made to let go only after everybody else was to go
//! on, so whoever waits for it waits for ever.

use std::future::Future;
use std::io::Read;
use std::net::TcpStream as StdStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::task::Poll;
use std::thread;

use futures::poll;
use tokio::fs::File;
use tokio::native::{IoBuf, IoBufMut, Lent};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::{block_in_place, yield_now};

use super::cancel::Counted;
use super::common::{LONG, connection, current_thread, eventually, lacks_rings, multi_thread, sees_end};
use super::{is_emulated, on_workers};

const CHUNK: usize = 1 << 16;

/// Sends without a copy until the peer's room is full, `peer` reading nothing; the bytes that are on their way, and
/// their buffers.
async fn fill(ours: &TcpStream, alive: &Arc<AtomicUsize>) -> (usize, Vec<Lent<Counted>>) {
    let (mut sent, mut lent) = (0, Vec::new());
    loop {
        let mut send = Box::pin(ours.native().send_zc(Counted::filled(vec![7; CHUNK], alive)));
        // What goes at all goes at once; a turn of the ring is needed for it.
        let mut result = poll!(&mut send);
        for _ in 0..10_000 {
            if result.is_ready() {
                break;
            }
            yield_now().await;
            result = poll!(&mut send);
        }
        let Poll::Ready((n, buf)) = result else { return (sent, lent) };
        sent += n.unwrap();
        lent.push(buf);
    }
}

/// That many bytes, of which none was changed.
fn read_all(mut peer: &StdStream, sent: usize) {
    peer.set_nonblocking(false).unwrap();
    peer.set_read_timeout(Some(LONG)).unwrap();
    let mut all = vec![0; sent];
    peer.read_exact(&mut all).unwrap();
    assert!(all.iter().all(|&byte| byte == 7), "memory was freed that the kernel still read");
}

async fn all_back(lent: Vec<Lent<Counted>>) {
    for buf in lent {
        assert_eq!(buf.await.0, [7; CHUNK]);
    }
}

#[test]
fn h76_a_result_does_not_wait_for_the_peer_and_the_buffer_comes_later() {
    on_workers(|| async {
        let alive = Arc::new(AtomicUsize::new(0));
        let (ours, peer) = connection().await;
        let (sent, mut lent) = fill(&ours, &alive).await;
        if !is_emulated() {
            // The kernel copies what it delivers on loopback. The rest is still to be sent.
            let last = lent.last_mut().unwrap();
            assert!(poll!(last).is_pending(), "{sent} bytes were delivered to a peer that reads nothing");
        }
        let reader = thread::spawn(move || read_all(&peer, sent));
        all_back(lent).await;
        reader.join().unwrap();
        eventually("the buffers are freed", || alive.load(SeqCst) == 0);
    });
}

#[test]
fn h76_a_stream_that_is_dropped_is_closed_although_its_buffers_are_lent() {
    on_workers(|| async {
        let alive = Arc::new(AtomicUsize::new(0));
        let (ours, peer) = connection().await;
        let (sent, lent) = fill(&ours, &alive).await;
        let inode = std::fs::read_link(format!("/proc/self/fd/{}", ours.as_raw_fd())).unwrap();
        drop(ours);
        let is_open = || {
            let mut fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
            fds.any(|fd| std::fs::read_link(fd.path()).is_ok_and(|path| path == inode))
        };
        for _ in 0..10_000 {
            if !is_open() {
                break;
            }
            yield_now().await;
        }
        assert!(!is_open(), "the descriptor of a stream that was dropped is open");
        let reader = thread::spawn(move || {
            read_all(&peer, sent);
            eventually("the peer sees the end", || sees_end(&mut &peer));
        });
        all_back(lent).await;
        reader.join().unwrap();
    });
}

#[test]
fn h76_lent_buffers_do_not_hold_up_who_blocks() {
    on_workers(|| async {
        let alive = Arc::new(AtomicUsize::new(0));
        let (ours, peer) = connection().await;
        let (sent, lent) = fill(&ours, &alive).await;
        if tokio::runtime::Handle::current().runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread {
            block_in_place(|| read_all(&peer, sent));
        } else {
            thread::spawn(move || read_all(&peer, sent));
        }
        all_back(lent).await;
    });
}

/// A runtime of one thread with lent buffers, after a `block_on`.
fn with_lent_buffers(alive: &Arc<AtomicUsize>) -> (Runtime, StdStream, usize, Vec<Lent<Counted>>) {
    let rt = current_thread();
    let (peer, sent, lent) = rt.block_on(async {
        let (ours, peer) = connection().await;
        let (sent, lent) = fill(&ours, alive).await;
        (peer, sent, lent)
    });
    (rt, peer, sent, lent)
}

#[test]
fn h76_lent_buffers_do_not_hold_up_the_end_of_block_on() {
    let alive = Arc::new(AtomicUsize::new(0));
    let (rt, peer, sent, lent) = with_lent_buffers(&alive);
    rt.block_on(async {});
    read_all(&peer, sent);
    rt.block_on(all_back(lent));
}

#[test]
fn h76_lent_buffers_come_back_to_another_thread() {
    let alive = Arc::new(AtomicUsize::new(0));
    let (rt, peer, sent, lent) = with_lent_buffers(&alive);
    thread::spawn(move || {
        rt.block_on(async {});
        read_all(&peer, sent);
        rt.block_on(all_back(lent));
    })
    .join()
    .unwrap();
    eventually("the buffers are freed", || alive.load(SeqCst) == 0);
}

#[test]
fn h76_lent_buffers_outlive_their_runtime_and_are_freed() {
    let alive = Arc::new(AtomicUsize::new(0));
    for is_kept in [true, false] {
        for workers in [0, 1] {
            let (peer, sent, lent) = if workers == 0 {
                let (rt, peer, sent, lent) = with_lent_buffers(&alive);
                drop(rt);
                (peer, sent, lent)
            } else {
                let rt = multi_thread(workers);
                let counter = alive.clone();
                let scene = async move {
                    let (ours, peer) = connection().await;
                    let (sent, lent) = fill(&ours, &counter).await;
                    (peer, sent, lent)
                };
                rt.block_on(async { tokio::spawn(scene).await.unwrap() })
            };
            let n = lent.len();
            let lent = Some(lent).filter(|_| is_kept);
            // Whoever frees too early finds something else there by now.
            let scribbled: Vec<_> = (0..n).map(|_| vec![8_u8; CHUNK]).collect();
            read_all(&peer, sent);
            drop(scribbled);
            // Nobody drives a runtime any more.
            if let Some(lent) = lent {
                futures::executor::block_on(all_back(lent));
            }
            eventually("the buffers are freed", || alive.load(SeqCst) == 0);
        }
    }
}

/// Memory that the kernel cannot write to until it is let: `userfaultfd(2)`. Whoever tries waits, and cannot be
/// interrupted.
struct Stuck {
    begin: *mut u8,
    alive: Arc<AtomicUsize>,
}

/// What lets it.
struct Faults {
    uffd: OwnedFd,
    page: u64,
}

const PAGE: usize = 4096;

// SAFETY: a page that nobody else has.
unsafe impl Send for Stuck {}

impl Stuck {
    /// `None` if this process may not do that.
    fn new(alive: &Arc<AtomicUsize>) -> Option<(Stuck, Faults)> {
        const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
        const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
        // SAFETY: requests with the structures that they are made for, and a page of our own.
        unsafe {
            let uffd = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK);
            if uffd < 0 {
                println!("skipped: needs userfaultfd ({})", std::io::Error::last_os_error());
                return None;
            }
            let uffd = OwnedFd::from_raw_fd(uffd as i32);
            let mut api = [0xaa_u64, 0, 0];
            assert_eq!(libc::ioctl(uffd.as_raw_fd(), UFFDIO_API, &mut api), 0);
            let begin = libc::mmap(
                std::ptr::null_mut(),
                PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(begin, libc::MAP_FAILED);
            let mut register = [begin as u64, PAGE as u64, 1, 0];
            assert_eq!(libc::ioctl(uffd.as_raw_fd(), UFFDIO_REGISTER, &mut register), 0);
            alive.fetch_add(1, SeqCst);
            Some((Stuck { begin: begin.cast(), alive: alive.clone() }, Faults { uffd, page: begin as u64 }))
        }
    }
}

impl Faults {
    /// Does the kernel wait for the page?
    fn is_awaited(&self) -> bool {
        let mut fds = [libc::pollfd { fd: self.uffd.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
        // SAFETY: one of them.
        unsafe { libc::poll(fds.as_mut_ptr(), 1, 0) == 1 && fds[0].revents == libc::POLLIN }
    }

    fn resolve(self) {
        const UFFDIO_ZEROPAGE: libc::c_ulong = 0xc020_aa04;
        let mut zero = [self.page, PAGE as u64, 0, 0];
        // SAFETY: as above.
        assert_eq!(unsafe { libc::ioctl(self.uffd.as_raw_fd(), UFFDIO_ZEROPAGE, &mut zero) }, 0);
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        // SAFETY: mapped as such, and nobody else has it.
        unsafe { libc::munmap(self.begin.cast(), PAGE) };
        self.alive.fetch_sub(1, SeqCst);
    }
}

// SAFETY: it stays where it is, and is never read here.
unsafe impl IoBuf for Stuck {
    fn stable_ptr(&self) -> *const u8 {
        self.begin
    }

    fn bytes_init(&self) -> usize {
        0
    }

    fn bytes_total(&self) -> usize {
        PAGE
    }
}

// SAFETY: as above.
unsafe impl IoBufMut for Stuck {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.begin
    }

    unsafe fn set_init(&mut self, _: usize) {}
}

type Asking = Pin<Box<dyn Future<Output = std::io::Result<usize>> + Send>>;

/// Something that a thread of the kernel does, and is stuck with; `None` if that cannot be had here.
async fn stuck(alive: &Arc<AtomicUsize>) -> Option<(Asking, Faults)> {
    if is_emulated() {
        return None;
    }
    let (page, faults) = Stuck::new(alive)?;
    let (socket, _peer) = UnixStream::pair().unwrap();
    let file = File::from_std(OwnedFd::from(socket).into());
    let mut asking: Asking =
        Box::pin(async move { file.native().getxattr("system.sockprotoname", page).await.0 });
    assert!(poll!(&mut asking).is_pending());
    while !faults.is_awaited() {
        yield_now().await;
    }
    Some((asking, faults))
}

#[test]
fn h76_what_cannot_be_cancelled_does_not_hold_up_who_blocks() {
    if lacks_rings() {
        return;
    }
    let alive = Arc::new(AtomicUsize::new(0));
    let counter = alive.clone();
    multi_thread(1).block_on(async {
        let scene = async move {
            let Some((asking, faults)) = stuck(&counter).await else { return };
            block_in_place(|| faults.resolve());
            assert_eq!(asking.await.unwrap(), "UNIX-STREAM\0".len());
        };
        tokio::spawn(scene).await.unwrap();
    });
    eventually("the memory is freed", || alive.load(SeqCst) == 0);
}

#[test]
fn h76_what_cannot_be_cancelled_does_not_hold_up_the_end_of_block_on() {
    if lacks_rings() {
        return;
    }
    let alive = Arc::new(AtomicUsize::new(0));
    let rt = current_thread();
    let Some((asking, faults)) = rt.block_on(stuck(&alive)) else { return };
    rt.block_on(async {});
    faults.resolve();
    assert_eq!(rt.block_on(asking).unwrap(), "UNIX-STREAM\0".len());
    eventually("the memory is freed", || alive.load(SeqCst) == 0);
}

#[test]
fn h76_what_cannot_be_cancelled_is_left_behind_by_another_thread_or_a_shutdown() {
    if lacks_rings() {
        return;
    }
    for is_dropped in [false, true] {
        let alive = Arc::new(AtomicUsize::new(0));
        let (done, is_over) = mpsc::channel();
        let counter = alive.clone();
        // A thread with a thread of the kernel that is stuck cannot end, so the others are asked.
        thread::spawn(move || {
            let rt = current_thread();
            let begun = rt.block_on(stuck(&counter));
            done.send((rt, begun)).unwrap();
            thread::park();
        });
        let (rt, begun) = is_over.recv_timeout(LONG).unwrap();
        let Some((asking, faults)) = begun else { return };
        let ended = if is_dropped {
            drop(rt);
            faults.resolve();
            futures::executor::block_on(asking)
        } else {
            let resolver = thread::spawn(move || faults.resolve());
            let ended = rt.block_on(asking);
            resolver.join().unwrap();
            ended
        };
        let error = ended.unwrap_err();
        assert!(error.to_string().contains("left it behind"), "{error}");
        eventually("the memory is freed", || alive.load(SeqCst) == 0);
    }
}

#[test]
fn h76_a_time_limit_and_a_shutdown_do_not_wait_for_what_cannot_be_cancelled() {
    if lacks_rings() {
        return;
    }
    let alive = Arc::new(AtomicUsize::new(0));
    for workers in [0, 1] {
        let (rt, faults) = if workers == 0 {
            let rt = current_thread();
            let begun = rt.block_on(stuck(&alive));
            (rt, begun.map(|(asking, faults)| (drop(asking), faults).1))
        } else {
            let rt = multi_thread(workers);
            let counter = alive.clone();
            let scene = async move { stuck(&counter).await.map(|(asking, faults)| (drop(asking), faults).1) };
            let faults = rt.block_on(async { tokio::spawn(scene).await.unwrap() });
            (rt, faults)
        };
        let Some(faults) = faults else { return };
        if workers == 0 {
            drop(rt);
        } else {
            // Its thread cannot end: the kernel waits for its own.
            rt.shutdown_background();
        }
        assert_eq!(alive.load(SeqCst), 1, "memory was freed that the kernel still writes to");
        faults.resolve();
        eventually("the memory is freed", || alive.load(SeqCst) == 0);
    }
}
