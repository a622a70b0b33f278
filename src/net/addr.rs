//! What may stand where an address is wanted.

use std::future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Something that can be turned into one or more [`SocketAddr`]s, possibly by looking up a name.
///
/// The asynchronous counterpart of [`std::net::ToSocketAddrs`]. It is a bound only: its methods are
/// private, so it can neither be called nor implemented outside of this crate. Call
/// [`lookup_host`](super::lookup_host()) to resolve a name.
///
/// Implemented for
///
/// * [`SocketAddr`], [`SocketAddrV4`], [`SocketAddrV6`],
/// * `(ip, port)` pairs with an [`IpAddr`], [`Ipv4Addr`], [`Ipv6Addr`], `&str` or `String` in
///   front,
/// * `&[SocketAddr]`,
/// * [`str`] and [`String`] holding `"<host>:<port>"`,
/// * references to any of these.
///
/// The forms with text resolve host names on the blocking pool, unless the text is an address
/// already.
pub trait ToSocketAddrs: sealed::ToSocketAddrsPriv {}

/// An answer known without asking anybody.
type Known<I> = future::Ready<io::Result<I>>;

/// Starts the resolution of `arg`.
#[cfg(feature = "net")]
pub(crate) fn to_socket_addrs<T: ToSocketAddrs>(arg: T) -> T::Future {
    arg.to_socket_addrs(sealed::Internal)
}

/// Runs `attempt` on one address after the other until it succeeds.
///
/// # Errors
///
/// The last attempt's error, or `InvalidInput` if there was no address at all.
#[cfg(feature = "net")]
pub(super) fn first_success<T>(
    addrs: impl Iterator<Item = SocketAddr>,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut failure = None;
    for addr in addrs {
        match attempt(addr) {
            Ok(done) => return Ok(done),
            Err(e) => failure = Some(e),
        }
    }
    Err(failure.unwrap_or_else(no_address))
}

/// The error for a name that resolves to nothing, or an empty slice.
#[cfg(feature = "net")]
#[cold]
pub(super) fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any address")
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {}

impl<T: sealed::ToSocketAddrsPriv + ?Sized> sealed::ToSocketAddrsPriv for &T {
    type Iter = T::Iter;
    type Future = T::Future;

    fn to_socket_addrs(&self, token: sealed::Internal) -> Self::Future {
        T::to_socket_addrs(self, token)
    }
}

/// Implements the trait for types that are a single address already.
macro_rules! single_address {
    ($($ty:ty),+ $(,)?) => {$(
        impl ToSocketAddrs for $ty {}

        impl sealed::ToSocketAddrsPriv for $ty {
            type Iter = std::option::IntoIter<SocketAddr>;
            type Future = Known<Self::Iter>;

            fn to_socket_addrs(&self, _: sealed::Internal) -> Self::Future {
                future::ready(Ok(Some(SocketAddr::from(*self)).into_iter()))
            }
        }
    )+};
}

single_address!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16),);

impl ToSocketAddrs for &[SocketAddr] {}

impl sealed::ToSocketAddrsPriv for &[SocketAddr] {
    type Iter = std::vec::IntoIter<SocketAddr>;
    type Future = Known<Self::Iter>;

    fn to_socket_addrs(&self, _: sealed::Internal) -> Self::Future {
        // Copied, because the iterator may outlive the slice.
        let owned = <[SocketAddr]>::to_vec(self);
        future::ready(Ok(owned.into_iter()))
    }
}

cfg_net! {
    use sealed::{Found, Lookup};

    impl ToSocketAddrs for str {}

    impl sealed::ToSocketAddrsPriv for str {
        type Iter = Found;
        type Future = Lookup;

        fn to_socket_addrs(&self, _: sealed::Internal) -> Lookup {
            match self.parse() {
                Ok(addr) => Lookup::Known(Some(addr)),
                Err(_) => Lookup::resolve(self.to_owned()),
            }
        }
    }

    impl ToSocketAddrs for String {}

    impl sealed::ToSocketAddrsPriv for String {
        type Iter = Found;
        type Future = Lookup;

        fn to_socket_addrs(&self, token: sealed::Internal) -> Lookup {
            self.as_str().to_socket_addrs(token)
        }
    }

    impl ToSocketAddrs for (&str, u16) {}

    impl sealed::ToSocketAddrsPriv for (&str, u16) {
        type Iter = Found;
        type Future = Lookup;

        fn to_socket_addrs(&self, _: sealed::Internal) -> Lookup {
            let (host, port) = *self;
            match host.parse::<IpAddr>() {
                Ok(ip) => Lookup::Known(Some(SocketAddr::new(ip, port))),
                Err(_) => Lookup::resolve((host.to_owned(), port)),
            }
        }
    }

    impl ToSocketAddrs for (String, u16) {}

    impl sealed::ToSocketAddrsPriv for (String, u16) {
        type Iter = Found;
        type Future = Lookup;

        fn to_socket_addrs(&self, token: sealed::Internal) -> Lookup {
            (self.0.as_str(), self.1).to_socket_addrs(token)
        }
    }
}

pub(crate) mod sealed {
    //! The half of [`ToSocketAddrs`](super::ToSocketAddrs) that users cannot name.

    use std::future::Future;
    use std::io;
    use std::net::SocketAddr;

    #[doc(hidden)]
    pub trait ToSocketAddrsPriv {
        type Iter: Iterator<Item = SocketAddr> + Send + 'static;
        type Future: Future<Output = io::Result<Self::Iter>> + Send + 'static;

        fn to_socket_addrs(&self, token: Internal) -> Self::Future;
    }

    /// Keeps `to_socket_addrs` uncallable where a bound brings it into scope: nobody else can make
    /// this argument.
    #[allow(missing_debug_implementations)]
    pub struct Internal;

    cfg_net! {
        use std::option;
        use std::pin::Pin;
        use std::task::{Context, Poll, ready};
        use std::vec;

        use crate::runtime::spawn_blocking;
        use crate::runtime::task::JoinHandle;

        /// A resolution that may need the blocking pool.
        #[doc(hidden)]
        #[derive(Debug)]
        pub enum Lookup {
            Known(Option<SocketAddr>),
            Asked(JoinHandle<io::Result<vec::IntoIter<SocketAddr>>>),
        }

        /// The addresses a [`Lookup`] yields.
        #[doc(hidden)]
        #[derive(Debug)]
        pub enum Found {
            One(option::IntoIter<SocketAddr>),
            Many(vec::IntoIter<SocketAddr>),
        }

        impl Lookup {
            /// Asks the system's resolver, on the blocking pool.
            pub(super) fn resolve<H>(host: H) -> Lookup
            where
                H: std::net::ToSocketAddrs<Iter = vec::IntoIter<SocketAddr>> + Send + 'static,
            {
                Lookup::Asked(spawn_blocking(move || host.to_socket_addrs()))
            }
        }

        impl Future for Lookup {
            type Output = io::Result<Found>;

            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                match &mut *self {
                    Lookup::Known(addr) => Poll::Ready(Ok(Found::One(addr.take().into_iter()))),
                    Lookup::Asked(answer) => {
                        let addrs = ready!(Pin::new(answer).poll(cx))??;
                        Poll::Ready(Ok(Found::Many(addrs)))
                    }
                }
            }
        }

        impl Iterator for Found {
            type Item = SocketAddr;

            fn next(&mut self) -> Option<SocketAddr> {
                match self {
                    Found::One(addr) => addr.next(),
                    Found::Many(addrs) => addrs.next(),
                }
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                match self {
                    Found::One(addr) => addr.size_hint(),
                    Found::Many(addrs) => addrs.size_hint(),
                }
            }
        }
    }
}

#[cfg(all(test, feature = "net"))]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    /// Resolves what needs no pool.
    fn known<T: ToSocketAddrs>(arg: T) -> Vec<SocketAddr> {
        match pin!(to_socket_addrs(arg)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(found) => found.unwrap().collect(),
            Poll::Pending => panic!("asked the pool"),
        }
    }

    #[test]
    fn digits_never_ask_the_pool() {
        let v4: SocketAddr = "127.0.0.1:7".parse().unwrap();
        let v6: SocketAddr = "[::1]:7".parse().unwrap();

        assert_eq!(known("127.0.0.1:7"), [v4]);
        assert_eq!(known(String::from("[::1]:7")), [v6]);
        assert_eq!(known(("127.0.0.1", 7)), [v4]);
        assert_eq!(known((String::from("::1"), 7)), [v6]);
        assert_eq!(known((Ipv4Addr::LOCALHOST, 7)), [v4]);
        let lent = &(Ipv6Addr::LOCALHOST, 7);
        assert_eq!(known(lent), [v6]);
        assert_eq!(known((v4.ip(), 7)), [v4]);
        assert_eq!(known(&[v4, v6][..]), [v4, v6]);
    }

    #[test]
    fn the_last_failure_is_the_one_reported() {
        let addrs = [([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into()];

        let err =
            first_success(addrs.into_iter(), |addr| Err::<(), _>(io::Error::other(addr.port().to_string())))
                .unwrap_err();
        assert_eq!(err.to_string(), "2");

        let none = first_success(std::iter::empty(), |_| Ok(())).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::InvalidInput);
    }
}
