//! Open files.

use std::io::ErrorKind;
use std::os::fd::{AsRawFd, FromRawFd};
use std::time::Duration;

use tokio::fs::File;
use tokio::native::fs::OpenHow;
use tokio::native::{AlignedBuf, BoundedBuf, chain, splice};

use super::on_workers;

async fn file(dir: &tempfile::TempDir) -> File {
    let how = OpenHow::new().read_write().create(0o600);
    tokio::native::fs::open(dir.path().join("file"), how).await.unwrap()
}

#[test]
fn read_and_write() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir).await;
        let (n, buf) = file.native().write_at(b"hello world".to_vec(), 3).await;
        assert_eq!((n.unwrap(), buf.len()), (11, 11));
        let (n, buf) = file.native().read_at(Vec::with_capacity(64), 9).await;
        assert_eq!((n.unwrap(), &buf[..]), (5, &b"world"[..]));
        assert_eq!(file.native().read_at(vec![0; 4], 100).await.0.unwrap(), 0);

        let (n, _) = file.native().write_all_at("HELLO".slice(1..), 4).await;
        assert_eq!(n.unwrap(), 4);
        let (n, buf) = file.native().read_exact_at(vec![0; 14], 0).await;
        assert_eq!((n.unwrap(), &buf[..]), (14, &b"\0\0\0hELLO world"[..]));
        let (n, buf) = file.native().read_exact_at(Vec::with_capacity(20), 4).await;
        assert_eq!(n.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(buf, b"ELLO world");

        let (n, _) = file.native().writev(vec!["one", "two"], 0).await;
        assert_eq!(n.unwrap(), 6);
        let (n, bufs) = file.native().readv(vec![vec![0; 2], vec![0; 3]], 1).await;
        assert_eq!((n.unwrap(), bufs.concat()), (5, b"netwo".to_vec()));
    });
}

/// The kernel takes the last of them for "at the cursor".
#[test]
fn offsets_beyond_all_files_are_refused() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir).await;
        file.native().write_all_at("contents", 0).await.0.unwrap();
        for offset in [1 << 63, u64::MAX - 1, u64::MAX] {
            let results = [
                file.native().write_at("X", offset).await.0,
                file.native().write_all_at("X", offset).await.0,
                file.native().writev(vec!["X"], offset).await.0,
                file.native().read_at(vec![0; 4], offset).await.0,
                file.native().read_exact_at(vec![0; 4], offset).await.0,
                file.native().readv(vec![vec![0; 4]], offset).await.0,
            ];
            for (i, result) in results.into_iter().enumerate() {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput, "{i} at {offset:#x}");
            }
        }
        let (tx, rx) = tokio::net::unix::pipe::pipe().unwrap();
        tx.native().write_all("pipe").await.0.unwrap();
        for offset in [1 << 63, u64::MAX - 1, u64::MAX] {
            let results = [
                splice(rx.native(), (file.native(), offset), 4).await.map(drop),
                splice((file.native(), offset), tx.native(), 4).await.map(drop),
                file.native().ftruncate(offset).await.map(drop),
                file.native().fallocate(0, offset, 8).await.map(drop),
                file.native().sync_file_range(offset, 8, 0).await.map(drop),
                chain((file.native().write_at("X", offset), file.native().fsync())).await.0.0.map(drop),
            ];
            for (i, result) in results.into_iter().enumerate() {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput, "{i} at {offset:#x}");
            }
            // A registered buffer is no way around it.
            let mut fixed = tokio::native::FixedBufPool::new(1, 16).try_next().unwrap();
            fixed.set_len(4);
            let (result, fixed) = file.native().write_all_at(fixed, offset).await;
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
            let result = file.native().read_exact_at(fixed, offset).await.0;
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(std::fs::read(dir.path().join("file")).unwrap(), b"contents");
        assert_eq!(rx.native().read(vec![0; 8]).await.0.unwrap(), 4);
    });
}

/// A file of each kind, with something to read where there is anything.
fn kinds(dir: &tempfile::TempDir) -> Vec<(&'static str, std::fs::File)> {
    use std::io::Write;
    let opened = |fd: i32| {
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: no memory is passed; each is a new descriptor of nobody else.
        unsafe { std::fs::File::from_raw_fd(fd) }
    };
    let open = |path: &str| std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let fifo = dir.path().join("fifo");
    let name = std::ffi::CString::new(fifo.to_str().unwrap()).unwrap();
    // SAFETY: the path outlives the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let mut fifo = open(fifo.to_str().unwrap());
    fifo.write_all(b"fifo").unwrap();
    let mut pipe = [0; 2];
    // SAFETY: the kernel writes both.
    assert_eq!(unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    let [reader, mut writer] = pipe.map(opened);
    writer.write_all(b"pipe").unwrap();
    let (socket, mut peer) = std::os::unix::net::UnixStream::pair().unwrap();
    peer.write_all(b"sock").unwrap();
    // SAFETY: as above.
    let (event, timer) = unsafe {
        (libc::eventfd(1, libc::EFD_CLOEXEC), libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC))
    };
    // SAFETY: as above; the name has as much room as is said.
    let (terminal, other_end) = unsafe {
        let terminal = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
        assert_eq!((libc::grantpt(terminal), libc::unlockpt(terminal)), (0, 0));
        let mut name = [0; 64];
        assert_eq!(libc::ptsname_r(terminal, name.as_mut_ptr(), name.len()), 0);
        (terminal, libc::open(name.as_ptr(), libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC))
    };
    vec![
        ("/dev/zero", open("/dev/zero")),
        ("/dev/null", open("/dev/null")),
        ("/dev/full", open("/dev/full")),
        ("/dev/zero, to read", std::fs::File::open("/dev/zero").unwrap()),
        ("/dev/null, to write", std::fs::OpenOptions::new().write(true).open("/dev/null").unwrap()),
        ("/proc", std::fs::File::open("/proc/self/status").unwrap()),
        ("a folder", std::fs::File::open(dir.path()).unwrap()),
        ("a FIFO", fifo),
        ("a pipe", reader),
        ("the other end of a pipe", writer),
        ("a socket", std::os::fd::OwnedFd::from(socket).into()),
        ("its peer", std::os::fd::OwnedFd::from(peer).into()),
        ("an eventfd", opened(event)),
        ("a timerfd", opened(timer)),
        ("a terminal", opened(terminal)),
        ("its other end", opened(other_end)),
    ]
}

/// What the system calls say to four bytes at 7: `pread`, `preadv`, `pwrite`, `pwritev`.
fn asked(file: &std::fs::File) -> [Result<usize, Option<i32>>; 4] {
    let said = |n| usize::try_from(n).map_err(|_| std::io::Error::last_os_error().raw_os_error());
    let fd = file.as_raw_fd();
    let mut room = [1_u8; 4];
    let part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: 4 };
    // SAFETY: `room` has four bytes, and outlives the calls.
    unsafe {
        [
            said(libc::pread(fd, part.iov_base, 4, 7)),
            said(libc::preadv(fd, &raw const part, 1, 7)),
            said(libc::pwrite(fd, part.iov_base, 4, 7)),
            said(libc::pwritev(fd, &raw const part, 1, 7)),
        ]
    }
}

/// Bytes have places in some kinds of files only: what `pread(2)` says, a ring says too. It would wait for a FIFO,
/// and take what is not at any place.
#[test]
fn h92b_only_what_has_places_is_read_and_written_at_one() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        for (kind, file) in kinds(&dir) {
            let expected = asked(&file);
            let file = File::from_std(file);
            let file = file.native();
            let limit = Duration::from_secs(5);
            let got = [
                file.read_at(vec![0; 4], 7).timeout(limit).await.0,
                file.readv(vec![vec![0; 4]], 7).timeout(limit).await.0,
                file.write_at("four", 7).timeout(limit).await.0,
                file.writev(vec!["four"], 7).timeout(limit).await.0,
            ];
            let got = got.map(|result| result.map_err(|e| e.raw_os_error()));
            assert_eq!(got, expected, "{kind}");
        }
    });
}

#[test]
fn h92b_a_dropped_read_at_a_place_takes_nothing() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let streams = ["a FIFO", "a pipe", "a socket"];
        for (kind, file) in kinds(&dir).into_iter().filter(|(kind, _)| streams.contains(kind)) {
            let mut same = file.try_clone().unwrap();
            let file = File::from_std(file);
            let mut read = Box::pin(file.native().read_at(vec![0; 4], 7));
            let _ = futures::poll!(&mut read);
            drop(read);
            let mut rest = [0; 4];
            let n = tokio::task::spawn_blocking(move || {
                let mut fds = [libc::pollfd { fd: same.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
                // SAFETY: the list outlives the call.
                assert_eq!(unsafe { libc::poll(fds.as_mut_ptr(), 1, 0) }, 1, "nothing is there any more");
                std::io::Read::read(&mut same, &mut rest)
            });
            assert_eq!(n.await.unwrap().unwrap(), 4, "{kind}");
        }
    });
}

#[test]
fn many_at_once() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let file = std::sync::Arc::new(file(&dir).await);
        let tasks: Vec<_> = (0..64_u64)
            .map(|i| {
                let file = file.clone();
                tokio::spawn(async move {
                    file.native().write_all_at(vec![i as u8; 1000], i * 1000).await.0.unwrap();
                    let (n, buf) = file.native().read_exact_at(vec![0; 1000], i * 1000).await;
                    n.unwrap();
                    assert_eq!(buf, vec![i as u8; 1000]);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(file.native().statx(libc::STATX_SIZE).await.unwrap().len(), 64_000);
    });
}

#[test]
fn the_rest() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir).await;
        let native = file.native();
        native.write_all_at(vec![1; 10_000], 0).await.0.unwrap();
        native.fsync().await.unwrap();
        native.fdatasync().await.unwrap();
        native.sync_file_range(0, 4096, libc::SYNC_FILE_RANGE_WRITE).await.unwrap();
        native.fadvise(0, 0, libc::POSIX_FADV_DONTNEED).await.unwrap();
        native.fallocate(0, 0, 20_000).await.unwrap();
        assert_eq!(native.statx(libc::STATX_BASIC_STATS).await.unwrap().len(), 20_000);
        native.ftruncate(5).await.unwrap();
        let about = native.statx(libc::STATX_BASIC_STATS).await.unwrap();
        assert!(about.len() == 5 && about.is_file() && !about.is_dir() && about.mode() & 0o777 == 0o600);
        assert!(about.modified().elapsed().unwrap() < Duration::from_secs(600));
        assert_eq!(about.raw().stx_nlink, 1);
        let wrong = native.fadvise(0, 0, 99).await.unwrap_err();
        assert_eq!(wrong.raw_os_error(), Some(libc::EINVAL));

        // Each with a limit that is not met.
        let limit = Duration::from_secs(10);
        native.fsync().timeout(limit).await.unwrap();
        assert_eq!(native.read_at(vec![0; 9], 0).timeout(limit).await.0.unwrap(), 5);
    });
}

#[test]
fn attributes() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir).await;
        let path = dir.path().join("file");
        let name = "user.spargio";
        let (set, _) = file.native().setxattr(name, "value", 0).await;
        match set {
            // The file system may have none.
            Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                eprintln!("no extended attributes here");
                let (got, _) = tokio::native::fs::getxattr(&path, name, vec![0; 16]).await;
                assert_eq!(got.unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
                return;
            }
            set => set.unwrap(),
        }
        let (n, value) = file.native().getxattr(name, Vec::with_capacity(16)).await;
        assert_eq!((n.unwrap(), &value[..]), (5, &b"value"[..]));
        let (n, _) = file.native().getxattr(name, Vec::new()).await;
        assert_eq!(n.unwrap(), 5);
        let (set, _) = tokio::native::fs::setxattr(&path, name, "other", libc::XATTR_REPLACE).await;
        set.unwrap();
        let (n, value) = tokio::native::fs::getxattr(&path, name, vec![0; 16]).await;
        assert_eq!(&value[..n.unwrap()], b"other");
        let (set, _) = file.native().setxattr(name, "x", libc::XATTR_CREATE).await;
        assert_eq!(set.unwrap_err().kind(), ErrorKind::AlreadyExists);
        let (n, _) = file.native().getxattr("user.none", vec![0; 16]).await;
        assert_eq!(n.unwrap_err().raw_os_error(), Some(libc::ENODATA));
    });
}

#[test]
fn direct() {
    on_workers(|| async {
        // Not in memory: there is no direct I/O.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let how = OpenHow::new().read_write().create_new(0o600).direct();
        let file = match tokio::native::fs::open(dir.path().join("file"), how).await {
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
                eprintln!("no direct I/O here");
                return;
            }
            file => file.unwrap(),
        };
        let align = file.native().dio_align().await.unwrap();
        let (memory, unit) = align.map_or((4096, 4096), |a| (a.memory, a.offset));
        let mut buf = AlignedBuf::new(2 * unit, memory);
        buf.set_len(2 * unit);
        buf.fill(7);
        assert_eq!(file.native().write_at(buf, 0).await.0.unwrap(), 2 * unit);
        let (n, buf) = file.native().read_at(AlignedBuf::new(unit, memory), unit as u64).await;
        assert_eq!(n.unwrap(), unit);
        assert!(buf.iter().all(|&b| b == 7));
        // One that is not.
        let (n, _) = file.native().write_at(vec![1; unit + 1], 1).await;
        assert_eq!(n.unwrap_err().raw_os_error(), Some(libc::EINVAL));
    });
}
