//! A runtime in numbers: `Handle::stats`, what `examples/prometheus.rs` makes of it, and with the feature `metrics`
//! what Tokio has under `--cfg tokio_unstable` only.
//!
//! `cargo test --features metrics,schedule-latency,serde --test metrics`

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::shard::{self, RuntimeStats, Shard};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::sleep;

#[path = "../examples/prometheus.rs"]
#[allow(dead_code)] // its `main`
mod prometheus;

const LONG: Duration = Duration::from_secs(20);

fn runtimes() -> [Runtime; 2] {
    [
        Builder::new_current_thread().enable_all().build().unwrap(),
        Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
    ]
}

/// Waits until the numbers are as they should be: workers publish them now and then.
#[track_caller]
fn eventually<T: std::fmt::Debug>(look: impl Fn() -> T, is_so: impl Fn(&T) -> bool) -> T {
    let start = Instant::now();
    loop {
        let found = look();
        if is_so(&found) {
            return found;
        }
        assert!(start.elapsed() < LONG, "{found:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A few tasks that are polled some times each.
fn work(rt: &Runtime) {
    rt.block_on(async {
        let tasks: Vec<_> = (0..10).map(|_| tokio::spawn(async { yield_now().await })).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn a_runtime_in_numbers() {
    for rt in runtimes() {
        let handle = rt.handle().clone();
        let workers = rt.metrics().num_workers();
        work(&rt);
        // With nothing to do it sleeps.
        rt.block_on(async { sleep(Duration::from_millis(1)).await });
        let is_published = |stats: &RuntimeStats| stats.total().task_polls >= 20 && stats.total().parks > 0;
        let stats = eventually(|| handle.stats(), is_published);
        assert_eq!((stats.workers, stats.shards.len()), (workers, workers));
        assert_eq!(stats.backend.kind(), handle.backend().kind());
        assert_eq!(stats.spawned_tasks, 10);
        assert!(stats.total().busy > Duration::ZERO, "{stats:?}");
        assert_eq!(stats.total().leaked, 0);

        // What is there now, and not there any more a little later.
        let (end, ended) = oneshot::channel::<()>();
        let task = rt.spawn(async move { ended.await.unwrap_err() });
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let call = rt.spawn_blocking(move || held.recv().unwrap_err());
        let stats =
            eventually(|| handle.stats(), |stats| stats.idle_blocking_threads < stats.blocking_threads);
        assert_eq!(stats.alive_tasks, 1);
        drop((end, let_go));
        rt.block_on(async { (task.await.unwrap(), call.await.unwrap()) });
        eventually(
            || handle.stats(),
            |stats| stats.alive_tasks == 0 && stats.idle_blocking_threads == stats.blocking_threads,
        );

        drop(rt);
        let stats = handle.stats();
        assert_eq!((stats.alive_tasks, stats.spawned_tasks), (0, 11));
    }
}

#[test]
fn queues_have_a_depth() {
    let rt = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (began, has_begun) = std::sync::mpsc::channel();
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    rt.spawn(async move {
        // The first is in the slot of what runs next.
        for _ in 0..4 {
            tokio::spawn(async {});
        }
        began.send(()).unwrap();
        held.recv().unwrap_err();
    });
    has_begun.recv().unwrap();
    for _ in 0..5 {
        rt.spawn(async {});
    }
    let stats = rt.handle().stats();
    assert_eq!((stats.total().queue_depth, stats.global_queue_depth), (3, 5), "{stats}");
    drop(let_go);
}

#[test]
fn the_total_is_the_sum() {
    let [_, rt] = runtimes();
    for shard in rt.handle().shards() {
        let _entered = rt.enter();
        rt.block_on(shard::spawn_pinned(shard, async { yield_now().await })).unwrap();
    }
    let stats =
        eventually(|| rt.handle().stats(), |stats| stats.shards.iter().all(|shard| shard.task_polls > 0));
    let (total, [a, b]) = (stats.total(), [&stats.shards[0], &stats.shards[1]]);
    assert_eq!(total.task_polls, a.task_polls + b.task_polls);
    assert_eq!(total.busy, a.busy + b.busy);
    assert_eq!(total.turns, a.turns + b.turns);
    assert_eq!(total.largest_submission, a.largest_submission.max(b.largest_submission));
    assert_eq!(total.watched, a.watched + b.watched);
}

#[test]
fn people_can_read_it() {
    let [_, rt] = runtimes();
    work(&rt);
    let stats = rt.handle().stats();
    let text = stats.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[0].starts_with(&format!("{}; 2 workers, ", stats.backend)), "{text}");
    for (line, first) in lines[1..].iter().zip(["shard", "0", "1", "total"]) {
        assert_eq!(line.split_whitespace().next(), Some(first), "{text}");
        assert_eq!(line.len(), lines[1].len(), "in columns:\n{text}");
    }
    let line = rt.handle().remote(Shard::new(0)).unwrap().stats().to_string();
    assert!(line.starts_with("busy ") && !line.contains('\n') && !line.contains("leaked"), "{line}");
}

#[cfg(feature = "serde")]
#[test]
fn serde_has_all_of_it() {
    let [_, rt] = runtimes();
    work(&rt);
    let stats = eventually(|| rt.handle().stats(), |stats| stats.total().task_polls >= 20);
    let json = serde_json::to_value(&stats).unwrap();
    assert_eq!(json["backend"], stats.backend.kind().to_string());
    assert_eq!(json["backend_refusal"].is_null(), stats.backend.refusal().is_none());
    assert_eq!(json["workers"], 2);
    assert_eq!(json["spawned_tasks"], 10);
    assert_eq!(json["total"]["task_polls"], stats.total().task_polls);
    assert_eq!(json["shards"].as_array().unwrap().len(), 2);
    assert!(json["shards"][0]["in_flight"].is_object());
    // Each field of `Debug`, which the compiler does not compare with what is serialized.
    let told = format!("{:#?}", stats.shards[0]);
    let fields =
        told.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": ")).map(|(name, _)| name);
    let fields: Vec<_> = fields.filter(|name| !name.starts_with(' ')).collect();
    assert_eq!(fields.len(), 18, "{told}");
    for field in fields {
        let name = if field == "busy" { "busy_seconds" } else { field };
        assert!(json["shards"][0].get(name).is_some(), "{name} is missing in {json}");
    }
}

/// The text format, as far as it is used: each line is a comment or `name{labels} value`, and what is said of a metric
/// comes before its values.
#[test]
fn prometheus_is_served() {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all();
    #[cfg(feature = "metrics")]
    builder.enable_metrics_poll_time_histogram();
    let rt = builder.build().unwrap();
    work(&rt);
    let listener = rt.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    rt.spawn(prometheus::serve(listener));
    let get = |path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    };

    assert!(get("/").0.starts_with("HTTP/1.1 404 "));
    let (head, body) = get("/metrics");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\n"), "{head}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");

    let mut family = "";
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            family = comment.split(' ').nth(1).unwrap();
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        let name = name.split('{').next().unwrap();
        assert!(
            [name, name.trim_end_matches("_bucket"), name.trim_end_matches("_count")].contains(&family),
            "{line}"
        );
        assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{line}");
    }
    assert!(body.contains("\nspargio_workers 2\n"), "{body}");
    assert!(
        body.contains(&format!("spargio_backend_info{{backend=\"{}\"}} 1\n", rt.handle().backend().kind()))
    );
    for shard in 0..2 {
        assert!(body.contains(&format!("spargio_shard_polls_total{{shard=\"{shard}\"}} ")), "{body}");
    }
    let histogram = "spargio_poll_duration_seconds_bucket{shard=\"1\",le=\"+Inf\"} ";
    assert_eq!(body.contains(histogram), cfg!(feature = "metrics"), "{body}");
}

/// The methods that have to do with metrics, in one of Tokio's files or ours.
fn methods(path: &str, of_interest: impl Fn(&str) -> bool) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let names =
        text.lines().filter_map(|line| line.trim_start().strip_prefix("pub fn ")?.split_once(['(', '<']));
    let mut names: Vec<_> = names.map(|(name, _)| name.to_owned()).filter(|name| of_interest(name)).collect();
    names.sort();
    names
}

/// That the two are equal under `--cfg tokio_unstable` is compared item by item (compat-tests, `--api --cfg-unstable`). Here:
/// that none of them is behind that alone.
#[test]
fn the_feature_has_what_the_cfg_has() {
    const TOKIOS: &str = "patch/tokio-upstream/src/runtime";
    let theirs = methods(&format!("{TOKIOS}/metrics/runtime.rs"), |_| true);
    assert!(theirs.len() > 30, "{theirs:?}");
    assert_eq!(methods("src/runtime/metrics/runtime.rs", |_| true), theirs);
    let is_metric = |name: &str| name.contains("metrics_");
    let theirs = methods(&format!("{TOKIOS}/builder.rs"), is_metric);
    assert!(theirs.len() > 5, "{theirs:?}");
    assert_eq!(methods("src/runtime/builder/measures.rs", is_metric), theirs);

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in
        ["mod.rs", "runtime.rs", "worker.rs", "batch.rs", "scheduler.rs", "histogram.rs", "histogram/log.rs"]
    {
        let text = std::fs::read_to_string(root.join("src/runtime/metrics").join(path)).unwrap();
        for line in
            text.lines().filter(|line| line.trim_start().starts_with("#[") && line.contains("tokio_unstable"))
        {
            assert!(line.contains("any(tokio_unstable, feature = \"metrics\""), "{path}: {line}");
        }
    }
}

#[cfg(any(tokio_unstable, feature = "metrics"))]
mod unstable_in_tokio {
    use super::*;

    use tokio::runtime::{HistogramConfiguration, HistogramScale, LogHistogram, RuntimeMetrics};

    /// The sum over all workers.
    fn sum(metrics: &RuntimeMetrics, of: impl Fn(&RuntimeMetrics, usize) -> u64) -> u64 {
        (0..metrics.num_workers()).map(|worker| of(metrics, worker)).sum()
    }

    #[test]
    fn counters_count() {
        for rt in runtimes() {
            let metrics = rt.metrics();
            work(&rt);
            eventually(|| sum(&metrics, RuntimeMetrics::worker_poll_count), |&polls| polls >= 20);
            assert_eq!(metrics.spawned_tasks_count(), 10);
            assert!(
                sum(&metrics, RuntimeMetrics::worker_local_schedule_count) + metrics.remote_schedule_count()
                    > 0
            );
            eventually(
                || metrics.num_idle_blocking_threads(),
                |&idle| idle == metrics.num_blocking_threads(),
            );
            // A worker that has not started yet is such a piece of work, as on Tokio.
            eventually(|| metrics.blocking_queue_depth(), |&depth| depth == 0);
            for worker in 0..metrics.num_workers() {
                eventually(|| metrics.worker_thread_id(worker), Option::is_some);
                assert_eq!(metrics.worker_local_queue_depth(worker), 0);
                assert_eq!(metrics.worker_overflow_count(worker), 0);
                assert!(metrics.worker_steal_operations(worker) <= metrics.worker_steal_count(worker));
                assert!(metrics.worker_noop_count(worker) <= metrics.worker_park_count(worker));
                assert!(metrics.worker_mean_poll_time(worker) < LONG);
            }
        }
    }

    #[test]
    fn a_task_is_stolen() {
        let rt = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        rt.block_on(async {
            let task = tokio::spawn(async {
                // Of two that this worker has, the other one must take one, since this one waits for it.
                let (done, is_done) = std::sync::mpsc::channel();
                let tasks = [done.clone(), done].map(|done| tokio::spawn(async move { done.send(()) }));
                is_done.recv().unwrap();
                tasks
            });
            for task in task.await.unwrap() {
                task.await.unwrap().unwrap_or_default();
            }
        });
        let metrics = rt.metrics();
        eventually(|| sum(&metrics, RuntimeMetrics::worker_steal_count), |&stolen| stolen > 0);
        assert!(sum(&metrics, RuntimeMetrics::worker_steal_operations) > 0);
    }

    #[test]
    fn a_budget_that_is_used_up_is_counted() {
        let rt = Builder::new_current_thread().build().unwrap();
        rt.block_on(async {
            tokio::spawn(async {
                for _ in 0..1000 {
                    tokio::task::consume_budget().await;
                }
            })
            .await
            .unwrap();
        });
        assert!(rt.metrics().budget_forced_yield_count() > 0);
    }

    #[test]
    fn sockets_are_counted() {
        let rt = Builder::new_current_thread().enable_all().build().unwrap();
        let metrics = rt.metrics();
        rt.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            assert_eq!(metrics.io_driver_fd_registered_count(), 1);
            let address = listener.local_addr().unwrap();
            let client = thread::spawn(move || TcpStream::connect(address));
            listener.accept().await.unwrap();
            client.join().unwrap().unwrap();
        });
        assert_eq!(metrics.io_driver_fd_registered_count(), 2);
        assert_eq!(metrics.io_driver_fd_deregistered_count(), 2);
        assert!(metrics.io_driver_ready_count() <= 2);
    }

    fn counted(metrics: &RuntimeMetrics) -> Vec<u64> {
        let buckets = 0..metrics.poll_time_histogram_num_buckets();
        buckets
            .map(|bucket| sum(metrics, |metrics, w| metrics.poll_time_histogram_bucket_count(w, bucket)))
            .collect()
    }

    #[test]
    fn polls_are_in_the_buckets_of_their_time() {
        let ten = HistogramConfiguration::linear(Duration::from_millis(5), 2);
        for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
            builder.worker_threads(2).enable_metrics_poll_time_histogram();
            let rt = builder.metrics_poll_time_histogram_configuration(ten.clone()).build().unwrap();
            let metrics = rt.metrics();
            assert!(metrics.poll_time_histogram_enabled());
            assert_eq!(metrics.poll_time_histogram_bucket_range(0), Duration::ZERO..Duration::from_millis(5));
            rt.block_on(async {
                tokio::spawn(async { thread::sleep(Duration::from_millis(6)) }).await.unwrap()
            });
            work(&rt);
            let polls = || sum(&metrics, RuntimeMetrics::worker_poll_count);
            let buckets = eventually(
                || counted(&metrics),
                |buckets| {
                    let sum: u64 = buckets.iter().sum();
                    sum >= 21 && sum == polls()
                },
            );
            assert!(buckets[0] > 0 && buckets[1] > 0, "{buckets:?}");
        }
    }

    #[test]
    fn other_scales() {
        let mut builder = Builder::new_current_thread();
        builder.enable_metrics_poll_time_histogram();
        builder
            .metrics_poll_time_histogram_configuration(HistogramConfiguration::log(LogHistogram::default()));
        assert_eq!(builder.build().unwrap().metrics().poll_time_histogram_num_buckets(), 119);
        #[allow(deprecated)] // what was there before
        builder
            .metrics_poll_count_histogram_scale(HistogramScale::Log)
            .metrics_poll_count_histogram_buckets(3);
        assert_eq!(builder.build().unwrap().metrics().poll_time_histogram_num_buckets(), 3);
    }

    #[test]
    fn what_nobody_asked_for_is_not_measured() {
        for rt in runtimes() {
            let metrics = rt.metrics();
            assert!(!metrics.poll_time_histogram_enabled());
            assert_eq!(metrics.poll_time_histogram_num_buckets(), 0);
            assert_eq!(metrics.poll_time_histogram_bucket_count(0, 0), 0);
        }
    }

    #[cfg(feature = "schedule-latency")]
    #[test]
    fn waits_are_in_the_buckets_of_their_time() {
        for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
            builder.worker_threads(1).enable_metrics_schedule_latency_histogram();
            let halves = HistogramConfiguration::linear(Duration::from_millis(5), 2);
            let rt = builder.metrics_schedule_latency_histogram_configuration(halves).build().unwrap();
            let metrics = rt.metrics();
            assert!(metrics.schedule_latency_histogram_enabled());
            rt.block_on(async {
                let task = tokio::spawn(async {
                    let waiting = tokio::spawn(async {});
                    thread::sleep(Duration::from_millis(6));
                    [waiting]
                });
                let [waiting] = task.await.unwrap();
                waiting.await.unwrap();
            });
            let long = || metrics.schedule_latency_histogram_bucket_count(0, 1);
            eventually(long, |&count| count > 0);
        }
    }
}

/// The numbers are those of the runtime that is asked, wherever that is done.
#[test]
fn a_handle_tells_of_its_own_runtime() {
    let [a, b] = runtimes();
    let other = b.handle().clone();
    let (own, others) = a.block_on(async move { (Handle::current().stats(), other.stats()) });
    assert_eq!((own.workers, others.workers), (1, 2));
}
