//! Which operations this kernel knows.

use std::sync::OnceLock;

use io_uring::{IoUring, Probe};

use crate::sys::fault;

static SUPPORTED: OnceLock<Probe> = OnceLock::new();

/// Asks once, through the first ring there is.
pub(super) fn ask(ring: &IoUring) {
    SUPPORTED.get_or_init(|| {
        let mut probe = Probe::new();
        // `IORING_REGISTER_PROBE` (5.6). Who refuses it supports nothing as far as we know.
        match ring.submitter().register_probe(&mut probe) {
            Ok(()) => probe,
            Err(_) => Probe::new(),
        }
    });
}

/// Does the kernel know `opcode` (`IORING_OP_*`)? `false` as long as there was no ring.
#[allow(dead_code)]
pub(crate) fn supports(opcode: u8) -> bool {
    !fault::is_hidden(opcode) && SUPPORTED.get().is_some_and(|probe| probe.is_supported(opcode))
}
