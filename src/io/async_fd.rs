//! Readiness of a file descriptor the user brings along.
//!
//! An [`AsyncFd`] owns the user's object and a [`Registration`] of its descriptor
//! with the driver, which goes first, so a descriptor is off the driver by the
//! time its owner closes it.
//!
//! # Safety
//!
//! [`AsyncFd::register`] is `unsafe` because of what the caller promises: the
//! object's descriptor is open, and stays the same open file for as long as the
//! `AsyncFd` has it. `AsFd` relies on it. The driver does not: it treats a
//! descriptor that went away as an error.
#![allow(unsafe_code)]

mod error;
#[allow(deprecated)]
pub use error::AsyncFdTryNewError;
pub use error::{AsyncFdRegisterError, TryIoError};

mod event;

mod guard;
pub use guard::AsyncFdReadyGuard;

mod guard_mut;
pub use guard_mut::AsyncFdReadyMutGuard;

use crate::driver::Registration;
use crate::io::{Interest, IntoInnerError};
use crate::runtime::scheduler;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll, ready};

/// Watches the readiness of a file descriptor that comes from elsewhere: a
/// device, a socket of a family this crate has no type for, the descriptor of a
/// C library.
///
/// The file must be one `poll(2)` works for, and in non-blocking mode. Its
/// owner goes into the `AsyncFd` and is dropped with it, after the runtime
/// stopped watching; [`OwnedFd`](std::os::fd::OwnedFd) is the usual choice.
///
/// # Protocol
///
/// Readiness is remembered. Once the descriptor was seen ready,
/// [`readable`](AsyncFd::readable) and [`writable`](AsyncFd::writable) return at
/// once, again and again, until somebody says that it no longer is, which only
/// the one who tried the operation knows. That is what the guards they return
/// are for: after the operation failed with
/// [`WouldBlock`](io::ErrorKind::WouldBlock), clear the readiness; otherwise
/// leave it. [`try_io`](AsyncFdReadyGuard::try_io) of the guard does that by
/// itself. Clearing readiness that is still there may make tasks wait for ever;
/// not clearing it when it has gone makes them spin.
///
/// Any number of tasks may wait for the same `AsyncFd`. The `poll_` methods
/// keep the waker of only one task per direction, that of the last call.
///
/// # Examples
///
/// Reading from a socket of the standard library:
///
/// ```
/// use std::io::{self, Read, Write};
/// use std::os::unix::net::UnixStream;
/// use tokio::io::unix::AsyncFd;
///
/// async fn read(socket: &AsyncFd<UnixStream>, buf: &mut [u8]) -> io::Result<usize> {
///     loop {
///         let mut guard = socket.readable().await?;
///         match guard.try_io(|fd| fd.get_ref().read(buf)) {
///             Ok(result) => return result,
///             Err(_would_block) => continue,
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> io::Result<()> {
/// let (mut peer, socket) = UnixStream::pair()?;
/// socket.set_nonblocking(true)?;
/// // SAFETY: the socket owns its descriptor and is never replaced.
/// let socket = unsafe { AsyncFd::register(socket)? };
///
/// peer.write_all(b"hello")?;
/// let mut buf = [0; 16];
/// let n = read(&socket, &mut buf).await?;
/// assert_eq!(&buf[..n], b"hello");
/// # Ok(())
/// # }
/// ```
pub struct AsyncFd<T: AsRawFd> {
    registration: Registration,
    // `None` only between `take_inner` and the end of `self`.
    inner: Option<T>,
}

impl<T: AsRawFd> AsyncFd<T> {
    /// Watches the descriptor of `inner` for reading and writing.
    ///
    /// # Errors
    ///
    /// Gives `inner` back, with the reason: `EPERM` for a file that cannot be
    /// polled, such as a regular file or a directory; `EEXIST` if an `AsyncFd`
    /// of the same runtime watches it already; `EBADF` if it is not open.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled. A task always
    /// has that context; elsewhere
    /// [`Runtime::enter`](crate::runtime::Runtime::enter) sets it.
    ///
    /// # Safety
    ///
    /// `inner.as_raw_fd()` must be an open descriptor; it must stay open, and
    /// refer to the same open file, until this `AsyncFd` is dropped, taken
    /// apart with [`into_inner`](AsyncFd::into_inner) or
    /// [forgotten](std::mem::forget); and every call of `as_raw_fd` until then
    /// must return that descriptor.
    #[inline]
    #[track_caller]
    pub unsafe fn register(inner: T) -> Result<Self, AsyncFdRegisterError<T>> {
        // SAFETY: the caller made the same promise.
        unsafe { AsyncFd::register_with_interest(inner, Interest::READABLE | Interest::WRITABLE) }
    }

    /// Watches the descriptor of `inner` for `interest` only. Waiting for
    /// anything else later has no effect on what the kernel reports.
    ///
    /// # Errors and panics
    ///
    /// As [`register`](AsyncFd::register).
    ///
    /// # Safety
    ///
    /// As [`register`](AsyncFd::register).
    #[inline]
    #[track_caller]
    pub unsafe fn register_with_interest(
        inner: T,
        interest: Interest,
    ) -> Result<Self, AsyncFdRegisterError<T>> {
        match watch(inner.as_raw_fd(), interest) {
            Ok(registration) => Ok(AsyncFd { registration, inner: Some(inner) }),
            Err(cause) => Err(AsyncFdRegisterError { inner, cause }),
        }
    }

    /// The object whose descriptor is watched.
    #[inline]
    pub fn get_ref(&self) -> &T {
        self.inner.as_ref().unwrap()
    }

    /// The object whose descriptor is watched, mutably.
    ///
    /// It must not be exchanged for one with another descriptor: that would
    /// break the promise made to [`register`](AsyncFd::register).
    #[inline]
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.as_mut().unwrap()
    }

    fn take_inner(&mut self) -> Option<T> {
        let inner = self.inner.take()?;
        self.registration.deregister();
        Some(inner)
    }

    /// Stops watching and returns the object.
    ///
    /// Native operations that were dropped have ended by then, unless they are on a ring whose thread is
    /// busy for long. Native reads take nothing that the object would miss, except in a chain: what one that
    /// was dropped in the middle had read by then goes with this. `try_into_inner` asks before.
    pub fn into_inner(mut self) -> T {
        self.registration.settle_operations();
        self.take_inner().unwrap()
    }

    /// Is the descriptor readable? If not, arranges for the task of `cx` to be
    /// woken when it is.
    ///
    /// Of several calls to this method and its `_mut` twin, only the one made
    /// last has its waker woken; the write direction has a waker of its own.
    /// [`readable`](AsyncFd::readable) has no such limit.
    pub fn poll_read_ready<'a>(
        &'a self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'a, T>>> {
        let event = ready!(self.registration.poll_read_ready_for_call(cx))?;
        Poll::Ready(Ok(AsyncFdReadyGuard::new(self, event)))
    }

    /// [`poll_read_ready`](AsyncFd::poll_read_ready) with a guard that gives
    /// mutable access.
    pub fn poll_read_ready_mut<'a>(
        &'a mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyMutGuard<'a, T>>> {
        let event = ready!(self.registration.poll_read_ready_for_call(cx))?;
        Poll::Ready(Ok(AsyncFdReadyMutGuard::new(self, event)))
    }

    /// Is the descriptor writable? If not, arranges for the task of `cx` to be
    /// woken when it is.
    ///
    /// Of several calls to this method and its `_mut` twin, only the one made
    /// last has its waker woken; the read direction has a waker of its own.
    /// [`writable`](AsyncFd::writable) has no such limit.
    pub fn poll_write_ready<'a>(
        &'a self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'a, T>>> {
        let event = ready!(self.registration.poll_write_ready(cx))?;
        Poll::Ready(Ok(AsyncFdReadyGuard::new(self, event)))
    }

    /// [`poll_write_ready`](AsyncFd::poll_write_ready) with a guard that gives
    /// mutable access.
    pub fn poll_write_ready_mut<'a>(
        &'a mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyMutGuard<'a, T>>> {
        let event = ready!(self.registration.poll_write_ready(cx))?;
        Poll::Ready(Ok(AsyncFdReadyMutGuard::new(self, event)))
    }

    /// Waits until the descriptor is ready for any of `interest`.
    ///
    /// The guard says what it is ready for; the set may lack what was asked
    /// for, in which case wait again.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. Once ready, the method keeps returning at once until a
    /// guard clears the readiness.
    pub async fn ready(&self, interest: Interest) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        let event = self.registration.readiness_for_call(interest).await?;
        Ok(AsyncFdReadyGuard::new(self, event))
    }

    /// [`ready`](AsyncFd::ready) with a guard that gives mutable access.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`ready`](AsyncFd::ready).
    pub async fn ready_mut(
        &mut self,
        interest: Interest,
    ) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        let event = self.registration.readiness_for_call(interest).await?;
        Ok(AsyncFdReadyMutGuard::new(self, event))
    }

    /// Waits until the descriptor is readable: [`ready`](AsyncFd::ready) with
    /// [`Interest::READABLE`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`ready`](AsyncFd::ready).
    #[allow(clippy::needless_lifetimes)] // shows what the guard borrows
    pub async fn readable<'a>(&'a self) -> io::Result<AsyncFdReadyGuard<'a, T>> {
        self.ready(Interest::READABLE).await
    }

    /// [`readable`](AsyncFd::readable) with a guard that gives mutable access.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`ready`](AsyncFd::ready).
    #[allow(clippy::needless_lifetimes)] // shows what the guard borrows
    pub async fn readable_mut<'a>(&'a mut self) -> io::Result<AsyncFdReadyMutGuard<'a, T>> {
        self.ready_mut(Interest::READABLE).await
    }

    /// Waits until the descriptor is writable: [`ready`](AsyncFd::ready) with
    /// [`Interest::WRITABLE`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`ready`](AsyncFd::ready).
    #[allow(clippy::needless_lifetimes)] // shows what the guard borrows
    pub async fn writable<'a>(&'a self) -> io::Result<AsyncFdReadyGuard<'a, T>> {
        self.ready(Interest::WRITABLE).await
    }

    /// [`writable`](AsyncFd::writable) with a guard that gives mutable access.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`ready`](AsyncFd::ready).
    #[allow(clippy::needless_lifetimes)] // shows what the guard borrows
    pub async fn writable_mut<'a>(&'a mut self) -> io::Result<AsyncFdReadyMutGuard<'a, T>> {
        self.ready_mut(Interest::WRITABLE).await
    }

    /// Runs `f` as soon as the descriptor is ready for `interest`, and again
    /// for as long as it returns [`WouldBlock`](io::ErrorKind::WouldBlock).
    ///
    /// The rules for `f` and `interest` are those of
    /// [`try_io`](AsyncFd::try_io).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::io;
    /// use std::net::UdpSocket;
    /// use tokio::io::Interest;
    /// use tokio::io::unix::AsyncFd;
    ///
    /// async fn recv(socket: &AsyncFd<UdpSocket>, buf: &mut [u8]) -> io::Result<usize> {
    ///     socket.async_io(Interest::READABLE, |inner| inner.recv(buf)).await
    /// }
    /// ```
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        mut f: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration
            .async_call(interest, || f(self.get_ref()))
            .await
    }

    /// [`async_io`](AsyncFd::async_io) with mutable access.
    pub async fn async_io_mut<R>(
        &mut self,
        interest: Interest,
        mut f: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration
            .async_call(interest, || f(self.inner.as_mut().unwrap()))
            .await
    }

    /// Runs `f` if the descriptor is ready for `interest`.
    ///
    /// If `f` returns [`WouldBlock`](io::ErrorKind::WouldBlock), the descriptor
    /// no longer counts as ready for `interest`. If it is not ready in the
    /// first place, `f` is not called and `WouldBlock` is returned.
    ///
    /// Therefore `f` must return `WouldBlock` only if a system call on this
    /// very descriptor said so, or tasks could wait for ever. `interest` should
    /// be a single one, that of the operation; with a combination this method
    /// may panic or tasks may wait for ever.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        f: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.try_call(interest, || f(self.get_ref()))
    }

    /// [`try_io`](AsyncFd::try_io) with mutable access.
    pub fn try_io_mut<R>(
        &mut self,
        interest: Interest,
        f: impl FnOnce(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration
            .try_call(interest, || f(self.inner.as_mut().unwrap()))
    }
}

/// The names of the time before [`register`](AsyncFd::register). They ask for
/// the same promise without saying so.
impl<T: AsRawFd> AsyncFd<T> {
    /// [`register`](AsyncFd::register) without the `unsafe` it needs; a failure
    /// drops `inner`.
    #[inline]
    #[track_caller]
    #[deprecated(
        note = "unsound due to lack of I/O safety; use `AsyncFd::register` instead (see https://github.com/tokio-rs/tokio/pull/8587)"
    )]
    pub fn new(inner: T) -> io::Result<Self> {
        // SAFETY: nobody promised anything; hence the deprecation.
        unsafe { Ok(AsyncFd::register(inner)?) }
    }

    /// [`register_with_interest`](AsyncFd::register_with_interest) without the
    /// `unsafe` it needs; a failure drops `inner`.
    #[inline]
    #[track_caller]
    #[deprecated(
        note = "unsound due to lack of I/O safety; use `AsyncFd::register_with_interest` instead (see https://github.com/tokio-rs/tokio/pull/8587)"
    )]
    pub fn with_interest(inner: T, interest: Interest) -> io::Result<Self> {
        // SAFETY: nobody promised anything; hence the deprecation.
        unsafe { Ok(AsyncFd::register_with_interest(inner, interest)?) }
    }

    /// [`register`](AsyncFd::register) without the `unsafe` it needs.
    #[inline]
    #[track_caller]
    #[deprecated(
        note = "unsound due to lack of I/O safety; use `AsyncFd::register` instead (see https://github.com/tokio-rs/tokio/pull/8587)"
    )]
    pub fn try_new(inner: T) -> Result<Self, AsyncFdRegisterError<T>> {
        // SAFETY: nobody promised anything; hence the deprecation.
        unsafe { AsyncFd::register(inner) }
    }

    /// [`register_with_interest`](AsyncFd::register_with_interest) without the
    /// `unsafe` it needs.
    #[inline]
    #[track_caller]
    #[deprecated(
        note = "unsound due to lack of I/O safety; use `AsyncFd::register_with_interest` instead (see https://github.com/tokio-rs/tokio/pull/8587)"
    )]
    pub fn try_with_interest(
        inner: T,
        interest: Interest,
    ) -> Result<Self, AsyncFdRegisterError<T>> {
        // SAFETY: nobody promised anything; hence the deprecation.
        unsafe { AsyncFd::register_with_interest(inner, interest) }
    }
}

/// Registers `fd` with the driver of the current runtime.
#[track_caller]
fn watch(fd: RawFd, interest: Interest) -> io::Result<Registration> {
    let handle = scheduler::Handle::current().driver().io().clone();
    Registration::new_with_interest_and_handle(fd, interest, handle)
}

#[cfg(feature = "uring-native")]
impl<T: AsRawFd> AsyncFd<T> {
    /// [`into_inner`](AsyncFd::into_inner) that loses nothing.
    ///
    /// # Errors
    ///
    /// While something is left that a native operation had read and nobody has got, which only a chain that
    /// was dropped leaves, and while one that was dropped is still on its way. The error has the `AsyncFd`,
    /// as it was: take its [`leftovers`](crate::native::Fd::leftovers), and try again.
    #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
    pub fn try_into_inner(mut self) -> Result<T, IntoInnerError<Self>> {
        if let Err(cause) = self.registration.check_leftovers() {
            return Err(IntoInnerError::new(self, cause));
        }
        Ok(self.take_inner().unwrap())
    }

    pub(crate) fn registration(&self) -> &Registration {
        &self.registration
    }
}

impl<T: AsRawFd> AsRawFd for AsyncFd<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.get_ref().as_raw_fd()
    }
}

impl<T: AsRawFd> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: whoever registered the object promised that its descriptor is
        // open and stays so while `self` has it.
        unsafe { BorrowedFd::borrow_raw(self.as_raw_fd()) }
    }
}

impl<T: AsRawFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFd")
            .field("inner", &self.inner)
            .finish()
    }
}

impl<T: AsRawFd> Drop for AsyncFd<T> {
    fn drop(&mut self) {
        drop(self.take_inner());
    }
}
