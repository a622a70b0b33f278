//! The operations, by the names that docs/NATIVE.md has for them.

use std::future::Future;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::LazyLock;

use tokio::native::entry::{self, opcode as op};
use tokio::native::fs::OpenHow;
use tokio::native::{connect_tcp, connect_unix, fs, raw, splice, waitid};

use super::scene::{CONTENTS, Scene};

pub type Running<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// One operation, and how to see it work.
pub struct Operation {
    /// As in the document.
    pub name: &'static str,
    /// Its opcode's name there, and its number.
    pub opcode: (&'static str, u8),
    /// What is done before, each time.
    pub begin: fn(&Scene),
    /// It is pending until this happens. Without, it ends at once.
    pub waits_for: Option<fn(&Scene)>,
    /// Does it and looks at what came of it. The first thing to await is the operation.
    pub run: for<'a> fn(&'a Scene) -> Running<'a>,
    /// What holds after it, whether it was dropped or not.
    pub after: fn(&Scene),
}

macro_rules! operation {
    ($name:expr, $opcode:literal $code:path, $waits_for:expr, |$scene:ident| $run:expr) => {
        operation!($name, $opcode $code, Scene::nothing, $waits_for, |$scene| $run)
    };
    ($name:expr, $opcode:literal $code:path, $begin:expr, $waits_for:expr, |$scene:ident| $run:expr) => {
        Operation {
            name: $name,
            opcode: ($opcode, <$code>::CODE),
            begin: $begin,
            waits_for: $waits_for,
            run: |$scene| Box::pin(async move { $run }),
            after: Scene::nothing,
        }
    };
}

pub fn operations() -> &'static [Operation] {
    static ALL: LazyLock<Vec<Operation>> = LazyLock::new(|| {
        [streams(), datagrams(), descriptors(), files(), names()].into_iter().flatten().collect()
    });
    &ALL
}

fn streams() -> Vec<Operation> {
    let input: Option<fn(&Scene)> = Some(Scene::write_tcp);
    let room: Option<fn(&Scene)> = Some(Scene::read_tcp);
    let full = Scene::fill_tcp;
    vec![
        operation!("Stream::recv", "RECV" op::Recv, input, |s| {
            assert!(s.tcp.native().recv(s.buf()).await.0.unwrap() > 0);
        }),
        operation!("Stream::peek", "RECV" op::Recv, input, |s| {
            assert!(s.tcp.native().peek(s.buf()).await.0.unwrap() > 0);
        }),
        operation!("Stream::recv_exact", "RECV" op::Recv, input, |s| {
            s.tcp.native().recv_exact(s.buf()).await.0.unwrap();
        }),
        operation!("Stream::recv_vectored", "READV" op::Readv, input, |s| {
            assert!(s.tcp.native().recv_vectored(vec![s.buf(), s.buf()]).await.0.unwrap() > 0);
        }),
        operation!("Stream::recv_msg", "RECVMSG" op::RecvMsg, input, |s| {
            assert!(s.tcp.native().recv_msg(vec![s.buf(), s.buf()], 64).await.0.unwrap().len > 0);
        }),
        operation!("Stream::recv_multi", "RECV" op::Recv, input, |s| {
            let mut incoming = s.tcp.native().recv_multi(&s.pool);
            assert!(!incoming.next().await.unwrap().unwrap().is_empty());
        }),
        operation!("Stream::send", "SEND" op::Send, full, room, |s| {
            assert!(s.tcp.native().send(s.buf()).await.0.unwrap() > 0);
        }),
        operation!("Stream::send_all", "SEND" op::Send, full, room, |s| {
            s.tcp.native().send_all(s.buf()).await.0.unwrap();
        }),
        operation!("Stream::send_zc", "SEND_ZC" op::SendZc, full, room, |s| {
            assert!(s.tcp.native().send_zc(s.buf()).await.0.unwrap() > 0);
        }),
        operation!("Stream::send_zc(FixedBuf)", "SEND_ZC" op::SendZc, full, room, |s| {
            assert!(s.tcp.native().send_zc(s.fixed()).await.0.unwrap() > 0);
        }),
        operation!("Stream::send_vectored", "SENDMSG" op::SendMsg, full, room, |s| {
            assert!(s.tcp.native().send_vectored(vec![s.buf(), s.buf()]).await.0.unwrap() > 0);
        }),
        operation!("Stream::send_msg", "SENDMSG" op::SendMsg, full, room, |s| {
            assert!(s.tcp.native().send_msg(vec![s.buf(), s.buf()], vec![]).await.0.unwrap() > 0);
        }),
        operation!("Stream::send_msg_zc", "SENDMSG_ZC" op::SendMsgZc, full, room, |s| {
            assert!(s.tcp.native().send_msg_zc(vec![s.buf(), s.buf()], vec![]).await.0.unwrap() > 0);
        }),
        operation!("Stream::shutdown", "SHUTDOWN" op::Shutdown, None, |s| {
            s.tcp.native().shutdown(Shutdown::Write).await.unwrap();
        }),
        operation!("Listener::accept", "ACCEPT" op::Accept, Some(Scene::connect), |s| {
            let (stream, peer) = s.listener.native().accept().await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), peer);
        }),
        operation!("Listener::accept_multi", "ACCEPT" op::Accept, Some(Scene::connect), |s| {
            let mut accepted = s.listener.native().accept_multi();
            accepted.next().await.unwrap();
        }),
        operation!("connect_tcp", "CONNECT" op::Connect, None, |s| {
            connect_tcp(s.accepts.local_addr().unwrap()).await.unwrap();
        }),
        operation!("connect_unix", "CONNECT" op::Connect, None, |s| {
            connect_unix(s.path("socket")).await.unwrap();
        }),
    ]
}

/// Those that both kinds have.
macro_rules! of_datagrams {
    ($all:ident, $view:literal, $socket:ident, |$s:ident| $peer:expr) => {
        let input: Option<fn(&Scene)> = Some(Scene::send_datagrams);
        $all.extend([
            operation!(concat!($view, "::recv"), "RECVMSG" op::RecvMsg, Scene::nothing, input, |$s| {
                assert_eq!($s.$socket.native().recv($s.buf()).await.0.unwrap(), 64);
            }),
            operation!(concat!($view, "::recv_from"), "RECVMSG" op::RecvMsg, Scene::nothing, input, |$s| {
                assert_eq!($s.$socket.native().recv_from($s.buf()).await.0.unwrap().0, 64);
            }),
            operation!(concat!($view, "::recv_msg"), "RECVMSG" op::RecvMsg, Scene::nothing, input, |$s| {
                assert_eq!($s.$socket.native().recv_msg(vec![$s.buf()], 64).await.0.unwrap().len, 64);
            }),
            operation!(concat!($view, "::recv_multi"), "RECVMSG" op::RecvMsg, Scene::nothing, input, |$s| {
                let mut incoming = $s.$socket.native().recv_multi(&$s.pool);
                assert_eq!(incoming.next().await.unwrap().unwrap().0.len(), 64);
            }),
            operation!(concat!($view, "::send"), "SEND" op::Send, Scene::take_datagrams, None, |$s| {
                assert_eq!($s.$socket.native().send($s.buf()).await.0.unwrap(), 64);
            }),
            operation!(concat!($view, "::send_to"), "SENDMSG" op::SendMsg, Scene::take_datagrams, None, |$s| {
                assert_eq!($s.$socket.native().send_to($s.buf(), $peer).await.0.unwrap(), 64);
            }),
            operation!(concat!($view, "::send_msg"), "SENDMSG" op::SendMsg, Scene::take_datagrams, None, |$s| {
                let sent = $s.$socket.native().send_msg(vec![$s.buf()], Some($peer), vec![]).await;
                assert_eq!(sent.0.unwrap(), 64);
            }),
            operation!(concat!($view, "::connect"), "CONNECT" op::Connect, Scene::nothing, None, |$s| {
                $s.$socket.native().connect($peer).await.unwrap();
            }),
        ]);
    };
}

fn datagrams() -> Vec<Operation> {
    let mut all = Vec::new();
    of_datagrams!(all, "Udp", udp, |s| s.udp_peer.local_addr().unwrap());
    of_datagrams!(all, "UnixDatagram", datagrams, |s| s.datagrams_peer.local_addr().unwrap().into());
    all
}

fn descriptors() -> Vec<Operation> {
    let input: Option<fn(&Scene)> = Some(Scene::write_pipe);
    let room: Option<fn(&Scene)> = Some(Scene::read_pipe);
    let full = Scene::fill_pipe;
    vec![
        operation!("PipeReader::read", "READ" op::Read, input, |s| {
            assert!(s.rx.native().read(s.buf()).await.0.unwrap() > 0);
        }),
        operation!("PipeReader::read_vectored", "READV" op::Readv, input, |s| {
            assert!(s.rx.native().read_vectored(vec![s.buf(), s.buf()]).await.0.unwrap() > 0);
        }),
        operation!("PipeWriter::write", "WRITE" op::Write, full, room, |s| {
            assert!(s.tx.native().write(s.buf()).await.0.unwrap() > 0);
        }),
        operation!("PipeWriter::write_all", "WRITE" op::Write, full, room, |s| {
            s.tx.native().write_all(s.buf()).await.0.unwrap();
        }),
        operation!("PipeWriter::write_vectored", "WRITEV" op::Writev, full, room, |s| {
            assert!(s.tx.native().write_vectored(vec![s.buf(), s.buf()]).await.0.unwrap() > 0);
        }),
        operation!("Fd::read", "READ" op::Read, Some(Scene::write_fd), |s| {
            assert!(s.fd.native().unwrap().read(s.buf()).await.0.unwrap() > 0);
        }),
        operation!("Fd::read_vectored", "READV" op::Readv, Some(Scene::write_fd), |s| {
            assert!(s.fd.native().unwrap().read_vectored(vec![s.buf(), s.buf()]).await.0.unwrap() > 0);
        }),
        operation!("Fd::write", "WRITE" op::Write, Scene::fill_fd, Some(Scene::read_fd), |s| {
            assert!(s.fd.native().unwrap().write(s.buf()).await.0.unwrap() > 0);
        }),
        operation!("Fd::write_all", "WRITE" op::Write, Scene::fill_fd, Some(Scene::read_fd), |s| {
            s.fd.native().unwrap().write_all(s.buf()).await.0.unwrap();
        }),
        operation!("Fd::write_vectored", "WRITEV" op::Writev, Scene::fill_fd, Some(Scene::read_fd), |s| {
            assert!(s.fd.native().unwrap().write_vectored(vec![s.buf(), s.buf()]).await.0.unwrap() > 0);
        }),
        operation!("PipeReader::read(FixedBuf)", "READ_FIXED" op::ReadFixed, input, |s| {
            assert!(s.rx.native().read(s.fixed()).await.0.unwrap() > 0);
        }),
        operation!("Fd::read(FixedBuf)", "READ_FIXED" op::ReadFixed, Some(Scene::write_fd), |s| {
            assert!(s.fd.native().unwrap().read(s.fixed()).await.0.unwrap() > 0);
        }),
        operation!("PipeWriter::write(FixedBuf)", "WRITE_FIXED" op::WriteFixed, full, room, |s| {
            assert!(s.tx.native().write(s.fixed()).await.0.unwrap() > 0);
        }),
        operation!("PipeWriter::write_all(FixedBuf)", "WRITE_FIXED" op::WriteFixed, full, room, |s| {
            s.tx.native().write_all(s.fixed()).await.0.unwrap();
        }),
        operation!("Fd::write(FixedBuf)", "WRITE_FIXED" op::WriteFixed, Scene::fill_fd, Some(Scene::read_fd), |s| {
            assert!(s.fd.native().unwrap().write(s.fixed()).await.0.unwrap() > 0);
        }),
        operation!("Fd::write_all(FixedBuf)", "WRITE_FIXED" op::WriteFixed, Scene::fill_fd, Some(Scene::read_fd), |s| {
            s.fd.native().unwrap().write_all(s.fixed()).await.0.unwrap();
        }),
        operation!("splice", "SPLICE" op::Splice, input, |s| {
            assert!(splice(s.rx.native(), s.tcp.native(), 64).await.unwrap() > 0);
        }),
        operation!("waitid", "WAITID" op::WaitId, Scene::start_child, Some(Scene::end_child), |s| {
            let status = waitid(s.child()).await.unwrap();
            assert!(status.is_none_or(|status| !status.success()));
        }),
        operation!("raw", "READ" op::Read, Some(Scene::write_blocking), |s| {
            let mut owned = (s.blocking.try_clone().unwrap(), Box::new([0_u8; 16]));
            let fd = entry::types::Fd(owned.0.as_raw_fd());
            let read = op::Read::new(fd, owned.1.as_mut_ptr(), 16).build();
            // SAFETY: socket and buffer are owned, the buffer is on the heap.
            let read = unsafe {
                raw(read, owned, |(socket, buf)| std::io::Read::read(socket, &mut buf[..]).map(|n| n as u32))
            };
            assert_eq!(*read.await.1.1, [1; 16]);
        }),
    ]
}

fn files() -> Vec<Operation> {
    // The file system may have no attributes, and then none is found.
    fn attribute<T>(result: std::io::Result<T>) {
        if let Err(e) = result {
            assert!(matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENODATA)), "{e}");
        }
    }
    vec![
        operation!("File::read_at", "READ" op::Read, None, |s| {
            assert_eq!(s.file.native().read_at(s.buf(), 0).await.0.unwrap(), 64);
        }),
        operation!("File::read_exact_at", "READ" op::Read, None, |s| {
            s.file.native().read_exact_at(s.buf(), 0).await.0.unwrap();
        }),
        operation!("File::write_at", "WRITE" op::Write, None, |s| {
            assert_eq!(s.file.native().write_at(s.buf(), 0).await.0.unwrap(), 64);
        }),
        operation!("File::write_all_at", "WRITE" op::Write, None, |s| {
            s.file.native().write_all_at(s.buf(), 0).await.0.unwrap();
        }),
        operation!("File::read_at(FixedBuf)", "READ_FIXED" op::ReadFixed, None, |s| {
            assert_eq!(s.file.native().read_at(s.fixed(), 0).await.0.unwrap(), 64);
        }),
        operation!("File::read_exact_at(FixedBuf)", "READ_FIXED" op::ReadFixed, None, |s| {
            s.file.native().read_exact_at(s.fixed(), 0).await.0.unwrap();
        }),
        operation!("File::write_at(FixedBuf)", "WRITE_FIXED" op::WriteFixed, None, |s| {
            assert_eq!(s.file.native().write_at(s.fixed(), 0).await.0.unwrap(), 64);
        }),
        operation!("File::write_all_at(FixedBuf)", "WRITE_FIXED" op::WriteFixed, None, |s| {
            s.file.native().write_all_at(s.fixed(), 0).await.0.unwrap();
        }),
        operation!("File::readv", "READV" op::Readv, None, |s| {
            assert_eq!(s.file.native().readv(vec![s.buf(), s.buf()], 0).await.0.unwrap(), 128);
        }),
        operation!("File::writev", "WRITEV" op::Writev, None, |s| {
            assert_eq!(s.file.native().writev(vec![s.buf(), s.buf()], 0).await.0.unwrap(), 128);
        }),
        operation!("File::fsync", "FSYNC" op::Fsync, None, |s| s.file.native().fsync().await.unwrap()),
        operation!("File::fdatasync", "FSYNC" op::Fsync, None, |s| s.file.native().fdatasync().await.unwrap()),
        operation!("File::sync_file_range", "SYNC_FILE_RANGE" op::SyncFileRange, None, |s| {
            s.file.native().sync_file_range(0, 64, libc::SYNC_FILE_RANGE_WRITE).await.unwrap();
        }),
        operation!("File::fallocate", "FALLOCATE" op::Fallocate, None, |s| {
            s.file.native().fallocate(0, 0, 8192).await.unwrap();
        }),
        operation!("File::ftruncate", "FTRUNCATE" op::Ftruncate, None, |s| {
            s.file.native().ftruncate(100).await.unwrap();
        }),
        operation!("File::fadvise", "FADVISE" op::Fadvise, None, |s| {
            s.file.native().fadvise(0, 0, libc::POSIX_FADV_DONTNEED).await.unwrap();
        }),
        operation!("File::statx", "STATX" op::Statx, None, |s| {
            let about = s.file.native().statx(libc::STATX_SIZE).await.unwrap();
            assert_eq!(about.len(), CONTENTS.len() as u64);
        }),
        operation!("File::dio_align", "STATX" op::Statx, None, |s| {
            s.file.native().dio_align().await.unwrap();
        }),
        operation!("File::getxattr", "FGETXATTR" op::FGetXattr, None, |s| {
            attribute(s.file.native().getxattr("user.x", s.buf()).await.0);
        }),
        operation!("File::setxattr", "FSETXATTR" op::FSetXattr, None, |s| {
            attribute(s.file.native().setxattr("user.x", s.buf(), 0).await.0);
        }),
        operation!("fs::getxattr", "GETXATTR" op::GetXattr, None, |s| {
            attribute(fs::getxattr(s.path("file"), "user.x", s.buf()).await.0);
        }),
        operation!("fs::setxattr", "SETXATTR" op::SetXattr, None, |s| {
            attribute(fs::setxattr(s.path("file"), "user.x", s.buf(), 0).await.0);
        }),
    ]
}

fn names() -> Vec<Operation> {
    let before = Scene::name_files;
    vec![
        operation!("fs::open", "OPENAT2" op::OpenAt2, None, |s| {
            fs::open(s.path("file"), OpenHow::new()).await.unwrap();
        }),
        operation!("fs::statx", "STATX" op::Statx, None, |s| {
            assert!(fs::statx(s.path("file"), libc::STATX_TYPE).await.unwrap().is_file());
        }),
        Operation {
            after: Scene::is_renamed_or_not,
            ..operation!("fs::rename", "RENAMEAT" op::RenameAt, before, None, |s| {
                fs::rename(s.path("a"), s.path("b"), 0).await.unwrap();
                assert!(s.path("b").exists());
            })
        },
        operation!("fs::unlink", "UNLINKAT" op::UnlinkAt, before, None, |s| {
            fs::unlink(s.path("a")).await.unwrap();
            assert!(!s.path("a").exists());
        }),
        operation!("fs::rmdir", "UNLINKAT" op::UnlinkAt, before, None, |s| {
            fs::rmdir(s.path("full")).await.unwrap();
            assert!(!s.path("full").exists());
        }),
        operation!("fs::mkdir", "MKDIRAT" op::MkDirAt, before, None, |s| {
            fs::mkdir(s.path("new"), 0o700).await.unwrap();
            assert!(s.path("new").is_dir());
        }),
        operation!("fs::link", "LINKAT" op::LinkAt, before, None, |s| {
            fs::link(s.path("a"), s.path("b")).await.unwrap();
            assert!(s.path("b").is_file());
        }),
        operation!("fs::symlink", "SYMLINKAT" op::SymlinkAt, before, None, |s| {
            fs::symlink("a", s.path("b")).await.unwrap();
            assert!(s.path("b").is_symlink());
        }),
    ]
}
