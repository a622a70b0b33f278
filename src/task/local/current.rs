//! The set that a thread is in.

use super::shared::{Context, Shared};

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

thread_local! {
    pub(super) static CURRENT: Current = const {
        Current { context: RefCell::new(None), wake_on_schedule: Cell::new(false) }
    };
}

pub(super) struct Current {
    context: RefCell<Option<Rc<Context>>>,
    /// The set was entered but is not being polled: it must be woken to see a new task.
    wake_on_schedule: Cell<bool>,
}

/// What was current before.
pub(super) struct Previous {
    context: Option<Rc<Context>>,
    wake_on_schedule: bool,
}

impl Current {
    fn replace(&self, new: Previous) -> Previous {
        Previous {
            context: self.context.replace(new.context),
            wake_on_schedule: self.wake_on_schedule.replace(new.wake_on_schedule),
        }
    }

    /// Makes `context` current, as a set that is being polled.
    pub(super) fn enter(&self, context: Rc<Context>) -> PollGuard<'_> {
        let previous = self.replace(Previous {
            context: Some(context),
            wake_on_schedule: false,
        });
        PollGuard {
            current: self,
            previous: Some(previous),
        }
    }

    /// The set the thread is in.
    pub(super) fn get() -> Option<Rc<Context>> {
        CURRENT
            .try_with(|current| current.context.borrow().clone())
            .ok()
            .flatten()
    }

    /// Is the set of `shared` being polled by this thread right now?
    pub(super) fn is_polling(shared: &Shared) -> bool {
        CURRENT
            .try_with(|current| {
                !current.wake_on_schedule.get()
                    && matches!(&*current.context.borrow(), Some(cx) if std::ptr::eq(&*cx.shared, shared))
            })
            .unwrap_or(false)
    }
}

pub(super) struct PollGuard<'a> {
    current: &'a Current,
    previous: Option<Previous>,
}

impl Drop for PollGuard<'_> {
    fn drop(&mut self) {
        if let Some(previous) = self.previous.take() {
            self.current.replace(previous);
        }
    }
}

/// Leaves the context of a [`LocalSet`](super::LocalSet) when dropped; see [`LocalSet::enter`](super::LocalSet::enter).
pub struct LocalEnterGuard {
    context: Option<Rc<Context>>,
    wake_on_schedule: bool,
}

impl Drop for LocalEnterGuard {
    fn drop(&mut self) {
        let previous = Previous {
            context: self.context.take(),
            wake_on_schedule: self.wake_on_schedule,
        };
        // The thread may be ending, its locals gone: then there is nothing to restore.
        let _ = CURRENT.try_with(|current| current.replace(previous));
    }
}

impl LocalEnterGuard {
    pub(super) fn new(context: Rc<Context>) -> LocalEnterGuard {
        let previous = CURRENT.with(|current| {
            current.replace(Previous {
                context: Some(context),
                wake_on_schedule: true,
            })
        });
        LocalEnterGuard {
            context: previous.context,
            wake_on_schedule: previous.wake_on_schedule,
        }
    }
}

impl fmt::Debug for LocalEnterGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalEnterGuard").finish()
    }
}
