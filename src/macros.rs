//! `cfg` at the door: one macro per feature gate, used by `lib.rs` and the
//! `mod.rs` of a module, never inside its rooms.

macro_rules! cfg_rt {
    ($($item:item)*) => { $(
        #[cfg(feature = "rt")]
        #[cfg_attr(docsrs, doc(cfg(feature = "rt")))]
        $item
    )* };
}

macro_rules! cfg_time {
    ($($item:item)*) => { $(
        #[cfg(feature = "time")]
        #[cfg_attr(docsrs, doc(cfg(feature = "time")))]
        $item
    )* };
}

macro_rules! cfg_net {
    ($($item:item)*) => { $(
        #[cfg(feature = "net")]
        #[cfg_attr(docsrs, doc(cfg(feature = "net")))]
        $item
    )* };
}

macro_rules! cfg_sync {
    ($($item:item)*) => { $(
        #[cfg(feature = "sync")]
        #[cfg_attr(docsrs, doc(cfg(feature = "sync")))]
        $item
    )* };
}

macro_rules! cfg_macros {
    ($($item:item)*) => { $(
        #[cfg(feature = "macros")]
        #[cfg_attr(docsrs, doc(cfg(feature = "macros")))]
        $item
    )* };
}
