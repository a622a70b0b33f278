//! Unix datagram sockets.

pub(crate) mod socket;
