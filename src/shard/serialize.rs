//! Statistics for `serde`: written by hand, so that nobody has to build its macros.

use super::{RuntimeStats, ShardStats};

use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::fmt::Display;

impl Serialize for ShardStats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("ShardStats", 18)?;
        fields.serialize_field("busy_seconds", &self.busy.as_secs_f64())?;
        fields.serialize_field("parks", &self.parks)?;
        fields.serialize_field("queue_depth", &self.queue_depth)?;
        fields.serialize_field("task_polls", &self.task_polls)?;
        fields.serialize_field("steals", &self.steals)?;
        fields.serialize_field("steal_operations", &self.steal_operations)?;
        fields.serialize_field("queue_overflows", &self.queue_overflows)?;
        fields.serialize_field("turns", &self.turns)?;
        fields.serialize_field("enters", &self.enters)?;
        fields.serialize_field("submissions", &self.submissions)?;
        fields.serialize_field("largest_submission", &self.largest_submission)?;
        fields.serialize_field("completions", &self.completions)?;
        fields.serialize_field("largest_completion", &self.largest_completion)?;
        fields.serialize_field("ring_overflows", &self.ring_overflows)?;
        fields.serialize_field("doorbells", &self.doorbells)?;
        fields.serialize_field("watched", &self.watched)?;
        fields.serialize_field("leaked", &self.leaked)?;
        fields.serialize_field("in_flight", &InFlight(self))?;
        fields.end()
    }
}

impl Serialize for RuntimeStats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("RuntimeStats", 11)?;
        fields.serialize_field("backend", &Shown(self.backend.kind()))?;
        fields.serialize_field("backend_refusal", &self.backend.refusal().map(Shown))?;
        fields.serialize_field("workers", &self.workers)?;
        fields.serialize_field("alive_tasks", &self.alive_tasks)?;
        fields.serialize_field("spawned_tasks", &self.spawned_tasks)?;
        fields.serialize_field("global_queue_depth", &self.global_queue_depth)?;
        fields.serialize_field("blocking_threads", &self.blocking_threads)?;
        fields.serialize_field("idle_blocking_threads", &self.idle_blocking_threads)?;
        fields.serialize_field("blocking_queue_depth", &self.blocking_queue_depth)?;
        fields.serialize_field("total", &self.total())?;
        // A slice, since `serde` knows `Vec` with its feature `alloc` only.
        fields.serialize_field("shards", self.shards.as_slice())?;
        fields.end()
    }
}

/// By opcode, which is all a number means without the others.
struct InFlight<'a>(&'a ShardStats);

impl Serialize for InFlight<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.all_in_flight())
    }
}

/// A text.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
