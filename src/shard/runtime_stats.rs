//! A runtime in numbers: one entry for each shard, and what is the runtime's own.

use super::ShardStats;
use super::stats::stats_of;
use crate::runtime::{Backend, Handle};

use std::fmt;

/// What a runtime has done so far and has to do, in numbers; see [`Handle::stats`].
///
/// A snapshot. Its parts are of slightly different moments, and what workers count for themselves may be a moment old.
///
/// Its `Display` output is a small table for people. With the feature `serde` it can be serialized, under the names of
/// its fields: `backend` as its name (`io_uring`, `epoll`), with the reason for epoll beside it as `backend_refusal`, and
/// the sum of all shards as `total`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RuntimeStats {
    /// What the runtime stands on, and why.
    pub backend: Backend,
    /// Workers; 1 for a `current_thread` runtime.
    pub workers: usize,
    /// Spawned tasks that have not ended yet.
    pub alive_tasks: usize,
    /// Tasks that were ever spawned.
    pub spawned_tasks: u64,
    /// Tasks in the queue that all workers share.
    pub global_queue_depth: usize,
    /// Threads for blocking work, without the workers.
    pub blocking_threads: usize,
    /// Those that have none at the moment.
    pub idle_blocking_threads: usize,
    /// Pieces of blocking work that no thread has begun yet.
    pub blocking_queue_depth: usize,
    /// An entry for each shard, in order.
    pub shards: Vec<ShardStats>,
}

impl RuntimeStats {
    /// The numbers of all shards together: sums, and the largest of what is the largest of each.
    pub fn total(&self) -> ShardStats {
        let mut total = ShardStats::default();
        for shard in &self.shards {
            total.add(shard);
        }
        total
    }
}

/// Statistics. Not part of Tokio; see [`shard`](crate::shard).
impl Handle {
    /// What the runtime has done so far and has to do, in numbers. Usable from any thread, and after the runtime is gone.
    ///
    /// Disturbs no worker: it reads what is counted anyway. [`metrics`](Handle::metrics) has single numbers.
    ///
    /// ```
    /// use tokio::runtime::Builder;
    ///
    /// let rt = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    /// rt.block_on(async { tokio::spawn(async {}).await.unwrap() });
    /// let stats = rt.handle().stats();
    /// assert_eq!(stats.shards.len(), 2);
    /// assert_eq!(stats.spawned_tasks, 1);
    /// println!("{stats}");
    /// ```
    pub fn stats(&self) -> RuntimeStats {
        let inner = &self.inner;
        let workers = inner.num_workers();
        RuntimeStats {
            backend: self.backend(),
            workers,
            alive_tasks: inner.num_alive_tasks(),
            spawned_tasks: inner.spawned_tasks_count(),
            global_queue_depth: inner.injection_queue_depth(),
            blocking_threads: inner.num_blocking_threads(),
            idle_blocking_threads: inner.num_idle_blocking_threads(),
            blocking_queue_depth: inner.blocking_queue_depth(),
            shards: (0..workers).map(|shard| stats_of(inner, shard)).collect(),
        }
    }
}

impl fmt::Display for RuntimeStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}; {} workers, {} of {} tasks alive, {} in the global queue; {} blocking threads, {} idle, {} calls waiting",
            self.backend,
            self.workers,
            self.alive_tasks,
            self.spawned_tasks,
            self.global_queue_depth,
            self.blocking_threads,
            self.idle_blocking_threads,
            self.blocking_queue_depth,
        )?;
        write!(f, "{:>5}", "shard")?;
        for (name, _) in COLUMNS {
            write!(f, " {name:>10}")?;
        }
        for (index, shard) in self.shards.iter().enumerate() {
            write!(f, "\n{index:>5}")?;
            row(f, shard)?;
        }
        write!(f, "\n{:>5}", "total")?;
        row(f, &self.total())
    }
}

/// Its heading, and what it shows of a shard.
type Column = (&'static str, fn(&ShardStats) -> u64);

/// The columns of the table.
const COLUMNS: [Column; 10] = [
    ("busy ms", |shard| u64::try_from(shard.busy.as_millis()).unwrap_or(u64::MAX)),
    ("queued", |shard| shard.queue_depth as u64),
    ("polls", |shard| shard.task_polls),
    ("stolen", |shard| shard.steals),
    ("turns", |shard| shard.turns),
    ("enters", |shard| shard.enters),
    ("submitted", |shard| shard.submissions),
    ("completed", |shard| shard.completions),
    ("in flight", |shard| shard.all_in_flight().map(|(_, count)| u64::from(count)).sum()),
    ("doorbells", |shard| shard.doorbells),
];

fn row(f: &mut fmt::Formatter<'_>, shard: &ShardStats) -> fmt::Result {
    COLUMNS.iter().try_for_each(|(_, number)| write!(f, " {:>10}", number(shard)))
}
