//! Names in the file system.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::native::fs::{Dir, OpenHow, link, mkdir, open, rename, rmdir, statx, symlink, unlink};

use super::common::spawn;
use super::on_workers;

#[test]
fn by_path() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        mkdir(path("d"), 0o700).await.unwrap();
        assert!(statx(path("d"), libc::STATX_TYPE).await.unwrap().is_dir());
        assert_eq!(mkdir(path("d"), 0o700).await.unwrap_err().kind(), ErrorKind::AlreadyExists);

        let file = open(path("d/f"), OpenHow::new().write_only().create_new(0o640)).await.unwrap();
        file.native().write_all_at("contents", 0).await.0.unwrap();
        let again = open(path("d/f"), OpenHow::new().write_only().create_new(0o640)).await;
        assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
        link(path("d/f"), path("g")).await.unwrap();
        assert_eq!(statx(path("g"), libc::STATX_NLINK).await.unwrap().raw().stx_nlink, 2);
        rename(path("g"), path("h"), 0).await.unwrap();
        let kept = rename(path("h"), path("d/f"), libc::RENAME_NOREPLACE).await;
        assert_eq!(kept.unwrap_err().kind(), ErrorKind::AlreadyExists);
        symlink("h", path("s")).await.unwrap();
        assert_eq!(std::fs::read_link(path("s")).unwrap().to_str(), Some("h"));
        let link = Dir::cwd().statx(path("s"), libc::AT_SYMLINK_NOFOLLOW, libc::STATX_TYPE).await.unwrap();
        assert_eq!(link.mode() & libc::S_IFMT, libc::S_IFLNK);
        unlink(path("d/f")).await.unwrap();
        assert_eq!(std::fs::read_to_string(path("s")).unwrap(), "contents");
        rmdir(path("d")).await.unwrap();
        assert_eq!(unlink(path("d")).await.unwrap_err().kind(), ErrorKind::NotFound);
        let limited = statx(path("h"), libc::STATX_SIZE).timeout(Duration::from_secs(10)).await;
        assert_eq!(limited.unwrap().len(), 8);

        for wrong in [
            mkdir("a\0b", 0o700).await.unwrap_err(),
            rename("a", "b\0", 0).await.unwrap_err(),
            symlink("\0", "a").await.unwrap_err(),
            open("\0", OpenHow::new()).await.unwrap_err(),
            statx("\0", 0).await.unwrap_err(),
        ] {
            assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
        }
    });
}

#[test]
fn by_directory() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let top = Dir::cwd().open_dir(dir.path()).await.unwrap();
        top.mkdir("a", 0o700).await.unwrap();
        let a = top.open_dir("a").await.unwrap();
        a.open("f", OpenHow::new().write_only().create(0o600)).await.unwrap();
        a.rename("f", &top, "g", 0).await.unwrap();
        top.link("g", &a, "h", 0).await.unwrap();
        top.symlink("a/h", "s").await.unwrap();
        assert!(top.statx("s", 0, libc::STATX_TYPE).await.unwrap().is_file());
        // The path must stay below.
        let up = a.open("../g", OpenHow::new().resolve(libc::RESOLVE_BENEATH)).await;
        assert_eq!(up.unwrap_err().raw_os_error(), Some(libc::EXDEV));
        a.unlink("h").await.unwrap();
        top.rmdir("a").await.unwrap();
        assert!(!dir.path().join("a").exists());
    });
}

#[test]
fn ways_to_open() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "12345").unwrap();
        let file = open(&path, OpenHow::new().write_only().append()).await.unwrap();
        file.native().write_all_at("6", 0).await.0.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"123456");
        let file = open(&path, OpenHow::default()).await.unwrap();
        let (n, _) = file.native().write_at("x", 0).await;
        assert_eq!(n.unwrap_err().raw_os_error(), Some(libc::EBADF));
        open(&path, OpenHow::new().read_write().truncate()).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    });
}

/// How often this file is open.
fn open_count(path: &Path) -> usize {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap();
    fds.filter(|fd| std::fs::read_link(fd.as_ref().unwrap().path()).is_ok_and(|to| to == path)).count()
}

/// The end of a pipe with a name is opened when there is another end.
#[test]
fn an_open_waits_for_the_other_end() {
    let others = Arc::new(Mutex::new(Vec::new()));
    let kept = others.clone();
    on_workers(move || {
        let kept = kept.clone();
        async move {
            let both = |fifo: &Path| std::fs::File::options().read(true).write(true).open(fifo).unwrap();
            for how in [OpenHow::new(), OpenHow::new().write_only()] {
                for round in 0..8 {
                    // One for each round: a thread that opened the last one may not have closed it yet.
                    let dir = tempfile::tempdir().unwrap();
                    let fifo = dir.path().join("fifo");
                    assert!(spawn(Command::new("mkfifo").arg(&fifo)).wait().unwrap().success());
                    let mut opening = Box::pin(std::future::IntoFuture::into_future(open(&fifo, how)));
                    for _ in 0..10 {
                        let early = futures::poll!(&mut opening);
                        assert!(early.is_pending(), "{how:?}: {early:?}");
                        tokio::time::sleep(Duration::from_micros(200)).await;
                    }
                    let other = (round % 4 > 0).then(|| both(&fifo));
                    match round % 4 {
                        2 => tokio::time::sleep(Duration::from_millis(2)).await,
                        3 => drop(opening.as_mut().await.unwrap()),
                        _ => {}
                    }
                    drop(opening);
                    // A thread of the blocking pool waits for it, whoever has gone. It may come to the
                    // open only now, so the other end stays.
                    let other = other.unwrap_or_else(|| both(&fifo));
                    kept.lock().unwrap().push((fifo, other, dir));
                }
            }
            // What comes late is closed while the runtime goes on.
            for _ in 0..2000 {
                if kept.lock().unwrap().iter().all(|(fifo, ..)| open_count(fifo) == 1) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            panic!("what came late is not closed");
        }
    });
    // Nothing came after that, and the threads of the pool have ended.
    for (fifo, ..) in others.lock().unwrap().iter() {
        assert_eq!(open_count(fifo), 1, "what came last is not closed");
    }
}

/// They wait in the kernel for somebody who reads.
#[test]
fn stuck_openings_hold_up_nobody() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        assert!(spawn(Command::new("mkfifo").arg(&fifo)).wait().unwrap().success());
        let open_one = |_| {
            let fifo = fifo.clone();
            tokio::spawn(async move { open(fifo, OpenHow::new().write_only()).await.map(drop) })
        };
        let opens: Vec<_> = (0..40).map(open_one).collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
        let new = open(&a, OpenHow::new().write_only().create_new(0o600)).await.unwrap();
        new.native().write_all_at("new", 0).await.0.unwrap();
        new.native().fsync().await.unwrap();
        rename(&a, &b, 0).await.unwrap();
        assert_eq!(statx(&b, libc::STATX_SIZE).await.unwrap().len(), 3);
        let _both = std::fs::File::options().read(true).write(true).open(&fifo).unwrap();
        for open in opens {
            open.await.unwrap().unwrap();
        }
    });
}
