//! Everything that is re-exported from the published Tokio, in one list.
//!
//! Only its runtime-agnostic half: a name in this file never reaches Tokio's own
//! scheduler or drivers. What looks at Tokio's thread context all the same (the
//! budget of [`task::coop`], the panics of `sync`'s blocking calls, the random
//! start of `select!`) finds it on our threads, because `runtime::context` hosts
//! them.
//!
//! The modules here mirror the paths the names have in the published crate. They
//! are not gated by this crate's features, except where a feature of the
//! published crate has to be on for the name to exist; the gates a user sees are
//! in `lib.rs` and in the `mod.rs` that passes a name on.
//!
//! Not in this list, and why:
//!
//! - `io::{Interest, Ready}`, `io::unix`, `io::{stdin, stdout, stderr}`, `net`,
//!   `fs`, `time`, `process`, `signal`, nearly all of `runtime`: bound to the runtime;
//! - `task::{spawn, JoinHandle, JoinSet, LocalSet, AbortHandle, Id, …}`: likewise.

/// `io`: the traits every I/O type of the ecosystem implements, and what can be
/// built on them alone.
#[allow(unused_imports)]
pub(crate) mod io {
    pub use ::upstream::io::{AsyncBufRead, AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

    cfg_io_util! {
        pub use ::upstream::io::{
            AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt,
        };
        pub use ::upstream::io::{
            BufReader, BufStream, BufWriter, Chain, DuplexStream, Empty, Join, Lines, ReadHalf,
            Repeat, SimplexStream, Sink, Split, Take, WriteHalf,
        };
        pub use ::upstream::io::{
            copy, copy_bidirectional, copy_bidirectional_with_sizes, copy_buf, duplex, empty,
            join, repeat, simplex, sink, split,
        };
    }
}

/// `sync`, whole: channels, locks, notifications and the like know tasks only
/// through their wakers.
#[allow(unused_imports)]
pub use ::upstream::sync;

/// `task`: the cooperative budget, which all resources must share, and
/// task-local variables, which live in the future that sets them.
#[allow(unused_imports)]
pub(crate) mod task {
    pub use ::upstream::task::LocalKey;
    pub use ::upstream::task::coop;
    /// Only to report for leaf futures of this crate.
    #[cfg(all(tokio_unstable, feature = "taskdump"))]
    pub(crate) use ::upstream::task::yield_now;

    // Where these three were before `coop` became a module of its own.
    #[doc(hidden)]
    #[deprecated = "Moved to tokio::task::coop::Unconstrained"]
    pub use ::upstream::task::coop::Unconstrained;
    #[doc(hidden)]
    #[deprecated = "Moved to tokio::task::coop::consume_budget"]
    pub use ::upstream::task::coop::consume_budget;
    #[doc(hidden)]
    #[deprecated = "Moved to tokio::task::coop::unconstrained"]
    pub use ::upstream::task::coop::unconstrained;

    /// Futures that functions of `task` return.
    pub mod futures {
        pub use ::upstream::task::futures::TaskLocalFuture;
    }
}

/// `runtime`: a number.
#[cfg(tokio_unstable)]
pub(crate) mod runtime {
    pub use ::upstream::runtime::RngSeed;
}

/// Task dumps: the tracing mode, which is one for all leaf futures, and backtraces.
#[cfg(all(tokio_unstable, feature = "taskdump"))]
pub(crate) mod dump {
    pub use ::upstream::runtime::dump::{Backtrace, BacktraceFrame, BacktraceSymbol, Root, TraceMeta};
    pub(crate) use ::upstream::runtime::dump::{Trace, trace_with};

    /// Is this thread in tracing mode?
    pub(crate) fn is_tracing() -> bool {
        ::upstream::runtime::Handle::is_tracing()
    }
}

/// The macros of the crate root. Their expansions name the published crate.
#[allow(unused_imports)]
pub(crate) mod macros {
    pub use ::upstream::{pin, task_local};

    cfg_macros! {
        pub use ::upstream::{join, select, try_join};
    }

    /// What expansions refer to. Hidden in the published crate, and no part of
    /// its promise.
    pub use ::upstream::macros::support;
}
