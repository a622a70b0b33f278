//! Tracing all tasks: by the thread that drives the scheduler, between two polls of others.

use super::Handle;
use crate::runtime::context;
use crate::runtime::dump::{Dump, Task, Trace};

use std::sync::Arc;

impl Handle {
    /// Traces all tasks but the one that is being polled; none if another thread drives the
    /// scheduler, or nobody.
    pub(crate) fn dump(self: &Arc<Self>) -> Dump {
        let mut tasks = Vec::new();
        let is_driving = self.with_context(|cx| {
            tasks.extend(cx?.take_tasks());
            Some(())
        });
        if is_driving.is_none() {
            return Dump::new(Vec::new());
        }
        while let Some(task) = self.next_remote_task() {
            tasks.push(task);
        }
        self.notify_idle(&mut tasks);
        let trace = |task| {
            let task = self.assert_owner(task);
            let id = task.id();
            // This is a poll already, whose budget goes on afterwards.
            let capture = || context::budget(|| Trace::capture(|| task.run()));
            let ((), trace) = context::nested_budget(capture);
            Task::new(id, trace)
        };
        Dump::new(tasks.into_iter().map(trace).collect())
    }
}
