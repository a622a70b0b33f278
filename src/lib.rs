//! A drop-in replacement for Tokio on Linux `io_uring`.
//!
//! A program that is written for Tokio runs unchanged on this runtime, with all the crates it
//! stands on, once cargo has this crate as *their* tokio:
//!
//! ```toml
//! [patch.crates-io]
//! tokio = { git = "https://github.com/spargio/spargio" }
//! ```
//!
//! (`cargo spargio adopt` writes that line, and looks at what comes of it.) One whose code is its
//! own may rename its dependency instead; libraries keep the published Tokio then:
//!
//! ```toml
//! [dependencies]
//! tokio = { package = "spargio", git = "https://github.com/spargio/spargio", features = ["full"] }
//! ```
//!
//! Everything keeps Tokio's paths, names and behaviour, which is why the examples
//! on these pages say `tokio`.
//!
//! # What is different underneath
//!
//! - **Readiness belongs to no thread.** What would block is watched in one set
//!   for each runtime, which any of its threads serves. Data moves with ordinary
//!   system calls, so nothing about buffers or cancellation changes.
//! - **Operations belong to a ring.** One worker thread, its run queue, its timers
//!   and, once it has an operation to submit, its ring are a *shard*. A worker that
//!   sleeps in its ring is woken with `IORING_OP_MSG_RING`; tasks are stolen as on
//!   Tokio.
//! - **Without `io_uring` everything still works.** In a container that forbids
//!   it, or on a kernel without it, the same program runs on epoll.
//!
//! The half of Tokio that needs no runtime (the I/O traits and utilities, `sync`,
//! the macros, the cooperative budget) is not rewritten but re-exported, so the
//! crates that build on those traits accept the types of this crate.
//!
//! # A tour
//!
//! ## Tasks
//!
//! A task is a future the runtime drives on its own. `spawn` starts one and
//! returns a handle to await its result with:
//!
//! ```
//! # #[cfg(all(feature = "rt", feature = "macros"))]
//! # {
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() {
//!     let task = tokio::spawn(async { 6 * 7 });
//!     assert_eq!(task.await.unwrap(), 42);
//! }
//! # }
//! ```
//!
//! A task gives its thread back at every `.await` that has to wait. Code that
//! computes or blocks for long belongs on the blocking pool:
//! `task::spawn_blocking` moves a closure there, `fs` and the standard streams
//! use it by themselves. What else there is to tasks (sets of them, local ones,
//! aborting them) is in [`task`].
//!
//! ## Runtimes
//!
//! `#[tokio::main]` builds one around `main`; `runtime::Builder` builds one by
//! hand. The multi-thread flavour has a worker per processor by default
//! (`TOKIO_WORKER_THREADS` changes the number), the current-thread flavour runs
//! on whatever thread calls `block_on`.
//!
//! ## Between tasks
//!
//! `sync` has channels (`mpsc`, `oneshot`, `broadcast`, `watch`), locks that wait
//! without blocking (`Mutex`, `RwLock`, `Semaphore`), and the likes of `Notify`
//! and `Barrier`. [`select!`] waits for the first of several futures,
//! [`join!`] and [`try_join!`] for all of them.
//!
//! ## Time
//!
//! `time` sleeps, ticks, and puts limits on how long a future may take.
//!
//! ## Input and output
//!
//! [`io`] has the traits and what is built on them; `net` TCP, UDP and Unix
//! sockets; `fs` files; `process` child processes; `signal` signals.
//!
//! ```no_run
//! # #[cfg(all(feature = "rt", feature = "macros", feature = "net", feature = "io-util"))]
//! # {
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::TcpListener;
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let listener = TcpListener::bind("127.0.0.1:8080").await?;
//!     loop {
//!         let (mut socket, _) = listener.accept().await?;
//!         tokio::spawn(async move {
//!             let mut buf = [0; 4096];
//!             while let Ok(n @ 1..) = socket.read(&mut buf).await {
//!                 if socket.write_all(&buf[..n]).await.is_err() {
//!                     break;
//!                 }
//!             }
//!         });
//!     }
//! }
//! # }
//! ```
//!
//! ## Shards
//!
//! Not part of Tokio: [`shard`] says where a task runs, and sends messages from
//! one worker to another.
//!
//! # Features
//!
//! No feature is on by default. The names are Tokio's, and so is what they do:
//!
//! | feature | what it adds |
//! |---|---|
//! | `full` | all of the below except `test-util` |
//! | `rt` | [`task`], `runtime` with the current-thread flavour |
//! | `rt-multi-thread` | the multi-thread flavour |
//! | `macros` | `#[main]`, `#[test]`, [`select!`], [`join!`], [`try_join!`] |
//! | `io-util` | the extension traits, buffers and utilities of [`io`] |
//! | `io-std` | `io::{stdin, stdout, stderr}` |
//! | `net` | `net`, `io::unix::AsyncFd` |
//! | `fs` | `fs` |
//! | `time` | `time` |
//! | `sync` | `sync` |
//! | `signal` | `signal` |
//! | `process` | `process` |
//! | `test-util` | a clock that can be paused, for tests |
//! | `parking_lot` | the locks of that crate inside the re-exported half |
//!
//! Four are ours, of which only `interop` is part of `full`:
//!
//! | feature | what it adds |
//! |---|---|
//! | `interop` | crates that depend on the published Tokio find a runtime when they run inside our tasks: `interop` |
//! | `metrics` | what `runtime::RuntimeMetrics` and the builder have under `--cfg tokio_unstable` on Tokio: all counters, histograms. Costs nothing when off |
//! | `serde` | `serde::Serialize` for `shard::RuntimeStats` and `ShardStats` |
//! | `uring-native` | `native`: operations of the ring with owned buffers, one call at a time |
//!
//! # Platforms
//!
//! Linux on 64-bit processors, with any C library. The features of `io_uring` in use are looked for at run
//! time.
//!
//! Everywhere else (macOS, Windows, FreeBSD, 32 bits) this crate is the published Tokio under another name, so
//! that a program can be built and tested on any machine: with `full` and `test-util`, whatever features are chosen
//! here. The modules that are ours (`native`, `shard`, `interop`) are not there. The entry macros need the dependency to be
//! called `tokio` then, or `crate = "…"`.

#![deny(unsafe_code, missing_docs, missing_debug_implementations, unreachable_pub)]
#![deny(rustdoc::broken_intra_doc_links, rustdoc::private_intra_doc_links)]
// What a smaller selection of features leaves unused inside is not worth a gate of its own.
#![cfg_attr(
    not(all(feature = "full", feature = "uring-native")),
    allow(dead_code, unreachable_pub, unused_imports)
)]
// Neither is what it lacks worth a second wording of a link.
#![cfg_attr(not(feature = "full"), allow(rustdoc::broken_intra_doc_links, rustdoc::private_intra_doc_links))]
#![cfg_attr(docsrs, feature(doc_cfg))]

// Where there is no `io_uring`, or pointers of 32 bits, there is nothing to do better.
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
mod elsewhere;
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
#[doc(inline)]
pub use elsewhere::*;

#[macro_use]
#[doc(hidden)]
pub mod macros;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod loom;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod upstream;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod util;

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod driver;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod sys;

cfg_fs! {
    pub mod fs;
}

cfg_interop! {
    pub mod interop;
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod io;

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod net;

cfg_uring_native! {
    pub mod native;
}

cfg_process! {
    pub mod process;
}

#[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "rt"))]
#[cfg_attr(docsrs, doc(cfg(feature = "rt")))]
pub mod runtime;
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(feature = "rt")))]
mod runtime;

cfg_rt! {
    pub mod shard;
}

cfg_signal! {
    pub mod signal;
}

cfg_sync! {
    #[doc(inline)]
    pub use crate::upstream::sync;
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod task;
cfg_rt! {
    pub use task::spawn;
}

cfg_time! {
    pub mod time;
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod stream {
    //! Where Tokio points to the [tokio-stream] crate. `Stream` and what belongs
    //! to it live there, until the trait is in the standard library.
    //!
    //! [tokio-stream]: https://docs.rs/tokio-stream
}

// The macros of the crate root.

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[doc(inline)]
pub use crate::upstream::macros::pin;

cfg_rt! {
    #[doc(inline)]
    pub use crate::upstream::macros::task_local;
}

cfg_macros! {
    #[doc(inline)]
    pub use crate::upstream::macros::{join, select, try_join};

    // Named by the expansion of `select!`; no part of the public interface.
    #[doc(hidden)]
    pub use tokio_macros::{select_priv_clean_pattern, select_priv_declare_output_enum};
}

// What the attributes are depends on the flavours there are; see `macros::entry`.
cfg_macros! {
    #[doc(inline)]
    pub use spargio_entry_macros::{main, test};
}
