//! All workers meet to have their tasks traced.
//!
//! # Protocol
//!
//! 1. One dump at a time asks for a meeting and wakes all workers.
//! 2. Each of them, at its next maintenance, hands its tasks in and waits. A core that is lent
//!    (`block_in_place`) is brought by the thread that runs it now.
//! 3. The last one to come has all tasks to itself: those handed in, those in the injection queue,
//!    and those that nobody has woken. It polls each once in tracing mode. A task that is in the
//!    middle of a poll, inside of `block_in_place`, is left out; so are tasks pinned to a shard, which
//!    no other one may poll.
//! 4. It leaves the result to who asked, and all go on. What the tasks were woken for is not lost:
//!    their leaf futures have themselves woken again.
//!
//! A shutdown ends a meeting, before it began or while workers wait.

use super::handle::Handle;
use super::worker::{Context, Core};
use crate::loom::sync::{Condvar, Mutex};
use crate::runtime::context;
use crate::runtime::dump::{Dump, Task, Trace};
use crate::runtime::task::Notified;
use crate::upstream::sync::{Mutex as AsyncMutex, Notify};

use std::mem;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};

/// Where the workers meet.
pub(super) struct Meeting {
    /// A look without the lock.
    asked: AtomicBool,
    minutes: Mutex<Minutes>,
    /// The meeting is over.
    over: Condvar,
    /// The same, for who asked.
    done: Notify,
    /// Held by the dump in progress.
    turn: AsyncMutex<()>,
}

#[derive(Default)]
struct Minutes {
    present: usize,
    /// How many meetings there were.
    held: u64,
    tasks: Vec<Notified<Arc<Handle>>>,
    result: Option<Vec<Task>>,
    /// There will be none any more.
    cancelled: bool,
}

impl Meeting {
    pub(super) fn new() -> Meeting {
        Meeting {
            asked: AtomicBool::new(false),
            minutes: Mutex::new(Minutes::default()),
            over: Condvar::new(),
            done: Notify::new(),
            turn: AsyncMutex::new(()),
        }
    }

    pub(super) fn is_asked_for(&self) -> bool {
        self.asked.load(Acquire)
    }

    /// Lets all go that wait, and have nobody come any more.
    pub(super) fn cancel(&self) {
        let mut minutes = self.minutes.lock();
        minutes.cancelled = true;
        let tasks = mem::take(&mut minutes.tasks);
        drop(minutes);
        // They are in the list of owned tasks, which cancels them.
        drop(tasks);
        self.over.notify_all();
        self.done.notify_waiters();
    }

    fn result(&self) -> Option<Vec<Task>> {
        let mut minutes = self.minutes.lock();
        if minutes.cancelled { Some(Vec::new()) } else { minutes.result.take() }
    }
}

impl Handle {
    /// Traces all tasks; waits until each worker is through with the task it is in.
    pub(crate) async fn dump(&self) -> Dump {
        let meeting = &self.shared.meeting;
        let _turn = meeting.turn.lock().await;
        // Somebody may have asked and not waited: his result is out of date.
        meeting.minutes.lock().result = None;
        meeting.asked.store(true, Release);
        for worker in 0..self.num_workers() {
            self.driver.unpark_shard(worker);
        }
        loop {
            let done = meeting.done.notified();
            if let Some(tasks) = meeting.result() {
                return Dump::new(tasks);
            }
            done.await;
        }
    }
}

impl Context {
    /// Steps 2 to 4, if somebody asked.
    pub(super) fn meet(&self, mut core: Box<Core>) -> Box<Core> {
        let shared = &self.handle().shared;
        let meeting = &shared.meeting;
        let mut minutes = meeting.minutes.lock();
        if minutes.cancelled {
            return core;
        }
        while let Some(task) = core.next_local_task() {
            minutes.tasks.push(task);
        }
        minutes.present += 1;
        if minutes.present < shared.workers.len() {
            let held = minutes.held;
            while minutes.held == held && !minutes.cancelled {
                minutes = meeting.over.wait(minutes).unwrap_or_else(|e| e.into_inner());
            }
            return core;
        }

        // Nobody else is about; and destructors of tasks may look at the meeting.
        let handed_in = mem::take(&mut minutes.tasks);
        drop(minutes);
        let mut traces = Vec::new();
        core = self.with_core_in_place(core, || traces = trace_all(self.handle(), handed_in));

        let mut minutes = meeting.minutes.lock();
        minutes.present = 0;
        minutes.held += 1;
        minutes.result = Some(traces);
        meeting.asked.swap(false, AcqRel);
        drop(minutes);
        meeting.over.notify_all();
        meeting.done.notify_waiters();
        core
    }
}

fn trace_all(handle: &Handle, mut tasks: Vec<Notified<Arc<Handle>>>) -> Vec<Task> {
    let shared = &handle.shared;
    while let Some(task) = shared.inject.pop() {
        tasks.push(task);
    }
    for worker in &shared.workers {
        while let Some(task) = worker.mail.steal() {
            tasks.push(task);
        }
    }
    shared.owned.notify_idle(&mut tasks);
    let trace = |task| {
        let task = shared.owned.assert_owner(task);
        let id = task.id();
        let ((), trace) = context::budget(|| Trace::capture(|| task.run()));
        Task::new(id, trace)
    };
    tasks.into_iter().map(trace).collect()
}
