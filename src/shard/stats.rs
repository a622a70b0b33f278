use super::Remote;
use crate::driver::RingStats;
use crate::runtime::scheduler;

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What a shard has done so far, in numbers; see [`Remote::stats`].
///
/// The shard counts for itself, without atomic operations that others would notice; what is read
/// here may be a moment old, and the numbers may be of slightly different moments.
///
/// What is about rings is 0 without `io_uring`, and as long as the shard has had no operation to submit.
///
/// Its `Display` output is one line for people. With the feature `serde` it can be serialized, under the names of its
/// fields; the operations in flight are a map from opcodes to numbers, `busy` is `busy_seconds`.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct ShardStats {
    /// How long it has worked, as opposed to slept.
    pub busy: Duration,
    /// How often it went to sleep.
    pub parks: u64,
    /// Tasks in its run queue at this moment, without the one that runs next because the running task woke it, and
    /// without those that are pinned.
    pub queue_depth: usize,
    /// Polls of tasks. Those of tasks that the running task woke and that ran right after it count as one with it.
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

impl ShardStats {
    /// Makes `self` the sum of both; of the largest numbers the larger one.
    pub(super) fn add(&mut self, other: &ShardStats) {
        self.busy += other.busy;
        self.parks += other.parks;
        self.queue_depth += other.queue_depth;
        self.task_polls += other.task_polls;
        self.steals += other.steals;
        self.steal_operations += other.steal_operations;
        self.queue_overflows += other.queue_overflows;
        self.turns += other.turns;
        self.enters += other.enters;
        self.submissions += other.submissions;
        self.largest_submission = self.largest_submission.max(other.largest_submission);
        self.completions += other.completions;
        self.largest_completion = self.largest_completion.max(other.largest_completion);
        self.ring_overflows += other.ring_overflows;
        self.doorbells += other.doorbells;
        self.watched += other.watched;
        self.leaked += other.leaked;
        for (sum, count) in self.ring.in_flight.iter_mut().zip(other.ring.in_flight) {
            // A ring's owner counts up and down while this reads: a sum may be off by what it just did.
            *sum = sum.wrapping_add(count);
        }
    }
}

impl fmt::Display for ShardStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_flight: u64 = self.all_in_flight().map(|(_, count)| u64::from(count)).sum();
        write!(
            f,
            "busy {:.3} s, {} parks, {} queued, {} polls, {} stolen, {} turns, {} enters, {} submitted, {} completed, \
             {in_flight} in flight, {} doorbells, {} watched",
            self.busy.as_secs_f64(),
            self.parks,
            self.queue_depth,
            self.task_polls,
            self.steals,
            self.turns,
            self.enters,
            self.submissions,
            self.completions,
            self.doorbells,
            self.watched,
        )?;
        // What should be 0 is told if it is not.
        for (number, what) in [
            (self.queue_overflows, "queue overflows"),
            (self.ring_overflows, "ring overflows"),
            (self.leaked, "leaked"),
        ] {
            if number > 0 {
                write!(f, ", {number} {what}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ShardStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardStats")
            .field("busy", &self.busy)
            .field("parks", &self.parks)
            .field("queue_depth", &self.queue_depth)
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
        stats_of(&self.handle().inner, self.shard().index())
    }
}

/// The numbers of one shard. They are the worker's, the driver's and the ring's: here they come together.
pub(super) fn stats_of(runtime: &scheduler::Handle, shard: usize) -> ShardStats {
    let worker = runtime.worker_metrics(shard);
    let ring = runtime.driver().stats(shard);
        ShardStats {
            busy: Duration::from_nanos(worker.busy_duration_total.load(Relaxed)),
            parks: worker.park_count.load(Relaxed),
            queue_depth: runtime.worker_local_queue_depth(shard),
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
