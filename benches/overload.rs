//! More requests than can be answered, on Tokio and on spargio.
//!
//! A server with one worker does some work for each request. A client that does not wait for answers (each request
//! has its time, whether the last one is answered or not) asks for 120 % of what the server can do at all. A
//! connection with too many requests unanswered sends no more: those count as refused. Good answers are those within
//! a limit. Both servers run at the same time on a machine that is shared, or in turns: in turns here.
//!
//! ```text
//! cargo bench --bench overload
//! ```

use std::collections::VecDeque;
#[path = "common/run.rs"]
mod run;

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use upstream::io::{AsyncReadExt, AsyncWriteExt};
use upstream::net::TcpStream;
use upstream::task::JoinSet;
use upstream::time::{sleep, sleep_until, timeout};

mod on_tokio {
    use upstream as tokio;

    include!("overload/server.rs");
}

mod on_spargio {
    use spargio as tokio;

    include!("overload/server.rs");
}

const SERVE: &str = "OVERLOAD_SERVE";
const CONNECTIONS: usize = 64;
const SIZE: usize = 64;
/// What a request costs the server, besides the runtime.
const WORK: Duration = Duration::from_micros(60);
/// So many requests of a connection may be unanswered.
const UNANSWERED: usize = 8;
/// A good answer is not later.
const GOOD: Duration = Duration::from_millis(50);
const TURN: Duration = Duration::from_secs(3);
const TURNS: usize = 5;

struct Server(Child, std::net::SocketAddr);

impl Server {
    fn start(side: &str) -> Server {
        let mut child = Command::new(env::current_exe().unwrap())
            .env(SERVE, side)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server does not start");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Server(child, line.trim().parse().expect("an address"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// What came of a turn.
#[derive(Default, Clone)]
struct Figures {
    offered: usize,
    refused: usize,
    latencies: Vec<Duration>,
}

impl Figures {
    fn good(&self) -> usize {
        self.latencies.iter().filter(|latency| **latency <= GOOD).count()
    }

    fn quantile(&mut self, q: f64) -> Duration {
        self.latencies.sort_unstable();
        let index = (self.latencies.len() as f64 * q) as usize;
        self.latencies.get(index.min(self.latencies.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// How many requests a second are answered when each connection asks again at once.
async fn capacity(address: std::net::SocketAddr) -> f64 {
    let end = Instant::now() + TURN / 3;
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let mut answers = 0;
            while Instant::now() < end {
                stream.write_all(&[1; SIZE]).await.unwrap();
                stream.read_exact(&mut [0; SIZE]).await.unwrap();
                answers += 1;
            }
            answers
        });
    }
    let answers: u64 = clients.join_all().await.into_iter().sum();
    answers as f64 / (TURN / 3).as_secs_f64()
}

/// `rate` requests a second, in turns over all connections.
async fn overload(address: std::net::SocketAddr, rate: f64) -> Figures {
    let begin = Instant::now();
    let every = Duration::from_secs_f64(CONNECTIONS as f64 / rate);
    let mut clients = JoinSet::new();
    for number in 0..CONNECTIONS {
        clients.spawn(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut reader, mut writer) = stream.into_split();
            let sent = Arc::new(Mutex::new(VecDeque::new()));
            let unanswered = sent.clone();
            let reads = upstream::spawn(async move {
                let mut latencies = Vec::new();
                let mut answer = [0; SIZE];
                while reader.read_exact(&mut answer).await.is_ok() {
                    let due: Instant = unanswered.lock().unwrap().pop_front().expect("an answer to nothing");
                    latencies.push(due.elapsed());
                }
                latencies
            });
            let mut figures = Figures::default();
            let mut due = begin + every.mul_f64(number as f64 / CONNECTIONS as f64);
            while due < begin + TURN {
                sleep_until(due.into()).await;
                figures.offered += 1;
                if sent.lock().unwrap().len() < UNANSWERED {
                    sent.lock().unwrap().push_back(due);
                    writer.write_all(&[1; SIZE]).await.unwrap();
                } else {
                    figures.refused += 1;
                }
                due += every;
            }
            // What is under way still counts.
            let rest = async {
                while !sent.lock().unwrap().is_empty() {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            timeout(Duration::from_secs(10), rest).await.expect("requests are not answered");
            drop(writer);
            figures.latencies = reads.await.unwrap();
            figures
        });
    }
    let mut all = Figures::default();
    for figures in clients.join_all().await {
        all.offered += figures.offered;
        all.refused += figures.refused;
        all.latencies.extend(figures.latencies);
    }
    all
}

fn main() {
    match env::var(SERVE).as_deref() {
        Ok("tokio") => return on_tokio::serve(WORK, SIZE),
        Ok(_) => return on_spargio::serve(WORK, SIZE),
        Err(_) => {}
    }
    if !run::is_asked_for() {
        return;
    }
    let rt = upstream::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sides = ["tokio", "spargio"];
    let servers = sides.map(Server::start);
    // The same rate for both: of what Tokio can do.
    let capacity = rt.block_on(capacity(servers[0].1));
    let rate = 1.2 * capacity;
    println!("tokio answers {capacity:.0} requests a second; {rate:.0} are asked for");
    let mut all = sides.map(|_| Figures::default());
    for turn in 0..2 * TURNS {
        // Who goes first alternates.
        let side = (turn / 2 + turn) % 2;
        let figures = rt.block_on(overload(servers[side].1, rate));
        all[side].offered += figures.offered;
        all[side].refused += figures.refused;
        all[side].latencies.extend(figures.latencies);
    }
    let time = (TURN * TURNS as u32).as_secs_f64();
    println!(
        "{:8} {:>10} {:>10} {:>12} {:>10} {:>10} {:>10}",
        "", "asked/s", "refused/s", "goodput/s", "p50", "p99", "p99.9"
    );
    for (side, figures) in sides.iter().zip(&mut all) {
        let [asked, refused, good] =
            [figures.offered, figures.refused, figures.good()].map(|n| n as f64 / time);
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| figures.quantile(q).as_secs_f64() * 1e3);
        println!("{side:8} {asked:10.0} {refused:10.0} {good:12.0} {p50:7.2} ms {p99:7.2} ms {p999:7.2} ms");
    }
}
