//! The kinds of descriptors, and what happens to each.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Child;
use std::time::Duration;

use super::common::own_address;
use super::scene::*;
use Step::{Clear, Fill, Read};

/// A new descriptor.
fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just given it to the caller.
    unsafe { OwnedFd::from_raw_fd(check(fd)) }
}

fn tcp() -> Subject {
    let listener = TcpListener::bind(own_address()).unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    for stream in [&ours, &theirs] {
        stream.set_nodelay(true).unwrap();
        // A size that is given does not grow.
        socket2::SockRef::from(stream).set_send_buffer_size(64 << 10).unwrap();
        socket2::SockRef::from(stream).set_recv_buffer_size(64 << 10).unwrap();
    }
    Subject::new(ours).peer(theirs)
}

/// What the other side answers may take its time.
const ANSWER: Duration = Duration::from_millis(20);

pub fn tcp_to_its_end() -> Kind {
    let steps = vec![
        data(),
        data(),
        Read,
        data(),
        Clear,
        data(),
        Read,
        urgent(),
        take_urgent(),
        data(),
        Read,
        urgent(),
        Clear,
        data(),
        take_urgent(),
        Read,
        Fill,
        data(),
        Read,
        drain(),
        Fill,
        drain(),
        Clear,
        data(),
        half_close(),
        Read,
        Clear,
        our_half_close(),
        Fill,
        Clear,
        gone(),
        Read,
    ];
    Kind::new("a TCP stream", tcp, steps).takes(ANSWER)
}

pub fn tcp_reset() -> Kind {
    let steps = vec![data(), Fill, reset(), Clear, Read, Read, Fill, Clear];
    Kind::new("a TCP stream that is reset", tcp, steps).takes(ANSWER)
}

/// A socket that is connected while it is registered.
pub fn tcp_refused() -> Kind {
    fn connect(s: &Subject, to: std::net::SocketAddr) -> String {
        // Its own address is kept by somebody who does not listen.
        let outcome = nix_connect(s.fd(), to);
        format!("{outcome:?}")
    }
    let socket = || {
        // SAFETY: three integers.
        let ours = owned(unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0) });
        let listener = TcpListener::bind(own_address()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let nobody = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        nobody.bind(&own_address().into()).unwrap();
        Subject::new(ours).also((listener, nobody))
    };
    type Also = (TcpListener, socket2::Socket);
    let steps = vec![
        Clear,
        ask("connect to nobody", |s| {
            connect(s, s.with(|also: &mut Also| also.1.local_addr().unwrap().as_socket().unwrap()))
        }),
        Clear,
        Fill,
        Read,
        Clear,
        ask("connect to somebody", |s| connect(s, s.with(|also: &mut Also| also.0.local_addr().unwrap()))),
        Clear,
        Read,
        ask("accept and drop", |s| s.with(|also: &mut Also| also.0.accept().is_ok())),
        Read,
    ];
    Kind::new("a TCP socket", socket, steps).takes(ANSWER)
}

fn nix_connect(fd: RawFd, to: std::net::SocketAddr) -> Option<i32> {
    let to = socket2::SockAddr::from(to);
    // SAFETY: an address and its length.
    let outcome = unsafe { libc::connect(fd, to.as_ptr().cast(), to.len()) };
    (outcome != 0).then(|| std::io::Error::last_os_error().raw_os_error().unwrap())
}

pub fn tcp_listener() -> Kind {
    let listener = || {
        let ours = TcpListener::bind(own_address()).unwrap();
        let addr = ours.local_addr().unwrap();
        Subject::new(ours).also((addr, Vec::<TcpStream>::new()))
    };
    type Also = (std::net::SocketAddr, Vec<TcpStream>);
    let connect = || {
        act("somebody connects", |s| {
            s.with(|(addr, streams): &mut Also| streams.push(TcpStream::connect(*addr).unwrap()));
        })
    };
    let accept = || {
        ask("accept", |s| {
            // SAFETY: no address is asked for.
            let fd = unsafe { libc::accept(s.fd(), std::ptr::null_mut(), std::ptr::null_mut()) };
            let stream = (fd >= 0).then(|| owned(fd));
            stream.is_some()
        })
    };
    let steps = vec![
        connect(),
        connect(),
        accept(),
        Clear,
        accept(),
        accept(),
        connect(),
        Read,
        our_half_close(),
        Clear,
        accept(),
    ];
    Kind::new("a TCP listener", listener, steps).takes(ANSWER)
}

/// Steps that every connected pair can go through.
fn exchanges() -> Vec<Step> {
    vec![
        data(),
        data(),
        Read,
        data(),
        Clear,
        data(),
        Read,
        urgent(),
        Read,
        Fill,
        data(),
        Read,
        drain(),
        Clear,
        Fill,
        drain(),
        half_close(),
        Clear,
        our_half_close(),
        Read,
        Fill,
        Clear,
        gone(),
        Read,
        Fill,
    ]
}

pub fn unix_stream() -> Kind {
    Kind::new("a Unix stream", unix_pair, exchanges())
}

fn unix_pair() -> Subject {
    let (ours, theirs) = UnixStream::pair().unwrap();
    Subject::new(ours).peer(theirs)
}

pub fn unix_stream_closed_over_data() -> Kind {
    let steps =
        vec![ask("write", |s| write(s.fd()).map_err(|e| e.kind())), data(), gone(), Clear, Read, Fill, Clear];
    Kind::new("a Unix stream closed over data", unix_pair, steps)
}

pub fn unix_datagram() -> Kind {
    let pair = || {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        Subject::new(ours).peer(theirs)
    };
    Kind::new("a Unix datagram socket", pair, exchanges())
}

pub fn unix_seqpacket() -> Kind {
    let pair = || {
        let mut pair = [0; 2];
        // SAFETY: room for two descriptors.
        check(unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0, pair.as_mut_ptr()) });
        Subject::new(owned(pair[0])).peer(owned(pair[1]))
    };
    Kind::new("a sequenced packet socket", pair, exchanges())
}

pub fn udp() -> Kind {
    let pair = || {
        let (ours, theirs) =
            (UdpSocket::bind(own_address()).unwrap(), UdpSocket::bind(own_address()).unwrap());
        ours.connect(theirs.local_addr().unwrap()).unwrap();
        theirs.connect(ours.local_addr().unwrap()).unwrap();
        Subject::new(ours).peer(theirs)
    };
    let send = || ask("send", |s| write(s.fd()).map_err(|e| e.kind()));
    let steps = vec![
        data(),
        data(),
        Read,
        data(),
        Clear,
        data(),
        send(),
        Read,
        Clear,
        send(),
        drain(),
        gone(),
        send(),
        Read,
        send(),
        Clear,
        send(),
        send(),
        our_half_close(),
        Read,
    ];
    Kind::new("a UDP socket", pair, steps).takes(ANSWER)
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let mut pipe = [0; 2];
    // SAFETY: room for two descriptors.
    check(unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) });
    (owned(pipe[0]), owned(pipe[1]))
}

pub fn pipe_reader() -> Kind {
    let pair = || {
        let (ours, theirs) = pipe();
        Subject::new(ours).peer(theirs)
    };
    let steps =
        vec![data(), data(), Read, data(), Clear, data(), Read, data(), gone(), Clear, Read, Read, Clear];
    Kind::new("the reading end of a pipe", pair, steps)
}

pub fn pipe_writer() -> Kind {
    let pair = || {
        let (theirs, ours) = pipe();
        Subject::new(ours).peer(theirs)
    };
    let steps = vec![
        Fill,
        drain(),
        Clear,
        act("the peer reads a little", |s| drop(read(s.peer_fd()))),
        Fill,
        act("the peer reads a little", |s| drop(read(s.peer_fd()))),
        Clear,
        drain(),
        Fill,
        gone(),
        Fill,
        Clear,
    ];
    Kind::new("the writing end of a pipe", pair, steps)
}

pub fn eventfd() -> Kind {
    // SAFETY: two integers.
    let make = || Subject::new(owned(unsafe { libc::eventfd(0, 0) }));
    let add =
        |name, n: u64| ask(name, move |s| write_all(s.fd(), &n.to_ne_bytes()).map_err(|e| e.raw_os_error()));
    let steps = vec![
        add("add one", 1),
        add("add one", 1),
        Read,
        add("add one", 1),
        Clear,
        add("add one", 1),
        Read,
        add("add all", u64::MAX - 1),
        add("add too much", 1),
        Clear,
        Read,
        Clear,
        add("add nothing", 0),
    ];
    Kind::new("an eventfd", make, steps)
}

pub fn timerfd() -> Kind {
    // SAFETY: two integers.
    let make = || Subject::new(owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, 0) }));
    let set = |name, millis: i64, each: i64| {
        act(name, move |s| {
            let time = |millis| libc::timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 };
            let time = libc::itimerspec { it_value: time(millis), it_interval: time(each) };
            // SAFETY: reads a struct.
            check(unsafe { libc::timerfd_settime(s.fd(), 0, &time, std::ptr::null_mut()) });
        })
    };
    let steps = vec![
        set("expires", 1, 0),
        Read,
        set("expires", 1, 0),
        Clear,
        set("expires again", 1, 0),
        Read,
        set("some day", 1_000_000, 0),
        set("never", 0, 0),
        set("expires", 1, 0),
        set("never", 0, 0),
        Read,
    ];
    Kind::new("a timerfd", make, steps).takes(ANSWER)
}

pub fn signalfd() -> Kind {
    fn mask() -> libc::sigset_t {
        // SAFETY: a plain struct, filled by the calls.
        unsafe {
            let mut mask = std::mem::zeroed();
            libc::sigemptyset(&mut mask);
            libc::sigaddset(&mut mask, libc::SIGRTMIN() + 5);
            mask
        }
    }
    // SAFETY: each reads a struct.
    let make = || unsafe {
        check(libc::pthread_sigmask(libc::SIG_BLOCK, &mask(), std::ptr::null_mut()));
        Subject::new(owned(libc::signalfd(-1, &mask(), 0)))
    };
    // To this thread, since others have it not blocked.
    let raise = || {
        // SAFETY: integers.
        act("a signal", |_| unsafe {
            check(libc::pthread_kill(libc::pthread_self(), libc::SIGRTMIN() + 5));
        })
    };
    let steps = vec![raise(), raise(), Read, raise(), Clear, raise(), Read, Clear, raise(), Read];
    Kind::new("a signalfd", make, steps)
}

pub fn inotify() -> Kind {
    let make = || {
        let folder = tempfile::tempdir().unwrap();
        // SAFETY: an integer.
        let ours = owned(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) });
        let path = std::ffi::CString::new(folder.path().to_str().unwrap()).unwrap();
        // SAFETY: a string that outlives the call.
        check(unsafe { libc::inotify_add_watch(ours.as_raw_fd(), path.as_ptr(), libc::IN_CREATE) });
        Subject::new(ours).also((folder, 0_u32))
    };
    let create = || {
        act("a file is made", |s| {
            s.with(|(folder, n): &mut (tempfile::TempDir, u32)| {
                *n += 1;
                fs::write(folder.path().join(n.to_string()), "").unwrap();
            })
        })
    };
    let steps = vec![create(), create(), Read, create(), Clear, create(), Read];
    Kind::new("an inotify", make, steps).takes(ANSWER)
}

pub fn netlink() -> Kind {
    let make = || {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: three integers.
        Subject::new(owned(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) }))
    };
    // All interfaces: `nlmsghdr` and `ifinfomsg`.
    let request = || {
        ask("ask for the interfaces", |s| {
            let mut message = [0_u8; 32];
            message[..4].copy_from_slice(&32_u32.to_ne_bytes());
            message[4..6].copy_from_slice(&libc::RTM_GETLINK.to_ne_bytes());
            message[6..8].copy_from_slice(&((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes());
            write_all(s.fd(), &message).map_err(|e| e.raw_os_error())
        })
    };
    let steps = vec![request(), request(), Read, request(), Clear, Read, request(), Read];
    Kind::new("a netlink socket", make, steps)
}

pub fn pidfd() -> Option<Kind> {
    let start = || {
        let mut command = std::process::Command::new("cat");
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    fn open(child: &Child) -> RawFd {
        // SAFETY: two integers.
        unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) as RawFd }
    }
    let make = move || {
        let child = start();
        Subject::new(owned(open(&child))).also(child)
    };
    let steps = vec![
        Clear,
        act("it ends", |s| {
            s.with(|child: &mut Child| {
                child.kill().unwrap();
                // SAFETY: a plain struct.
                let mut info = unsafe { std::mem::zeroed() };
                // It is not reaped yet.
                // SAFETY: writes a struct.
                check(unsafe {
                    libc::waitid(libc::P_PID, child.id(), &mut info, libc::WEXITED | libc::WNOWAIT)
                });
            });
        }),
        Clear,
        act("it is reaped", |s| s.with(|child: &mut Child| child.wait().map(drop).unwrap())),
        Clear,
    ];
    Some(Kind::new("a process", make, steps).takes(ANSWER))
}

/// Master and slave, which passes everything on as it is.
fn pty() -> (OwnedFd, OwnedFd) {
    let (mut master, mut slave) = (0, 0);
    // SAFETY: room for two descriptors; a struct that is written, then read.
    unsafe {
        let name = std::ptr::null_mut();
        check(libc::openpty(&mut master, &mut slave, name, std::ptr::null(), std::ptr::null()));
        let mut mode = std::mem::zeroed();
        check(libc::tcgetattr(slave, &mut mode));
        libc::cfmakeraw(&mut mode);
        check(libc::tcsetattr(slave, libc::TCSANOW, &mode));
    }
    (owned(master), owned(slave))
}

pub fn pty_master() -> Kind {
    let make = || {
        let (ours, theirs) = pty();
        Subject::new(ours).peer(theirs)
    };
    let packets = |name, is_on: libc::c_int| {
        act(name, move |s| {
            // SAFETY: an integer that outlives the call.
            check(unsafe { libc::ioctl(s.fd(), libc::TIOCPKT, &is_on) });
        })
    };
    let flush = || {
        act("the peer flushes", |s| {
            // SAFETY: two integers.
            check(unsafe { libc::tcflush(s.peer_fd(), libc::TCIOFLUSH) });
        })
    };
    let steps = vec![
        sent(),
        sent(),
        Read,
        sent(),
        Clear,
        sent(),
        Read,
        packets("packets", 1),
        flush(),
        Read,
        sent(),
        flush(),
        Clear,
        Read,
        packets("no packets", 0),
        sent(),
        gone(),
        Read,
        Clear,
    ];
    Kind::new("the master of a terminal", make, steps).takes(ANSWER)
}

pub fn pty_slave() -> Kind {
    let make = || {
        let (theirs, ours) = pty();
        Subject::new(ours).peer(theirs)
    };
    let steps = vec![
        sent(),
        sent(),
        Read,
        sent(),
        Clear,
        sent(),
        Read,
        ask("write", |s| write(s.fd()).map_err(|e| e.kind())),
        drain(),
        Clear,
        sent(),
        gone(),
        Read,
    ];
    Kind::new("a terminal", make, steps).takes(ANSWER)
}

/// A folder with something mounted on it.
struct Mounted(tempfile::TempDir);

impl Drop for Mounted {
    fn drop(&mut self) {
        let path = std::ffi::CString::new(self.0.path().to_str().unwrap()).unwrap();
        // SAFETY: a string that outlives the call.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
}

/// What this thread sees mounted, in a name space of its own.
pub fn mounts() -> Option<Kind> {
    fn mount(flags: libc::c_ulong, kind: &std::ffi::CStr, at: &std::path::Path) -> libc::c_int {
        let at = std::ffi::CString::new(at.to_str().unwrap()).unwrap();
        // SAFETY: strings that outlive the call.
        unsafe { libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, std::ptr::null()) }
    }
    // SAFETY: an integer.
    let is_alone = unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0
        && mount(libc::MS_REC | libc::MS_PRIVATE, c"none", "/".as_ref()) == 0;
    // An initial file system cannot be made private.
    let folder = tempfile::tempdir().unwrap();
    if !is_alone || mount(0, c"tmpfs", folder.path()) != 0 {
        println!("skipped: needs to mount ({})", std::io::Error::last_os_error());
        return None;
    }
    let folder = Mounted(folder);
    let make = move || {
        let folder = tempfile::tempdir_in(folder.0.path()).unwrap();
        Subject::new(File::open("/proc/thread-self/mountinfo").unwrap()).also(folder)
    };
    let change = || {
        act("something is mounted", |s| {
            s.with(|folder: &mut tempfile::TempDir| check(mount(0, c"tmpfs", folder.path())));
        })
    };
    let steps = vec![Clear, change(), Clear, change(), change(), Read, change(), Clear];
    Some(Kind::new("a list of mounts", make, steps))
}

pub fn pressure() -> Option<Kind> {
    let path = "/proc/pressure/io";
    if let Err(e) = File::open(path) {
        println!("skipped: needs {path} ({e})");
        return None;
    }
    let make = move || Subject::new(File::open(path).unwrap());
    Some(Kind::new("pressure", make, vec![Clear, Read, Clear]))
}

/// An epoll instance with an eventfd.
pub fn epoll() -> Kind {
    let make = || {
        // SAFETY: integers, and a struct that is read.
        unsafe {
            let ours = owned(libc::epoll_create1(0));
            let event = owned(libc::eventfd(0, libc::EFD_NONBLOCK));
            let mut interest = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 1 };
            check(libc::epoll_ctl(ours.as_raw_fd(), libc::EPOLL_CTL_ADD, event.as_raw_fd(), &mut interest));
            Subject { peer: Some(event).into(), ..Subject::new(ours) }
        }
    };
    let add = || act("an event inside", |s| write_all(s.peer_fd(), &1_u64.to_ne_bytes()).map(drop).unwrap());
    let look = || {
        ask("look", |s| {
            let mut event = libc::epoll_event { events: 0, u64: 0 };
            // SAFETY: room for one event.
            unsafe { libc::epoll_wait(s.fd(), &mut event, 1, 0) }
        })
    };
    let steps = vec![add(), look(), add(), Clear, add(), drain(), look(), Clear, add(), drain(), look()];
    Kind::new("an epoll instance", make, steps)
}

pub fn io_uring() -> Option<Kind> {
    use io_uring::{IoUring, opcode};
    if let Err(e) = IoUring::new(4) {
        println!("skipped: needs a ring ({e})");
        return None;
    }
    let make = || {
        let ring = IoUring::new(4).unwrap();
        // SAFETY: an integer.
        let ours = owned(unsafe { libc::fcntl(ring.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) });
        Subject::new(ours).also(ring)
    };
    let operate = || {
        act("an operation", |s| {
            s.with(|ring: &mut IoUring| {
                // SAFETY: it has no parameters.
                unsafe { ring.submission().push(&opcode::Nop::new().build()).unwrap() };
                ring.submit().unwrap();
            })
        })
    };
    let take = || ask("take completions", |s| s.with(|ring: &mut IoUring| ring.completion().count()));
    let steps = vec![
        operate(),
        operate(),
        take(),
        operate(),
        Clear,
        operate(),
        take(),
        Clear,
        act("queue only", |s| {
            s.with(|ring: &mut IoUring| {
                // SAFETY: it has no parameters.
                unsafe { ring.submission().push(&opcode::Nop::new().build()).unwrap() };
            })
        }),
        operate(),
    ];
    Some(Kind::new("a ring", make, steps))
}
