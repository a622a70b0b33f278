//! A drop-in replacement for Tokio on Linux `io_uring`.

#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg(target_os = "linux")]

#[macro_use]
mod macros;
mod loom;
mod upstream;

mod driver;
mod sys;

pub mod io;

cfg_net! {
    pub mod net;
}

#[cfg(feature = "rt")]
#[cfg_attr(docsrs, doc(cfg(feature = "rt")))]
pub mod runtime;
#[cfg(not(feature = "rt"))]
#[allow(dead_code, unreachable_pub)]
mod runtime;

pub mod task;
cfg_rt! {
    pub use task::spawn;
}

cfg_time! {
    pub mod time;
}
