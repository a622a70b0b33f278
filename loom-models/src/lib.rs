//! The files of spargio whose correctness rests on the order of atomic operations, checked with
//! [loom](https://docs.rs/loom): every interleaving of a small scene is run.
//!
//! The files are included as they are. What they use and what is not to be checked (the kernel,
//! the ring's slots, tasks) is replaced by a few lines here, at the same paths.
#![cfg(test)]
#![allow(dead_code, missing_docs, clippy::drop_non_drop)]

#[path = "../../src/driver/hold.rs"]
mod hold;
#[path = "../../src/runtime/scheduler/sharded/idle.rs"]
mod idle;
#[path = "../../src/driver/interest.rs"]
mod interest;
#[path = "../../src/loom.rs"]
mod loom;
#[path = "../../src/driver/parking.rs"]
mod parking;
#[path = "../../src/sys/poll.rs"]
mod poll;
#[path = "../../src/runtime/scheduler/sharded/queue.rs"]
mod queue;
#[path = "../../src/driver/ready.rs"]
mod ready;
#[path = "../../src/driver/scheduled_io.rs"]
mod scheduled_io;

mod models;

mod sys {
    pub(crate) use crate::poll;
}

mod driver {
    pub(crate) use crate::interest::Interest;
    pub(crate) use crate::ready::Ready;
    pub(crate) use crate::scheduled_io;
}

mod runtime {
    pub(crate) mod task {
        use std::marker::PhantomData;
        use std::ptr::NonNull;

        /// Stands in for a runnable task: a number.
        #[derive(Debug, PartialEq, Eq)]
        pub(crate) struct Notified<S>(pub(crate) usize, PhantomData<S>);

        impl<S> Notified<S> {
            pub(crate) fn new(number: usize) -> Self {
                assert_ne!(number, 0);
                Notified(number, PhantomData)
            }

            pub(crate) fn into_ptr(self) -> NonNull<()> {
                NonNull::new(std::ptr::without_provenance_mut(self.0)).expect("never zero")
            }

            /// # Safety
            ///
            /// None: it is a number.
            #[allow(unsafe_code)]
            pub(crate) unsafe fn from_ptr(ptr: NonNull<()>) -> Self {
                Notified(ptr.addr().get(), PhantomData)
            }
        }
    }
}
