//! A mixed load for as long as one likes: connections that come and go, files, children, timers, messages between
//! tasks and threads. Nothing may be late by more than a minute (a wake-up that got lost is late for ever), and
//! memory, descriptors and threads stay what they were after the first fifth.
//!
//! `.ci/soak` runs it; `SOAK_SECONDS` says how long.

#[path = "chaos/process.rs"]
#[allow(dead_code)]
mod process;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::process::Command;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Later than that is never.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often each kind of work was done.
#[derive(Clone, Default)]
struct Tally(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Tally {
    fn count(&self, what: &'static str) {
        *self.0.lock().unwrap().entry(what).or_default() += 1;
    }
}

/// Ends the process, and says where it is, if something does not end.
async fn in_time<T>(what: &'static str, work: impl Future<Output = io::Result<T>>) -> T {
    match timeout(PATIENCE, work).await {
        Ok(result) => result.unwrap_or_else(|error| panic!("{what}: {error}")),
        Err(_) => {
            println!("{what}: not within {PATIENCE:?}");
            process::print_threads();
            std::process::abort();
        }
    }
}

async fn serve(listener: TcpListener) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        tokio::spawn(async move {
            let mut bytes = vec![0; 16 << 10];
            while let Ok(n @ 1..) = stream.read(&mut bytes).await {
                if stream.write_all(&bytes[..n]).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn connection(address: std::net::SocketAddr, rng: &mut Rng) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    for _ in 0..rng.u32(1..40) {
        let message = vec![rng.u8(..); rng.usize(1..10_000)];
        let mut answer = vec![0; message.len()];
        let (mut reader, mut writer) = stream.split();
        tokio::try_join!(writer.write_all(&message), reader.read_exact(&mut answer))?;
        assert!(answer == message, "another answer");
        if rng.u32(..10) == 0 {
            sleep(Duration::from_millis(rng.u64(..30))).await;
        }
    }
    if rng.bool() {
        // Gone in the middle of an answer.
        stream.write_all(&[0; 1_000]).await?;
        let _ = timeout(Duration::from_micros(rng.u64(..200)), stream.read(&mut [0; 100])).await;
    }
    Ok(())
}

async fn file(rng: &mut Rng) -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("file");
    let contents = vec![rng.u8(..); rng.usize(..200_000)];
    tokio::fs::write(&path, &contents).await?;
    assert!(tokio::fs::read(&path).await? == contents, "other contents");
    tokio::fs::remove_file(&path).await
}

async fn child(rng: &mut Rng) -> io::Result<()> {
    let mut command = Command::new("cat");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    if rng.u32(..4) == 0 {
        return child.kill().await;
    }
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    input.write_all(b"abc").await?;
    drop(input);
    let mut text = String::new();
    output.read_to_string(&mut text).await?;
    assert_eq!(text, "abc");
    child.wait().await.map(drop)
}

async fn messages(rng: &mut Rng) -> io::Result<()> {
    let (tx, mut rx) = mpsc::channel(4);
    let (mut a, mut b) = UnixStream::pair()?;
    let n = rng.u8(1..100);
    let blocks = rng.bool();
    let source = move || (0..n).try_for_each(|i| tx.blocking_send(i)).map_err(io::Error::other);
    let source = tokio::task::spawn_blocking(source);
    let relay = tokio::spawn(async move {
        while let Some(i) = rx.recv().await {
            if blocks && i % 40 == 0 {
                tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(1)));
            }
            a.write_u8(i).await?;
        }
        io::Result::Ok(())
    });
    for i in 0..n {
        assert_eq!(b.read_u8().await?, i);
    }
    assert_eq!(b.read(&mut [0]).await?, 0);
    source.await??;
    relay.await?
}

async fn timers(rng: &mut Rng) -> io::Result<()> {
    let mut set = JoinSet::new();
    for _ in 0..rng.u32(1..200) {
        let (pause, limit) =
            (Duration::from_micros(rng.u64(..50_000)), Duration::from_micros(rng.u64(..50_000)));
        set.spawn(async move { timeout(limit, sleep(pause)).await.is_ok() });
    }
    if rng.u32(..4) > 0 {
        while set.join_next().await.is_some() {}
    }
    Ok(())
}

/// A client, which does one thing after the other.
async fn client(address: std::net::SocketAddr, mut rng: Rng, tally: Tally, is_over: Arc<AtomicBool>) {
    while !is_over.load(Relaxed) {
        let what = match rng.u32(..20) {
            0..11 => "connection",
            11..14 => "file",
            14 => "child",
            15..18 => "messages",
            _ => "timers",
        };
        let work = async {
            match what {
                "connection" => connection(address, &mut rng).await,
                "file" => file(&mut rng).await,
                "child" => child(&mut rng).await,
                "messages" => messages(&mut rng).await,
                _ => timers(&mut rng).await,
            }
        };
        in_time(what, work).await;
        tally.count(what);
    }
}

/// What is resident, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn all(count: process::Count) -> usize {
    count.values().sum()
}

#[test]
#[ignore = "for .ci/soak"]
fn nothing_grows_and_nothing_gets_lost() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(60, |text| text.parse().expect("SOAK_SECONDS"));
    let seed = fastrand::u64(..);
    let (begin, length) = (Instant::now(), Duration::from_secs(seconds));
    let rt = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!("soak: {seconds} s on {}, seed {seed}", rt.handle().backend());
    let (tally, is_over) = (Tally::default(), Arc::new(AtomicBool::new(false)));
    let mut rng = Rng::with_seed(seed);
    let mut clients = JoinSet::new();
    let listener = rt.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let server = rt.spawn(serve(listener));
    for _ in 0..24 {
        clients.spawn_on(client(address, rng.fork(), tally.clone(), is_over.clone()), rt.handle());
    }
    // From a thread that is no worker: a runtime that stands still does not stop this.
    let (mut early, mut late) = (Vec::new(), Vec::new());
    let mut done = 0;
    let mut moved = Instant::now();
    while begin.elapsed() < length {
        std::thread::sleep(Duration::from_millis(250));
        let sample = [resident(), all(process::descriptors()), all(process::threads())];
        let now = begin.elapsed();
        if now > length / 5 && now < length / 2 {
            early.push(sample);
        } else if now > length * 3 / 4 {
            late.push(sample);
        }
        let total = tally.0.lock().unwrap().values().sum();
        if total != done {
            (done, moved) = (total, Instant::now());
        }
        if moved.elapsed() > PATIENCE {
            process::print_threads();
            panic!("nothing has been done for {PATIENCE:?}");
        }
    }
    is_over.store(true, Relaxed);
    rt.block_on(async { while clients.join_next().await.transpose().unwrap().is_some() {} });
    println!("soak: {:?}", tally.0.lock().unwrap());
    server.abort();
    for (index, (what, slack)) in
        [("KiB resident", 8_192), ("descriptors", 20), ("threads", 10)].iter().enumerate()
    {
        let median = |samples: &[[usize; 3]]| {
            let mut values: Vec<_> = samples.iter().map(|sample| sample[index]).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        let (before, after) = (median(&early), median(&late));
        println!("soak: {before} {what} early, {after} late (medians)");
        assert!(after <= before + before / 10 + slack, "{what} grow: {before}, then {after}");
    }
    drop(rt);
    let left = process::settles(PATIENCE, process::children);
    assert!(left.is_empty(), "{left:?}");
}
