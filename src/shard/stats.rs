use super::Remote;
use crate::driver::RingStats;

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

/// What a shard has done so far, in numbers; see [`Remote::stats`].
///
/// The shard counts for itself, without atomic operations that others would notice; what is read
/// here may be a moment old, and the numbers may be of slightly different moments.
///
/// What is about rings is 0 without `io_uring`, and as long as the shard has had no operation to submit.
#[derive(Clone)]
#[non_exhaustive]
pub struct ShardStats {
    /// Polls of tasks.
    pub task_polls: u64,
    /// Tasks taken over from other shards.
    pub steals: u64,
    /// How often it took any over.
    pub steal_operations: u64,
    /// How often its run queue was full and half of it went to the global one.
    pub queue_overflows: u64,
    /// How often it looked for events, or slept until there were some.
    pub turns: u64,
    /// Calls of `io_uring_enter`.
    pub enters: u64,
    /// Entries (SQEs) handed to the kernel. Divided by `enters`: the mean batch.
    pub submissions: u64,
    /// The most entries handed over by one call.
    pub largest_submission: u64,
    /// Completions (CQEs) taken from the kernel.
    pub completions: u64,
    /// The most completions taken at a time.
    pub largest_completion: u64,
    /// How often completions did not fit into their queue, and waited in the kernel.
    pub ring_overflows: u64,
    /// How often this shard slept and was woken by other shards or threads.
    pub doorbells: u64,
    /// Sockets and other descriptors that the runtime watches at this moment; with the first shard only, so
    /// that sums are right.
    pub watched: usize,
    /// Operations that the kernel had not let go of when a ring was given up, and nothing tells when it does, so that
    /// their memory is kept for ever; should be 0.
    pub leaked: u64,
    ring: RingStats,
}

impl ShardStats {
    /// Operations with this opcode (an `IORING_OP_…` number) that are in flight.
    pub fn in_flight(&self, opcode: u8) -> u32 {
        self.ring.in_flight.get(usize::from(opcode)).copied().unwrap_or(0)
    }

    /// All opcodes of which operations are in flight, and how many.
    pub fn all_in_flight(&self) -> impl Iterator<Item = (u8, u32)> + '_ {
        (0u8..).zip(self.ring.in_flight).filter(|(_, count)| *count > 0)
    }
}

impl fmt::Debug for ShardStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardStats")
            .field("task_polls", &self.task_polls)
            .field("steals", &self.steals)
            .field("steal_operations", &self.steal_operations)
            .field("queue_overflows", &self.queue_overflows)
            .field("turns", &self.turns)
            .field("enters", &self.enters)
            .field("submissions", &self.submissions)
            .field("largest_submission", &self.largest_submission)
            .field("completions", &self.completions)
            .field("largest_completion", &self.largest_completion)
            .field("ring_overflows", &self.ring_overflows)
            .field("doorbells", &self.doorbells)
            .field("watched", &self.watched)
            .field("leaked", &self.leaked)
            .field("in_flight", &self.all_in_flight().collect::<Vec<_>>())
            .finish()
    }
}

impl Remote {
    /// What this shard has done so far. Usable from any thread, and after the runtime is gone.
    ///
    /// ```
    /// use tokio::runtime::Builder;
    ///
    /// let rt = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    /// rt.block_on(async { tokio::task::yield_now().await });
    /// for shard in rt.handle().shards() {
    ///     let stats = rt.handle().remote(shard).unwrap().stats();
    ///     println!("shard {shard}: {} entries in {} calls", stats.submissions, stats.enters);
    ///     assert_eq!(stats.leaked, 0);
    /// }
    /// ```
    pub fn stats(&self) -> ShardStats {
        let inner = &self.handle().inner;
        let worker = inner.worker_metrics(self.shard().index());
        let ring = inner.driver().stats(self.shard().index());
        ShardStats {
            task_polls: worker.poll_count.load(Relaxed),
            steals: worker.steal_count.load(Relaxed),
            steal_operations: worker.steal_operations.load(Relaxed),
            queue_overflows: worker.overflow_count.load(Relaxed),
            turns: ring.turns,
            enters: ring.enters,
            submissions: ring.submissions,
            largest_submission: ring.largest_submission,
            completions: ring.completions,
            largest_completion: ring.largest_completion,
            ring_overflows: ring.overflows,
            doorbells: ring.doorbells,
            watched: ring.watched,
            leaked: ring.leaked,
            ring,
        }
    }
}
