//! Names of tasks.

use crate::runtime::context;

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// The name of a task, unique among the tasks of this process.
///
/// Ids are never handed out twice. They are *not* sequential: their order says nothing about
/// the order in which tasks were spawned, nor where.
///
/// A task finds its own with [`id`](crate::task::id) or [`try_id`](crate::task::try_id);
/// others see it through [`JoinHandle::id`](crate::task::JoinHandle::id),
/// [`AbortHandle::id`](crate::task::AbortHandle::id) and
/// [`JoinError::id`](crate::task::JoinError::id).
#[derive(Clone, Copy, Debug, Hash, Eq, PartialEq, PartialOrd, Ord)]
pub struct Id(pub(crate) NonZeroU64);

/// Returns the [`Id`] of the task that is running.
///
/// # Panics
///
/// Outside of a task. The future given to `block_on` is not a task. [`try_id`] answers
/// `None` there.
#[track_caller]
pub fn id() -> Id {
    context::current_task_id().expect("Can't get a task id when not inside a task")
}

/// Returns the [`Id`] of the task that is running, or `None` outside of a task.
///
/// The future given to `block_on` is not a task.
pub fn try_id() -> Option<Id> {
    context::current_task_id()
}

/// Ids a thread takes from the common counter at once, so that threads which spawn at the
/// same time seldom meet there.
const BLOCK: u64 = 64;

impl Id {
    /// A new id.
    pub(crate) fn next() -> Id {
        static NEXT_BLOCK: AtomicU64 = AtomicU64::new(1);
        thread_local! {
            /// The next id and how many are left. Has no destructor: also works while the
            /// thread's locals are being destroyed.
            static MINE: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
        }

        MINE.with(|mine| {
            loop {
                let (id, left) = match mine.get() {
                    (_, 0) => (NEXT_BLOCK.fetch_add(BLOCK, Relaxed), BLOCK),
                    some_left => some_left,
                };
                mine.set((id.wrapping_add(1), left - 1));
                if let Some(id) = NonZeroU64::new(id) {
                    return Id(id);
                }
            }
        })
    }

    /// The id as a number.
    pub(crate) fn as_u64(&self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(all(test, not(spargio_loom)))]
mod tests {
    use super::Id;
    use std::collections::HashSet;

    #[test]
    fn ids_are_unique_across_threads() {
        let ids = || (0..1000).map(|_| Id::next()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(ids)).collect();
        let mut all = HashSet::new();
        for thread in threads {
            all.extend(thread.join().unwrap());
        }
        assert_eq!(all.len(), 4000);
    }

    #[test]
    fn display_is_the_number() {
        let id = Id::next();
        assert_eq!(id.to_string(), id.as_u64().to_string());
        assert_eq!(format!("{id:?}"), format!("Id({})", id.as_u64()));
    }
}
