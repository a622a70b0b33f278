//! Options that only a local runtime has.

use std::marker::PhantomData;

/// Options for [`Builder::build_local`].
///
/// There are none yet; `LocalOptions::default()` makes a value. The type is neither `Send` nor
/// `Sync`, so that options that are not may be added.
///
/// [`Builder::build_local`]: crate::runtime::Builder::build_local
#[derive(Default, Debug)]
#[non_exhaustive]
pub struct LocalOptions {
    _phantom: PhantomData<*mut u8>,
}
