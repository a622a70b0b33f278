//! An echo server on each runtime, as its own documentation would write it.

pub mod compio;
pub mod glommio;
pub mod monoio;
pub mod tokio_uring;

/// What a connection reads at once.
const BUFFER: usize = 16 * 1024;

pub mod on_tokio {
    use ::tokio;

    include!("../../../../examples/side_by_side/server.rs");
}

pub mod on_spargio {
    use spargio as tokio;

    include!("../../../../examples/side_by_side/server.rs");
}

pub mod on_native {
    use spargio as tokio;

    include!("../../../../examples/side_by_side/native_server.rs");
}
