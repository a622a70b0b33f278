//! The lane of a stream and of a runtime.

use super::Lane;
use crate::net::{TcpStream, UnixStream};
use crate::runtime::Builder;

impl TcpStream {
    /// Has `AsyncRead` and `AsyncWrite` of this stream take another lane from now on.
    ///
    /// Bytes that were accepted before are sent before. By way of their `as_ref` the halves of a split
    /// stream have this, too.
    ///
    /// On a runtime without rings nothing changes.
    #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
    pub fn set_lane(&self, lane: Lane) {
        self.evented().set_lane(lane);
    }

    /// The lane of this stream: [`Lane::Readiness`] on a runtime without rings.
    #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
    pub fn lane(&self) -> Lane {
        self.evented().lane()
    }
}

impl UnixStream {
    /// Has `AsyncRead` and `AsyncWrite` of this stream take another lane from now on: see
    /// [`TcpStream::set_lane`].
    #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
    pub fn set_lane(&self, lane: Lane) {
        self.evented().set_lane(lane);
    }

    /// The lane of this stream: [`Lane::Readiness`] on a runtime without rings.
    #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
    pub fn lane(&self) -> Lane {
        self.evented().lane()
    }
}

impl Builder {
    /// The lane that the runtime's streams begin on. Without this the environment variable
    /// `SPARGIO_LANE` decides, and where that is not set [`Lane::Readiness`] does.
    ///
    /// Building the runtime fails if the variable decides and is none of `readiness`, `native` and
    /// `auto`.
    #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
    pub fn lane(&mut self, lane: Lane) -> &mut Self {
        self.lane = Some(lane);
        self
    }
}
