//! The files of spargio whose correctness rests on the order of atomic operations, checked with
//! [loom](https://docs.rs/loom): every interleaving of a small scene is run.
//!
//! The files are included as they are. What they use and what is not to be checked (the kernel,
//! the ring's slots, tasks) is replaced by a few lines here, at the same paths.
#![cfg(test)]
#![allow(dead_code, missing_docs, clippy::drop_non_drop)]

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
#[path = "../../src/driver/uring/remote.rs"]
mod remote;
#[path = "../../src/driver/scheduled_io.rs"]
mod scheduled_io;
#[path = "../../src/driver/uring/stats.rs"]
mod stats;
#[path = "../../src/sys/uring/token.rs"]
mod token;

mod models;

mod sys {
    pub(crate) use crate::poll;

    pub(crate) mod io {
        pub(crate) fn holds_address(_: std::os::fd::RawFd) -> bool {
            true
        }
    }

    pub(crate) mod uring {
        pub(crate) use crate::token::{Kind, Token};

        use std::io;

        /// Stands in for a ring that can be rung, and waited in.
        #[derive(Debug)]
        pub(crate) struct Doorbell(::loom::sync::Notify);

        impl Doorbell {
            pub(crate) fn new() -> io::Result<Doorbell> {
                Ok(Doorbell(::loom::sync::Notify::new()))
            }

            pub(crate) fn ring(&self) {
                self.0.notify();
            }

            pub(crate) fn wait(&self) {
                self.0.wait();
            }
        }
    }
}

mod driver {
    pub(crate) use crate::interest::Interest;
    pub(crate) use crate::parking;
    pub(crate) use crate::ready::Ready;
    pub(crate) use crate::scheduled_io;

    pub(crate) mod mio {
        #[derive(Debug)]
        pub(crate) struct Shard;
    }

    pub(crate) mod op {
        /// Stands in for an operation.
        pub(crate) trait Flight: Send + Sync + std::fmt::Debug {
            fn shard(&self) -> Option<usize> {
                None
            }
        }

        /// Stands in for several.
        #[derive(Debug)]
        pub(crate) struct Chain;

        impl Chain {
            pub(crate) fn shard(&self) -> Option<usize> {
                None
            }
        }
    }

    pub(crate) mod uring {
        pub(crate) use crate::remote::Remote;
    }
}

mod slots {
    #[derive(Debug, Default)]
    pub(crate) struct Slots;
}

mod outgoing {
    #[derive(Debug, Default)]
    pub(crate) struct Outgoing {}
}

mod lane {
    pub(crate) fn ring_doorbell(target: &crate::remote::Remote) {
        target.doorbell.ring();
    }
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
