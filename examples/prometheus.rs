//! A runtime in numbers for Prometheus, over HTTP: what `Handle::stats` tells.
//!
//! ```text
//! cargo run --release --example prometheus                        # 127.0.0.1:9184
//! cargo run --release --example prometheus --features metrics     # and how long polls take
//! curl http://127.0.0.1:9184/metrics
//! ```
//!
//! A program takes [`serve`] over as it is, and spawns it. What to watch: `docs/OPERATIONS.md`.

use std::fmt::{Display, Write};
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::shard::ShardStats;
use tokio::time::{interval, sleep, timeout};

/// A request must fit in here; Prometheus sends half a kilobyte.
const REQUEST_LIMIT: usize = 8 * 1024;
/// How long a client may take over a request, and over its answer.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9184".into());
    let mut builder = Builder::new_multi_thread();
    builder.enable_all();
    // How long polls take is measured only if somebody asks for it: two looks at the clock a poll.
    #[cfg(feature = "metrics")]
    builder.enable_metrics_poll_time_histogram();
    let rt = builder.build()?;

    rt.block_on(async {
        let listener = TcpListener::bind(address).await?;
        println!("listening on http://{}/metrics", listener.local_addr()?);
        // In place of what the program is for.
        tokio::spawn(async {
            let mut ticks = interval(Duration::from_millis(10));
            loop {
                ticks.tick().await;
                tokio::spawn(tokio::task::yield_now());
            }
        });
        serve(listener).await
    })
}

/// Answers scrapes with the numbers of the runtime it runs on, for ever.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Whoever hangs up early, or never asks, gets no numbers. That is all.
                tokio::spawn(timeout(PATIENCE, answer(stream)));
            }
            Err(error) => {
                eprintln!("accept: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        if request.len() > REQUEST_LIMIT || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = if request.starts_with(b"GET /metrics ") {
        ("200 OK", metrics(&Handle::current()))
    } else {
        ("404 Not Found", "the numbers are at /metrics\n".to_owned())
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len(),
    );
    stream.write_all((head + &body).as_bytes()).await?;
    stream.shutdown().await
}

/// The numbers of a runtime in the text format of Prometheus.
pub fn metrics(handle: &Handle) -> String {
    let stats = handle.stats();
    let mut page = Page::default();

    page.family("spargio_backend_info", "gauge", "What the runtime stands on; the value is always 1");
    page.sample(&format!("backend=\"{}\"", stats.backend.kind()), 1);
    page.single("spargio_workers", "gauge", "Worker threads", stats.workers);
    page.single("spargio_tasks_alive", "gauge", "Tasks that have not ended", stats.alive_tasks);
    page.single("spargio_tasks_spawned_total", "counter", "Tasks ever spawned", stats.spawned_tasks);
    page.single(
        "spargio_global_queue_depth",
        "gauge",
        "Tasks in the queue that all workers share",
        stats.global_queue_depth,
    );
    page.family("spargio_blocking_threads", "gauge", "Threads for blocking work");
    page.sample("state=\"busy\"", stats.blocking_threads.saturating_sub(stats.idle_blocking_threads));
    page.sample("state=\"idle\"", stats.idle_blocking_threads);
    page.single(
        "spargio_blocking_queue_depth",
        "gauge",
        "Blocking work that no thread has begun",
        stats.blocking_queue_depth,
    );

    // No sums over the shards: Prometheus makes them.
    for (name, kind, help, value) in SHARD {
        page.family(name, kind, help);
        for (shard, stats) in stats.shards.iter().enumerate() {
            page.sample(&format!("shard=\"{shard}\""), value(stats));
        }
    }
    page.family("spargio_shard_in_flight", "gauge", "Operations the kernel has, by IORING_OP number");
    for (shard, stats) in stats.shards.iter().enumerate() {
        for (opcode, count) in stats.all_in_flight() {
            page.sample(&format!("shard=\"{shard}\",opcode=\"{opcode}\""), count);
        }
    }

    #[cfg(feature = "metrics")]
    poll_times(&mut page, handle);
    page.0
}

/// Name, kind, meaning, and where it is.
type Family = (&'static str, &'static str, &'static str, fn(&ShardStats) -> f64);

/// What each shard counts. Exact up to 2^53, as all numbers of Prometheus.
const SHARD: [Family; 13] = [
    ("spargio_shard_busy_seconds_total", "counter", "Time at work, not asleep", |s| s.busy.as_secs_f64()),
    ("spargio_shard_parks_total", "counter", "Times it went to sleep", |s| s.parks as f64),
    ("spargio_shard_queue_depth", "gauge", "Tasks in its run queue", |s| s.queue_depth as f64),
    ("spargio_shard_polls_total", "counter", "Polls of tasks", |s| s.task_polls as f64),
    ("spargio_shard_steals_total", "counter", "Tasks taken over from others", |s| s.steals as f64),
    ("spargio_shard_queue_overflows_total", "counter", "Times its queue was full", |s| {
        s.queue_overflows as f64
    }),
    ("spargio_shard_turns_total", "counter", "Looks for events", |s| s.turns as f64),
    ("spargio_shard_enters_total", "counter", "Calls of io_uring_enter", |s| s.enters as f64),
    ("spargio_shard_submissions_total", "counter", "Entries handed to the kernel", |s| s.submissions as f64),
    ("spargio_shard_completions_total", "counter", "Completions taken", |s| s.completions as f64),
    ("spargio_shard_ring_overflows_total", "counter", "Completions that did not fit", |s| {
        s.ring_overflows as f64
    }),
    ("spargio_shard_doorbells_total", "counter", "Times others woke it", |s| s.doorbells as f64),
    ("spargio_shard_leaked_total", "counter", "Operations given up; should be 0", |s| s.leaked as f64),
];

/// How long polls take, as a histogram for each shard. Without `_sum`, which nobody counts.
#[cfg(feature = "metrics")]
fn poll_times(page: &mut Page, handle: &Handle) {
    let metrics = handle.metrics();
    if !metrics.poll_time_histogram_enabled() {
        return;
    }
    page.family("spargio_poll_duration_seconds", "histogram", "How long polls take");
    for shard in 0..metrics.num_workers() {
        // Ours count each range for itself, those of Prometheus all up to an end.
        let mut count = 0;
        let buckets = metrics.poll_time_histogram_num_buckets();
        for bucket in 0..buckets {
            count += metrics.poll_time_histogram_bucket_count(shard, bucket);
            let end = metrics.poll_time_histogram_bucket_range(bucket).end;
            let end = if bucket + 1 == buckets { "+Inf".into() } else { end.as_secs_f64().to_string() };
            page.line(
                "spargio_poll_duration_seconds_bucket",
                &format!("shard=\"{shard}\",le=\"{end}\""),
                count,
            );
        }
        page.line("spargio_poll_duration_seconds_count", &format!("shard=\"{shard}\""), count);
    }
}

#[derive(Default)]
struct Page(String, &'static str);

impl Page {
    /// Begins with another metric.
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.1 = name;
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// A value of the metric, with labels or none.
    fn sample(&mut self, labels: &str, value: impl Display) {
        self.line(self.1, labels, value);
    }

    fn single(&mut self, name: &'static str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample("", value);
    }

    fn line(&mut self, name: &str, labels: &str, value: impl Display) {
        if labels.is_empty() {
            self.write(format_args!("{name} {value}\n"));
        } else {
            self.write(format_args!("{name}{{{labels}}} {value}\n"));
        }
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a String takes all");
    }
}
