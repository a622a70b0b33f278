//! What `tracing` is told beyond what Tokio's own suite looks at (`tracing_*` there).
//!
//! `RUSTFLAGS='--cfg tokio_unstable' cargo test --features tracing --test tracing_spans`
#![cfg(all(tokio_unstable, feature = "tracing"))]

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The fields of a span or an event, its name and its target among them.
type Fields = HashMap<&'static str, String>;

#[derive(Clone, Default)]
struct Recorder {
    next: Arc<AtomicU64>,
    told: Arc<Mutex<Vec<Fields>>>,
}

struct Collect<'a>(&'a mut Fields);

impl Visit for Collect<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Recorder {
    fn told(&self, metadata: &Metadata<'static>, record: impl FnOnce(&mut Collect<'_>)) {
        let mut fields =
            Fields::from([("name", metadata.name().into()), ("target", metadata.target().into())]);
        record(&mut Collect(&mut fields));
        self.told.lock().unwrap().push(fields);
    }

    /// All that have these fields.
    fn with(&self, wanted: &[(&str, &str)]) -> Vec<Fields> {
        let told = self.told.lock().unwrap();
        let has = |fields: &&Fields| {
            wanted.iter().all(|(field, value)| fields.get(field).is_some_and(|said| said == value))
        };
        told.iter().filter(has).cloned().collect()
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.told(span.metadata(), |collect| span.record(collect));
        Id::from_u64(self.next.fetch_add(1, Relaxed) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.told(event.metadata(), |collect| event.record(collect));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// One test: the subscriber is the whole process's.
#[test]
fn tasks_and_timers_are_told_of_and_the_host_is_not() {
    let recorder = Recorder::default();
    tracing::subscriber::set_global_default(recorder.clone()).unwrap();

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::spawn(tokio::time::sleep(Duration::from_millis(2))).await.unwrap();
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        let mut interval = tokio::time::interval(Duration::from_millis(1));
        interval.tick().await;
        // Tasks of a shard are tasks.
        let shard = spargio::runtime::Handle::current().shards().next().unwrap();
        let remote = spargio::runtime::Handle::current().remote(shard).unwrap();
        remote.spawn_pinned(async {}).await.unwrap();
        remote.spawn_pinned_with(|| async {}).await.unwrap();
        remote.spawn_stealable(async {}).await.unwrap();
    });
    drop(runtime);

    let here = [("loc.file", "\"tests/tracing_spans.rs\"")];
    let spans = |kind| recorder.with(&[("name", "runtime.spawn"), ("kind", kind)]);
    // Each worker is inside of a `block_on` of the host, and this one of both.
    let block_on = spans("block_on");
    assert_eq!(block_on.len(), 1, "{block_on:?}");
    assert_eq!(recorder.with(&[here[0], ("kind", "block_on")]).len(), 1);
    assert_eq!(spans("task").len(), 4);
    let blocking = recorder.with(&[here[0], ("target", "tokio::task::blocking"), ("size.bytes", "0")]);
    assert_eq!(blocking.len(), 1, "{:?}", spans("blocking"));
    assert!(blocking[0]["fn"].contains("tracing_spans"), "{blocking:?}");

    for task in spans("task") {
        assert_eq!(task["loc.file"], here[0].1);
    }
    let wakes = recorder.with(&[("target", "tokio::task::waker"), ("op", "\"waker.wake\"")]);
    assert!(!wakes.is_empty());

    for kind in ["\"Sleep\"", "\"Interval\""] {
        let resources = recorder.with(&[here[0], ("name", "runtime.resource"), ("concrete_type", kind)]);
        assert!(!resources.is_empty(), "{kind}");
    }
    assert_eq!(recorder.with(&[("source", "\"Interval::tick\"")]).len(), 1);
    assert!(!recorder.with(&[("op_name", "\"poll_tick\""), ("is_ready", "true")]).is_empty());
    assert!(!recorder.with(&[("duration.unit", "\"ms\"")]).is_empty());
}
