//! Scripted failures of the kernel, for tests.
//!
//! A test installs a [`Script`] on its own thread, and on the threads of a runtime through
//! `on_thread_start`; the calls of those threads then fail as told. Outside of tests every
//! question asked here has a constant answer and costs nothing.
//!
//! # Safety
//!
//! An operation is made to fail by overwriting its entry with another that has no pointers.
#![allow(unsafe_code)]

pub(crate) use imp::*;

/// A system call that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// `io_uring_setup`.
    Setup,
    /// `io_uring_enter`.
    Enter,
    /// A `MSG_RING` to another ring, sent either way, or a write to an eventfd.
    Message,
    /// `epoll_create1`.
    Epoll,
    /// `EPOLL_CTL_ADD`.
    EpollAdd,
    /// `epoll_wait`, `epoll_pwait2`.
    EpollWait,
}

#[cfg(not(test))]
mod imp {
    use super::Call;
    use io_uring::IoUring;
    use io_uring::squeue::Entry;
    use std::io;

    /// What the threads of a runtime inherit.
    #[derive(Debug, Clone)]
    pub(crate) struct Script;

    /// Fails instead of `call`, if the script says so.
    #[inline(always)]
    pub(crate) fn check(_: Call) -> io::Result<()> {
        Ok(())
    }

    /// How many of `pending` entries an `enter` may submit.
    #[inline(always)]
    pub(crate) fn submit(pending: u32) -> u32 {
        pending
    }

    /// How large a ring to set up, in submission and completion entries.
    #[inline(always)]
    pub(crate) fn ring_size(sq: u32, cq: u32) -> (u32, u32) {
        (sq, cq)
    }

    /// Is this a kernel without `IORING_REGISTER_SEND_MSG_RING`?
    #[inline(always)]
    pub(crate) fn is_before_6_13() -> bool {
        false
    }

    /// Is this a kernel that does not know `opcode`?
    #[inline(always)]
    #[allow(dead_code)]
    pub(crate) fn is_hidden(_: u8) -> bool {
        false
    }

    /// Has the kernel fail the operation instead, if the script says so.
    #[inline(always)]
    pub(crate) fn operation(_: &mut Entry) {}

    /// Has the kernel refuse `ring` the operations that a script does not allow.
    #[inline(always)]
    pub(crate) fn restrict(_: &IoUring) -> io::Result<()> {
        Ok(())
    }

    /// Which backend to use, instead of what the environment says.
    #[inline(always)]
    pub(crate) fn backend() -> Option<&'static str> {
        None
    }

    /// Is there a script? What the kernel answers then is not true of the process.
    #[inline(always)]
    pub(crate) fn is_scripted() -> bool {
        false
    }

    /// The script of this thread.
    #[inline(always)]
    pub(crate) fn current() -> Option<Script> {
        None
    }

    /// Makes `script` this thread's.
    #[inline(always)]
    pub(crate) fn inherit(_: Option<Script>) {}
}

#[cfg(test)]
mod imp {
    use super::Call;
    use crate::sys::uring::{Kind, Token};
    use io_uring::IoUring;
    use io_uring::register::Restriction;
    use io_uring::squeue::{Entry, Flags};
    use std::cell::RefCell;
    use std::io;
    use std::ops::Range;
    #[cfg(feature = "process")]
    use std::sync::RwLockWriteGuard;
    use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard};

    /// Between `fork` and `exec` a child has copies of all descriptors, and ports that a test has just
    /// freed are in use. So tests that look at ports share this, and those that start children have
    /// it for themselves.
    static CHILDREN: RwLock<()> = RwLock::new(());

    pub(crate) fn without_children() -> RwLockReadGuard<'static, ()> {
        CHILDREN.read().unwrap_or_else(|e| e.into_inner())
    }

    #[cfg(feature = "process")]
    pub(crate) fn with_children() -> RwLockWriteGuard<'static, ()> {
        CHILDREN.write().unwrap_or_else(|e| e.into_inner())
    }

    thread_local! {
        static CURRENT: RefCell<Option<Script>> = const { RefCell::new(None) };
    }

    /// What is to go wrong, shared by all threads it is installed on.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Script(Arc<Mutex<Plan>>);

    #[derive(Debug, Default)]
    struct Plan {
        failures: Vec<Failure>,
        operations: Option<FailingOperations>,
        short_submits: bool,
        ring_size: Option<(u32, u32)>,
        before_6_13: bool,
        hidden: Vec<u8>,
        only: Option<&'static [u8]>,
        backend: Option<&'static str>,
    }

    #[derive(Debug)]
    struct Failure {
        call: Call,
        errno: i32,
        /// Which calls fail, counted from 0.
        which: Range<usize>,
        calls: usize,
    }

    #[derive(Debug)]
    struct FailingOperations {
        errno: i32,
        /// Which of them, counted from 0.
        which: Range<usize>,
        seen: usize,
    }

    /// Takes the script off the thread again.
    #[derive(Debug)]
    pub(crate) struct Installed;

    impl Drop for Installed {
        fn drop(&mut self) {
            CURRENT.set(None);
        }
    }

    impl Script {
        fn plan(&self) -> MutexGuard<'_, Plan> {
            self.0.lock().unwrap_or_else(|e| e.into_inner())
        }

        /// Has `call` fail with `errno` those times, counted from 0.
        pub(crate) fn fail(self, call: Call, errno: i32, which: Range<usize>) -> Script {
            self.plan().failures.push(Failure { call, errno, which, calls: 0 });
            self
        }

        /// Has those operations of rings, counted from 0, complete with `errno` and without effect (Linux 6.10).
        #[cfg_attr(not(feature = "uring-native"), allow(dead_code))]
        pub(crate) fn fail_operations(self, errno: i32, which: Range<usize>) -> Script {
            self.plan().operations = Some(FailingOperations { errno, which, seen: 0 });
            self
        }

        /// How many operations there were.
        #[cfg_attr(not(feature = "uring-native"), allow(dead_code))]
        pub(crate) fn operations(&self) -> usize {
            self.plan().operations.as_ref().map_or(0, |operations| operations.seen)
        }

        /// Has each `enter` submit a single entry.
        pub(crate) fn short_submits(self) -> Script {
            self.plan().short_submits = true;
            self
        }

        /// Sets up rings of this size.
        pub(crate) fn ring_size(self, sq: u32, cq: u32) -> Script {
            self.plan().ring_size = Some((sq, cq));
            self
        }

        /// Hides `IORING_REGISTER_SEND_MSG_RING`.
        pub(crate) fn before_6_13(self) -> Script {
            self.plan().before_6_13 = true;
            self
        }

        /// Hides an operation, as of a kernel that does not know it.
        #[cfg_attr(not(feature = "fs"), allow(dead_code))]
        pub(crate) fn hide(self, opcode: u8) -> Script {
            self.plan().hidden.push(opcode);
            self
        }

        /// Forbids rings all other operations.
        #[allow(dead_code)]
        pub(crate) fn only(self, opcodes: &'static [u8]) -> Script {
            self.plan().only = Some(opcodes);
            self
        }

        /// Has runtimes use this backend, as if the environment said so.
        pub(crate) fn backend(self, name: &'static str) -> Script {
            self.plan().backend = Some(name);
            self
        }

        /// Installs the script on this thread.
        pub(crate) fn install(&self) -> Installed {
            CURRENT.set(Some(self.clone()));
            Installed
        }

        /// How many failures there were.
        pub(crate) fn failed(&self) -> usize {
            let failed = |f: &Failure| f.calls.clamp(f.which.start, f.which.end) - f.which.start;
            self.plan().failures.iter().map(failed).sum()
        }
    }

    fn plan<R>(ask: impl FnOnce(&mut Plan) -> R) -> Option<R> {
        current().map(|script| ask(&mut script.plan()))
    }

    pub(crate) fn check(call: Call) -> io::Result<()> {
        let errno = plan(|plan| {
            let mut errno = None;
            for failure in plan.failures.iter_mut().filter(|f| f.call == call) {
                if failure.which.contains(&failure.calls) {
                    errno = Some(failure.errno);
                }
                failure.calls += 1;
            }
            errno
        });
        errno.flatten().map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }

    pub(crate) fn operation(entry: &mut Entry) {
        if Token::from_raw(entry.get_user_data()).kind() != Some(Kind::Op) {
            return;
        }
        let errno = plan(|plan| {
            let operations = plan.operations.as_mut()?;
            operations.seen += 1;
            operations.which.contains(&(operations.seen - 1)).then_some(operations.errno)
        });
        if let Some(errno) = errno.flatten() {
            make_it_fail(entry, errno);
        }
    }

    /// Makes it a `NOP` with that result (`IORING_NOP_INJECT_RESULT`, Linux 6.10), and with the links it had.
    fn make_it_fail(entry: &mut Entry, errno: i32) {
        const INJECT_RESULT: u32 = 1;
        let links = (Flags::IO_LINK | Flags::IO_HARDLINK | Flags::IO_DRAIN | Flags::ASYNC).bits();
        let nop = io_uring::opcode::Nop::new().build().user_data(entry.get_user_data());
        let old = std::mem::replace(entry, nop);
        // SAFETY: entries are 64 bytes without padding, any of which may have any value: `struct io_uring_sqe`, with
        // the flags at 1, the length at 24, the flags of the operation at 28.
        unsafe {
            let flags = std::ptr::from_ref(&old).cast::<u8>().add(1).read();
            let bytes = std::ptr::from_mut(entry).cast::<u8>();
            bytes.add(1).write(flags & links);
            bytes.add(24).cast::<i32>().write_unaligned(-errno);
            bytes.add(28).cast::<u32>().write_unaligned(INJECT_RESULT);
        }
    }

    pub(crate) fn submit(pending: u32) -> u32 {
        if plan(|plan| plan.short_submits) == Some(true) { pending.min(1) } else { pending }
    }

    pub(crate) fn ring_size(sq: u32, cq: u32) -> (u32, u32) {
        plan(|plan| plan.ring_size).flatten().unwrap_or((sq, cq))
    }

    pub(crate) fn is_before_6_13() -> bool {
        plan(|plan| plan.before_6_13) == Some(true)
    }

    pub(crate) fn is_hidden(opcode: u8) -> bool {
        plan(|plan| plan.hidden.contains(&opcode)) == Some(true)
    }

    pub(crate) fn restrict(ring: &IoUring) -> io::Result<()> {
        let Some(opcodes) = plan(|plan| plan.only).flatten() else { return Ok(()) };
        let flags = Flags::SKIP_SUCCESS | Flags::IO_LINK | Flags::BUFFER_SELECT;
        let mut rules = vec![Restriction::sqe_flags_allowed(flags.bits())];
        rules.extend(opcodes.iter().map(|&opcode| Restriction::sqe_op(opcode)));
        // Registering buffers and eventfds, sending messages.
        rules.extend((0..32).map(Restriction::register_op));
        ring.submitter().register_restrictions(&mut rules)
    }

    /// A test that breaks rings is about rings, whatever the environment says.
    pub(crate) fn backend() -> Option<&'static str> {
        plan(|plan| plan.backend.unwrap_or_default())
    }

    pub(crate) fn is_scripted() -> bool {
        current().is_some()
    }

    pub(crate) fn current() -> Option<Script> {
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    pub(crate) fn inherit(script: Option<Script>) {
        CURRENT.set(script);
    }
}
