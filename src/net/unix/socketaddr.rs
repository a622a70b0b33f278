//! Addresses of Unix sockets.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net;
use std::path::Path;

/// The address of a Unix socket: a path, a name in the abstract namespace, or
/// nothing at all.
///
/// A thin wrapper around [`std::os::unix::net::SocketAddr`]; [`From`] converts
/// in both directions.
#[derive(Clone)]
pub struct SocketAddr(pub(super) net::SocketAddr);

impl SocketAddr {
    /// Is the socket not bound to any name?
    pub fn is_unnamed(&self) -> bool {
        self.0.is_unnamed()
    }

    /// The path the socket is bound to, if it is bound to one.
    pub fn as_pathname(&self) -> Option<&Path> {
        self.0.as_pathname()
    }

    /// The name in the abstract namespace the socket is bound to, without the
    /// leading zero byte, if it is bound to one.
    ///
    /// The abstract namespace is a feature of Linux; see `unix(7)`.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        self.0.as_abstract_name()
    }

    /// The address a path given by a user stands for. A path that starts with
    /// a zero byte is a name in the abstract namespace.
    pub(super) fn from_path(path: &Path) -> io::Result<SocketAddr> {
        let addr = match path.as_os_str().as_bytes() {
            [0, name @ ..] => net::SocketAddr::from_abstract_name(name),
            _ => net::SocketAddr::from_pathname(path),
        };
        addr.map(SocketAddr)
    }

    /// The sender's address as `recvfrom(2)` reported it. Nothing at all is
    /// reported for a sender without a name.
    pub(super) fn from_received(addr: &socket2::SockAddr) -> io::Result<SocketAddr> {
        let named = if let Some(path) = addr.as_pathname() {
            net::SocketAddr::from_pathname(path).ok()
        } else if let Some(name) = addr.as_abstract_namespace() {
            net::SocketAddr::from_abstract_name(name).ok()
        } else {
            None
        };
        // The datagram has been taken from the socket by now. A path that fills
        // `sun_path` to the last byte, which std cannot express, must not cost
        // the caller its data: such a sender counts as unnamed.
        match named {
            Some(addr) => Ok(SocketAddr(addr)),
            None => net::SocketAddr::from_pathname(OsStr::new("")).map(SocketAddr),
        }
    }
}

impl fmt::Debug for SocketAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<net::SocketAddr> for SocketAddr {
    fn from(addr: net::SocketAddr) -> SocketAddr {
        SocketAddr(addr)
    }
}

impl From<SocketAddr> for net::SocketAddr {
    fn from(addr: SocketAddr) -> net::SocketAddr {
        addr.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::MaybeUninit;

    #[test]
    fn a_leading_zero_byte_means_abstract() {
        let addr = SocketAddr::from_path(Path::new("\0name")).unwrap();
        assert_eq!(addr.as_abstract_name(), Some(&b"name"[..]));
        let addr = SocketAddr::from_path(Path::new("/tmp/name")).unwrap();
        assert_eq!(addr.as_pathname(), Some(Path::new("/tmp/name")));
        assert!(SocketAddr::from_path(Path::new("a\0b")).is_err());
    }

    #[test]
    fn received_addresses_keep_their_kind() {
        let kind = |name: Option<&str>| {
            let rx_addr = SocketAddr::from_path(Path::new("\0spargio-received-rx")).unwrap();
            let rx = net::UnixDatagram::bind_addr(&rx_addr.0).unwrap();
            let tx = match name {
                Some(name) => {
                    net::UnixDatagram::bind_addr(&SocketAddr::from_path(Path::new(name)).unwrap().0)
                }
                None => net::UnixDatagram::unbound(),
            };
            tx.unwrap().send_to_addr(b"x", &rx_addr.0).unwrap();
            let mut buf = [MaybeUninit::uninit(); 4];
            let (_, addr) = socket2::SockRef::from(&rx).recv_from(&mut buf).unwrap();
            SocketAddr::from_received(&addr).unwrap()
        };
        assert!(kind(None).is_unnamed());
        let named = kind(Some("\0spargio-received-tx"));
        assert_eq!(named.as_abstract_name(), Some(&b"spargio-received-tx"[..]));
        let path = std::env::temp_dir().join(format!("spargio-received-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let named = kind(Some(path.to_str().unwrap()));
        assert_eq!(named.as_pathname(), Some(path.as_path()));
        std::fs::remove_file(&path).unwrap();
    }
}
