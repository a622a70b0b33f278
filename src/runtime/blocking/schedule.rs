//! The scheduler of blocking tasks, which schedules nothing.

use crate::runtime::Handle;
#[cfg(feature = "test-util")]
use crate::runtime::scheduler;
use crate::runtime::task::{self, Task, TaskHarnessScheduleHooks};

/// What a blocking task has in place of a scheduler.
///
/// While such a task exists, a paused clock of its `current_thread` runtime does not advance by
/// itself: the runtime looks idle then, but it is waiting for the task.
pub(crate) struct BlockingSchedule {
    #[cfg(feature = "test-util")]
    handle: Handle,
    hooks: TaskHarnessScheduleHooks,
}

impl BlockingSchedule {
    pub(crate) fn new(handle: &Handle) -> Self {
        #[cfg(feature = "test-util")]
        if let scheduler::Handle::CurrentThread(handle) = &handle.inner {
            handle.driver.clock().inhibit_auto_advance();
        }
        BlockingSchedule {
            #[cfg(feature = "test-util")]
            handle: handle.clone(),
            hooks: TaskHarnessScheduleHooks {
                task_terminate_callback: handle.inner.hooks().task_terminate_callback.clone(),
            },
        }
    }
}

impl task::Schedule for BlockingSchedule {
    fn release(&self, _task: &Task<Self>) -> Option<Task<Self>> {
        #[cfg(feature = "test-util")]
        if let scheduler::Handle::CurrentThread(handle) = &self.handle.inner {
            handle.driver.clock().allow_auto_advance();
            handle.driver.unpark();
        }
        None
    }

    fn schedule(&self, _task: task::Notified<Self>) {
        unreachable!("a blocking task is polled once");
    }

    fn hooks(&self) -> TaskHarnessScheduleHooks {
        self.hooks.clone()
    }
}
