//! Bytes that can leave for another thread.
//!
//! # Safety
//!
//! [`cast`] turns a value into one of another type by copying its bits. It does so only if the two
//! are the same type. A type that is not `'static` is asked for its identity as if it were; the
//! targets have no lifetime in them, so nothing but the target itself has the target's identity.
#![allow(unsafe_code)]

use std::any::TypeId;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};

/// The contents of a file to be.
#[derive(Debug)]
pub(in crate::fs) enum Contents {
    Vec(Vec<u8>),
    #[cfg(feature = "io-util")]
    Bytes(bytes::Bytes),
}

impl Contents {
    /// Takes `bytes` over if it is of a type that owns them, and copies them if not.
    pub(in crate::fs) fn new<B: AsRef<[u8]>>(bytes: B) -> Contents {
        let bytes = match cast::<B, Vec<u8>>(bytes) {
            Ok(vec) => return Contents::Vec(vec),
            Err(bytes) => bytes,
        };
        let bytes = match cast::<B, String>(bytes) {
            Ok(string) => return Contents::Vec(string.into_bytes()),
            Err(bytes) => bytes,
        };
        #[cfg(feature = "io-util")]
        let bytes = match cast::<B, bytes::Bytes>(bytes) {
            Ok(bytes) => return Contents::Bytes(bytes),
            Err(bytes) => bytes,
        };
        Contents::Vec(bytes.as_ref().to_vec())
    }
}

impl AsRef<[u8]> for Contents {
    fn as_ref(&self) -> &[u8] {
        match self {
            Contents::Vec(vec) => vec,
            #[cfg(feature = "io-util")]
            Contents::Bytes(bytes) => bytes,
        }
    }
}

/// The value as a `T`, if that is what it is.
fn cast<S, T: 'static>(value: S) -> Result<T, S> {
    if identity::<S>() != TypeId::of::<T>() {
        return Err(value);
    }
    let value = ManuallyDrop::new(value);
    // SAFETY: `S` is `T`, and the original is neither used nor dropped from here on.
    Ok(unsafe { mem::transmute_copy::<ManuallyDrop<S>, T>(&value) })
}

/// `TypeId::of` for a type that may contain lifetimes, which do not count.
fn identity<S>() -> TypeId {
    trait Identity {
        fn identity(&self) -> TypeId
        where
            Self: 'static;
    }

    impl<S> Identity for PhantomData<S> {
        fn identity(&self) -> TypeId
        where
            Self: 'static,
        {
            TypeId::of::<S>()
        }
    }

    let marker = PhantomData::<S>;
    let marker: &dyn Identity = &marker;
    // SAFETY: only the lifetime bound of the object changes. The method it is needed for reads no
    // data of type `S`, and its result has no lifetime.
    let marker = unsafe { mem::transmute::<&dyn Identity, &(dyn Identity + 'static)>(marker) };
    marker.identity()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the contents are in memory.
    fn address(bytes: &impl AsRef<[u8]>) -> *const u8 {
        bytes.as_ref().as_ptr()
    }

    fn is_taken_over(bytes: impl AsRef<[u8]>) -> bool {
        let before = address(&bytes);
        address(&Contents::new(bytes)) == before
    }

    #[test]
    fn owned_bytes_are_not_copied() {
        assert!(is_taken_over(vec![1, 2, 3]));
        assert!(is_taken_over(String::from("string")));
    }

    #[cfg(feature = "io-util")]
    #[test]
    fn shared_bytes_are_not_copied() {
        let bytes = bytes::Bytes::from(b"shared".to_vec());
        assert!(is_taken_over(bytes.clone()));
        assert_eq!(&bytes[..], b"shared");
    }

    #[test]
    fn borrowed_bytes_are_copied() {
        let vec = b"vector".to_vec();
        assert!(!is_taken_over(&vec));
        assert!(!is_taken_over(&vec[1..]));
        assert_eq!(Contents::new(&vec).as_ref(), b"vector");
        assert_eq!(Contents::new("text").as_ref(), b"text");
        assert_eq!(Contents::new([1, 2, 3]).as_ref(), [1, 2, 3]);
        let boxed: Box<[u8]> = b"boxed".as_slice().into();
        assert_eq!(Contents::new(boxed).as_ref(), b"boxed");
    }
}
