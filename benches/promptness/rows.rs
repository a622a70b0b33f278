// Included twice: `tokio` is this crate, or the published Tokio.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread;
use std::time::{Duration, Instant};

use self::tokio::io::{AsyncReadExt, AsyncWriteExt};
use self::tokio::net::{TcpListener, TcpStream};
use self::tokio::runtime::{Builder, Handle};
use self::tokio::sync::{mpsc, oneshot};
use self::tokio::task::{LocalSet, consume_budget, spawn_local, yield_now};
use self::tokio::time::sleep;

use super::{Cell, Load, PATIENCE, TURN, work};

const CLIENTS: usize = 4;
const TIMERS: usize = 4;
/// Where there should be many of them.
const SPAWNERS: usize = 4;
const MILLISECOND: Duration = Duration::from_millis(1);
/// Units of Tokio's budget.
const BUDGET: u64 = 128;
/// What a client says first.
const BULK: u8 = b'b';
const PROBE: u8 = b'p';
/// Without an answer for so long something is lost, not late.
const LOST: Duration = Duration::from_secs(20);

/// When the load ends.
#[derive(Clone)]
struct Until {
    is_over: Arc<AtomicBool>,
    at_last: Instant,
}

impl Until {
    fn is_over(&self) -> bool {
        self.is_over.load(Relaxed) || Instant::now() > self.at_last
    }
}

/// How late answers, timers and spawned tasks are.
pub(crate) fn turn(cell: Cell) -> [Vec<Duration>; 3] {
    let mut builder =
        if cell.workers == 0 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let rt = builder.worker_threads(cell.workers.max(1)).enable_all().build().unwrap();
    let late = if cell.load == Load::Mixed {
        LocalSet::new().block_on(&rt, probe(cell))
    } else {
        rt.block_on(probe(cell))
    };
    rt.shutdown_timeout(PATIENCE);
    late
}

async fn probe(cell: Cell) -> [Vec<Duration>; 3] {
    let end = Instant::now() + TURN;
    let until = Until { is_over: Arc::default(), at_last: end + PATIENCE };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, cell.grain, until.clone()));
    load(cell, address, &until);

    let clients: Vec<_> = (0..CLIENTS).map(|_| on_thread(move || requests(address, end))).collect();
    let mut timers: Vec<_> = (0..TIMERS).map(|_| tokio::spawn(lateness(end))).collect();
    if cell.load == Load::Mixed {
        timers.extend((0..TIMERS).map(|_| spawn_local(lateness(end))));
    }
    let spawners = if cell.load == Load::Mixed { SPAWNERS } else { 1 };
    let handle = Handle::current();
    let spawners: Vec<_> = (0..spawners)
        .map(|_| {
            let handle = handle.clone();
            on_thread(move || spawns(handle, end))
        })
        .collect();

    let mut late = [const { Vec::new() }; 3];
    for client in clients {
        late[0].extend(client.await.unwrap());
    }
    for timer in timers {
        late[1].extend(timer.await.unwrap());
    }
    for spawner in spawners {
        late[2].extend(spawner.await.unwrap());
    }
    until.is_over.store(true, Relaxed);
    late
}

/// What a thread of its own finds out.
fn on_thread<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        let _ = sender.send(f());
    });
    receiver
}

/// Some time about a millisecond: not in step with anything.
fn pause() {
    thread::sleep(Duration::from_micros(fastrand::u64(500..1500)));
}

/// A client: one request after the other. The first one only opens the connection.
fn requests(address: SocketAddr, end: Instant) -> Vec<Duration> {
    let mut stream = StdStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LOST)).unwrap();
    stream.write_all(&[PROBE]).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let mut late = Vec::new();
    loop {
        pause();
        let begin = Instant::now();
        stream.write_all(&[PROBE]).unwrap();
        stream.read_exact(&mut [0]).expect("no answer");
        late.push(begin.elapsed());
        if Instant::now() > end {
            return late;
        }
    }
}

async fn lateness(end: Instant) -> Vec<Duration> {
    let mut late = Vec::new();
    loop {
        let begin = Instant::now();
        sleep(MILLISECOND).await;
        late.push(begin.elapsed() - MILLISECOND);
        if Instant::now() > end {
            return late;
        }
    }
}

fn spawns(handle: Handle, end: Instant) -> Vec<Duration> {
    let mut late = Vec::new();
    loop {
        pause();
        let begin = Instant::now();
        let (sender, receiver) = std_mpsc::channel();
        handle.spawn(async move { sender.send(begin.elapsed()) });
        late.push(receiver.recv_timeout(LOST).expect("it never ran"));
        if Instant::now() > end {
            return late;
        }
    }
}

async fn serve(listener: TcpListener, grain: Duration, until: Until) {
    while !until.is_over() {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(answer(stream, grain, until.clone()));
    }
}

async fn answer(mut stream: TcpStream, grain: Duration, until: Until) {
    let mut byte = [0];
    while stream.read_exact(&mut byte).await.is_ok() {
        if byte == [BULK] {
            return receive(stream, grain, until).await;
        }
        if stream.write_all(&byte).await.is_err() {
            return;
        }
    }
}

async fn receive(mut stream: TcpStream, grain: Duration, until: Until) {
    let mut piece = [0; 4096];
    while !until.is_over() && stream.read(&mut piece).await.is_ok_and(|size| size > 0) {
        work(grain);
    }
}

/// Starts what keeps the runtime busy.
fn load(cell: Cell, address: SocketAddr, until: &Until) {
    let Cell { load, workers, grain } = cell;
    let workers = workers.max(1);
    match load {
        Load::Bulk => {
            thread::spawn(move || send(address));
        }
        Load::Channel => (0..workers).for_each(|_| drop(tokio::spawn(channel(grain, until.clone())))),
        Load::Budget => (0..workers).for_each(|_| drop(tokio::spawn(budget(grain, until.clone())))),
        Load::Yields => (0..2 * workers).for_each(|_| drop(tokio::spawn(yields(grain, until.clone())))),
        Load::Blocked => {
            tokio::spawn(blocks(until.clone()));
            (1..workers).for_each(|_| drop(tokio::spawn(yields(grain, until.clone()))));
        }
        Load::Mixed => {
            (0..2).for_each(|_| drop(spawn_local(yields(grain, until.clone()))));
            (0..workers).for_each(|_| drop(tokio::spawn(yields(grain, until.clone()))));
        }
    }
}

/// The sender that never stops, until its peer is gone.
fn send(address: SocketAddr) {
    let mut stream = StdStream::connect(address).unwrap();
    stream.write_all(&[BULK]).unwrap();
    while stream.write_all(&[0; 65536]).is_ok() {}
}

/// A budget of units that are always ready, and work, again and again.
async fn channel(grain: Duration, until: Until) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    while !until.is_over() {
        for _ in 0..BUDGET {
            sender.send(()).unwrap();
            receiver.recv().await.unwrap();
        }
        work(grain);
    }
}

async fn budget(grain: Duration, until: Until) {
    while !until.is_over() {
        for _ in 0..BUDGET {
            consume_budget().await;
        }
        work(grain);
    }
}

async fn yields(grain: Duration, until: Until) {
    while !until.is_over() {
        work(grain);
        yield_now().await;
    }
}

async fn blocks(until: Until) {
    while !until.is_over() {
        thread::sleep(Duration::from_millis(100));
        sleep(5 * MILLISECOND).await;
    }
}
