//! Which inboxes there are on which shard of a runtime; what they hold is known to
//! [`shard`](crate::shard) only.

use crate::loom::sync::Mutex;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

/// An inbox as the runtime sees it.
pub(crate) trait Mailbox: Send + Sync + 'static {
    /// The runtime is going: takes nothing more.
    fn close(&self);

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// Why an inbox was not registered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is one of its type on that shard.
    Taken,
    /// The runtime is gone.
    Closed,
}

/// The inboxes of a runtime, one of a type per shard.
#[derive(Default)]
pub(crate) struct Mailroom(Mutex<Rooms>);

#[derive(Default)]
struct Rooms {
    boxes: HashMap<(usize, TypeId), Arc<dyn Mailbox>>,
    is_closed: bool,
}

impl Mailroom {
    pub(crate) fn register<M: Mailbox>(&self, shard: usize, mailbox: &Arc<M>) -> Result<(), Refused> {
        let mut rooms = self.0.lock();
        if rooms.is_closed {
            return Err(Refused::Closed);
        }
        let key = (shard, TypeId::of::<M>());
        if rooms.boxes.contains_key(&key) {
            return Err(Refused::Taken);
        }
        rooms.boxes.insert(key, mailbox.clone());
        Ok(())
    }

    /// Forgets the inbox. Its owner still holds it: nothing of the user's is dropped under the lock.
    pub(crate) fn unregister<M: Mailbox>(&self, shard: usize, _held: &Arc<M>) {
        self.0.lock().boxes.remove(&(shard, TypeId::of::<M>()));
    }

    pub(crate) fn find<M: Mailbox>(&self, shard: usize) -> Option<Arc<M>> {
        let mailbox = self.0.lock().boxes.get(&(shard, TypeId::of::<M>()))?.clone();
        mailbox.into_any().downcast().ok()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().is_closed
    }

    /// Closes all inboxes, and takes no more of them.
    pub(crate) fn close(&self) {
        let boxes = {
            let mut rooms = self.0.lock();
            rooms.is_closed = true;
            std::mem::take(&mut rooms.boxes)
        };
        // Outside of the lock: this wakes tasks.
        for mailbox in boxes.into_values() {
            mailbox.close();
        }
    }
}
