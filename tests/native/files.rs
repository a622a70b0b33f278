//! Open files.

use std::io::ErrorKind;
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
