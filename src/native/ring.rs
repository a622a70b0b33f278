//! Which operations go to a ring.

use crate::driver::Handle;

/// Does a ring of that runtime do this operation? None does yet: all of them take the other lanes.
pub(crate) fn supports(_: &Handle, _: u8) -> bool {
    false
}
