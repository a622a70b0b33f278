//! What is done while calls fail. Compiled for each runtime; `tokio` is the one. A scene returns the errors it is told
//! of; an answer that is wrong is a panic that says so.

use std::io::{self, ErrorKind};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::tokio;
use super::tokio::fs;
use super::tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use super::tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use super::tokio::process::Command;
use super::tokio::runtime::{Builder, Handle, Runtime};
use super::tokio::task::{JoinError, block_in_place, spawn_blocking};
use super::tokio::time::{interval, sleep, timeout};

fn runtimes() -> impl Iterator<Item = io::Result<Runtime>> {
    (0..2).map(|workers| match workers {
        0 => Builder::new_current_thread().enable_all().build(),
        _ => Builder::new_multi_thread().worker_threads(2).enable_all().build(),
    })
}

fn joined<T>(result: Result<io::Result<T>, JoinError>) -> io::Result<T> {
    // The panic is told of by itself.
    result.unwrap_or_else(|e| Err(io::Error::other(e)))
}

pub fn echo() -> io::Result<()> {
    for rt in runtimes() {
        rt?.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let server = tokio::spawn(async move {
                for _ in 0..2 {
                    let (mut stream, _) = listener.accept().await?;
                    tokio::spawn(async move {
                        let mut bytes = [0; 5];
                        while stream.read_exact(&mut bytes).await.is_ok() {
                            stream.write_all(&bytes).await?;
                        }
                        io::Result::Ok(())
                    });
                }
                io::Result::Ok(())
            });
            // A client may have failed: the server waits for no other then.
            let outcome = clients(address).await;
            if outcome.is_err() {
                server.abort();
            }
            let _ = server.await;
            outcome?;
            let (a, b) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
            a.send_to(b"datagram", b.local_addr()?).await?;
            let mut room = [0; 20];
            let (n, _) = b.recv_from(&mut room).await?;
            assert_eq!(&room[..n], b"datagram", "wrong");
            let (mut a, mut b) = UnixStream::pair()?;
            a.write_all(b"abc").await?;
            drop(a);
            let mut text = String::new();
            b.read_to_string(&mut text).await?;
            assert_eq!(text, "abc", "wrong");
            io::Result::Ok(())
        })?;
    }
    Ok(())
}

async fn clients(address: std::net::SocketAddr) -> io::Result<()> {
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await?;
        for n in 0..3u8 {
            stream.write_all(&[n; 5]).await?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).await?;
            assert_eq!(answer, [n; 5], "wrong");
        }
    }
    Ok(())
}

pub fn files() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    for rt in runtimes() {
        rt?.block_on(async {
            let path = dir.path().join("a");
            let mut file = fs::File::create(&path).await?;
            file.write_all(&[7; 10_000]).await?;
            file.flush().await?;
            file.sync_all().await?;
            file.set_len(9_000).await?;
            drop(file);
            assert_eq!(fs::metadata(&path).await?.len(), 9_000, "wrong");
            let mut file = fs::File::open(&path).await?;
            file.seek(io::SeekFrom::Start(1_000)).await?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).await?;
            assert_eq!(bytes, [7; 8_000], "wrong");
            let to = dir.path().join("b");
            fs::rename(&path, &to).await?;
            assert_eq!(fs::read(&to).await?.len(), 9_000, "wrong");
            fs::copy(&to, &path).await?;
            fs::create_dir(dir.path().join("c")).await?;
            let mut entries = fs::read_dir(dir.path()).await?;
            let mut names = 0;
            while entries.next_entry().await?.is_some() {
                names += 1;
            }
            assert_eq!(names, 3, "wrong");
            fs::remove_dir(dir.path().join("c")).await?;
            fs::remove_file(&path).await?;
            fs::remove_file(&to).await
        })?;
    }
    Ok(())
}

pub fn processes() -> io::Result<()> {
    for rt in runtimes() {
        rt?.block_on(async {
            let status = Command::new("true").status().await?;
            // The child's own calls fail as well.
            if !status.success() {
                return Err(io::Error::other(status.to_string()));
            }
            let mut command = Command::new("cat");
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
            let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            input.write_all(b"abc").await?;
            drop(input);
            let mut text = String::new();
            output.read_to_string(&mut text).await?;
            if child.wait().await?.success() {
                assert_eq!(text, "abc", "wrong");
            }
            let mut child = Command::new("sleep").arg("1000").kill_on_drop(true).spawn()?;
            child.kill().await
        })?;
    }
    Ok(())
}

pub fn shutdown() -> io::Result<()> {
    for way in 0..3 {
        for rt in runtimes() {
            let rt = rt?;
            let listener = rt.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                let mut stream = TcpStream::connect(listener.local_addr()?).await?;
                tokio::spawn(async move { stream.read(&mut [0]).await.map(drop) });
                tokio::spawn(sleep(Duration::from_secs(1_000)));
                spawn_blocking(|| std::thread::sleep(Duration::from_millis(5)));
                if Handle::current().metrics().num_workers() > 1 {
                    let blocks = || Handle::current().block_on(async { 1 });
                    assert_eq!(tokio::spawn(async move { block_in_place(blocks) }).await?, 1, "wrong");
                }
                sleep(Duration::from_millis(1)).await;
                io::Result::Ok(listener)
            })?;
            match way {
                0 => drop(rt),
                1 => rt.shutdown_timeout(Duration::from_millis(20)),
                _ => rt.shutdown_background(),
            }
            drop(listener);
        }
    }
    Ok(())
}

pub fn timers() -> io::Result<()> {
    for rt in runtimes() {
        rt?.block_on(async {
            let begin = Instant::now();
            let tasks: Vec<_> =
                (0..10).map(|n| tokio::spawn(sleep(Duration::from_micros(n * 700)))).collect();
            for task in tasks {
                joined(task.await.map(Ok))?;
            }
            assert!(begin.elapsed() >= Duration::from_micros(6_300), "wrong: early");
            let never = timeout(Duration::from_millis(2), std::future::pending::<()>()).await;
            assert!(never.is_err(), "wrong");
            let mut ticks = interval(Duration::from_micros(300));
            for _ in 0..5 {
                ticks.tick().await;
            }
            // Woken from a thread.
            let (tx, rx) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(1));
                let _ = tx.send(());
            });
            rx.await.map_err(|e| io::Error::new(ErrorKind::BrokenPipe, e))
        })?;
    }
    Ok(())
}
