//! `cfg` at the door: one macro per feature gate, used by `lib.rs` and the
//! `mod.rs` of a module, and around the methods that need `bytes`; not inside the
//! rooms.
//!
//! `cfg_x! { items }` compiles the items if the feature is on, and says so in the
//! documentation; where the crate is a re-export of the published Tokio it compiles none.

#![cfg_attr(not(feature = "full"), allow(unused_macros))]

// A macro that makes macros cannot write `$` for its product; `$d` stands for it.
macro_rules! gates {
    ($d:tt $($(#[$attr:meta])* $name:ident => $cfg:meta;)*) => { $(
        $(#[$attr])*
        #[allow(unused_macros)]
        macro_rules! $name {
            ($d($d item:item)*) => { $d(
                #[cfg(all(target_os = "linux", target_pointer_width = "64", $cfg))]
                #[cfg_attr(docsrs, doc(cfg($cfg)))]
                $d item
            )* };
        }
    )* };
}

// Tokio's features.
gates! { $
    cfg_fs => feature = "fs";
    cfg_io_std => feature = "io-std";
    cfg_io_util => feature = "io-util";
    cfg_macros => feature = "macros";
    cfg_net => feature = "net";
    cfg_process => feature = "process";
    cfg_rt => feature = "rt";
    cfg_rt_multi_thread => feature = "rt-multi-thread";
    cfg_signal => feature = "signal";
    cfg_sync => feature = "sync";
    cfg_test_util => feature = "test-util";
    cfg_time => feature = "time";
    cfg_unstable => tokio_unstable;
}

// Our own.
gates! { $
    cfg_interop => feature = "interop";
    /// What counts and measures a runtime; Tokio has it under `--cfg tokio_unstable`, and so does this crate.
    cfg_metrics => any(tokio_unstable, feature = "metrics");
    cfg_uring_native => feature = "uring-native";
}

// What several features need, or what takes the place of a missing one. These
// gate internal items: a user never sees the condition.
gates! { $
    /// Types that are watched by the driver.
    cfg_io_driver => any(feature = "net", feature = "process", feature = "signal");
    /// Signals: those that a user listens for, and `SIGCHLD`.
    cfg_signal_driver => any(feature = "process", feature = "signal");
    /// Blocking objects behind asynchronous traits.
    cfg_io_blocking => any(feature = "fs", feature = "io-std");
    cfg_not_net => not(feature = "net");
    cfg_not_rt => not(feature = "rt");
    cfg_not_rt_multi_thread => not(feature = "rt-multi-thread");
    cfg_not_test_util => not(feature = "test-util");
    cfg_not_time => not(feature = "time");
}

// Expansions of the re-exported macros name the published crate's `macros`
// module. The same path exists here for those who, against the documentation,
// name it themselves.
#[doc(hidden)]
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub use crate::upstream::macros::support;

// The attributes of the crate root find out what the program calls this crate, and
// hand on to these, which build the runtime. Which of Tokio's is right depends on the
// flavours there are, and without a runtime they say what is missing.
#[doc(hidden)]
#[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "macros"))]
pub mod entry {
    #[cfg(feature = "rt-multi-thread")]
    pub use tokio_macros::{main, test};

    #[cfg(all(feature = "rt", not(feature = "rt-multi-thread")))]
    pub use tokio_macros::{main_rt as main, test_rt as test};

    #[cfg(not(feature = "rt"))]
    pub use tokio_macros::{main_fail as main, test_fail as test};
}
