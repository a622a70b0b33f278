//! What this kernel has.

use std::fmt;

use super::entry::opcode as op;
use super::target::current_driver;

/// What the rings of a runtime can do: [`caps`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// One bit an opcode.
    opcodes: [u64; 4],
}

/// The operations of this module, by the names of their opcodes.
const OPERATIONS: &[(&str, u8)] = &[
    ("RECV", op::Recv::CODE),
    ("SEND", op::Send::CODE),
    ("SEND_ZC", op::SendZc::CODE),
    ("RECVMSG", op::RecvMsg::CODE),
    ("SENDMSG", op::SendMsg::CODE),
    ("SENDMSG_ZC", op::SendMsgZc::CODE),
    ("ACCEPT", op::Accept::CODE),
    ("CONNECT", op::Connect::CODE),
    ("SHUTDOWN", op::Shutdown::CODE),
    ("SPLICE", op::Splice::CODE),
    ("READ", op::Read::CODE),
    ("WRITE", op::Write::CODE),
    ("READ_FIXED", op::ReadFixed::CODE),
    ("WRITE_FIXED", op::WriteFixed::CODE),
    ("READV", op::Readv::CODE),
    ("WRITEV", op::Writev::CODE),
    ("FSYNC", op::Fsync::CODE),
    ("SYNC_FILE_RANGE", op::SyncFileRange::CODE),
    ("FALLOCATE", op::Fallocate::CODE),
    ("FTRUNCATE", op::Ftruncate::CODE),
    ("FADVISE", op::Fadvise::CODE),
    ("OPENAT2", op::OpenAt2::CODE),
    ("STATX", op::Statx::CODE),
    ("RENAMEAT", op::RenameAt::CODE),
    ("UNLINKAT", op::UnlinkAt::CODE),
    ("MKDIRAT", op::MkDirAt::CODE),
    ("LINKAT", op::LinkAt::CODE),
    ("SYMLINKAT", op::SymlinkAt::CODE),
    ("GETXATTR", op::GetXattr::CODE),
    ("SETXATTR", op::SetXattr::CODE),
    ("FGETXATTR", op::FGetXattr::CODE),
    ("FSETXATTR", op::FSetXattr::CODE),
    ("WAITID", op::WaitId::CODE),
    ("LINK_TIMEOUT", op::LinkTimeout::CODE),
];

impl Caps {
    /// Is this operation done by a ring? `opcode` is a number of
    /// [`entry::opcode`](super::entry::opcode), `IORING_OP_*`. What is not works all the same: see
    /// the [module's documentation](super#without-the-ring).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tokio::native::{caps, entry::opcode};
    ///
    /// if !caps().supports(opcode::SendZc::CODE) {
    ///     println!("send_zc copies here");
    /// }
    /// # }
    /// ```
    pub fn supports(&self, opcode: u8) -> bool {
        self.opcodes[usize::from(opcode) / 64] >> (opcode % 64) & 1 != 0
    }

    /// Is there a ring at all?
    pub fn has_ring(&self) -> bool {
        self.opcodes != [0; 4]
    }

    /// The names of this module's opcodes, `IORING_OP_*`, and whether a ring does them.
    pub fn operations(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let caps = *self;
        OPERATIONS.iter().map(move |&(name, opcode)| (name, caps.supports(opcode)))
    }
}

impl fmt::Debug for Caps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.operations()).finish()
    }
}

/// What the rings of the current runtime can do.
///
/// # Panics
///
/// Outside of a runtime.
#[track_caller]
pub fn caps() -> Caps {
    let driver = current_driver();
    let mut opcodes = [0; 4];
    for opcode in 0..=u8::MAX {
        let bit = u64::from(super::ring::supports(&driver, opcode));
        opcodes[usize::from(opcode) / 64] |= bit << (opcode % 64);
    }
    Caps { opcodes }
}
