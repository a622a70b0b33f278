//! A request as a part of a chain.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::driver::Handle;
use crate::driver::op::Flight;
use crate::native::action::{Action, Early};
use crate::native::request::{self, Request, State, timed_out};
use crate::native::{ShardLane, ring};
use crate::sys::call::opcode;
use crate::sys::uring::Punt;
use crate::time::Instant;

/// See the module docs.
pub(super) trait Part {
    /// # Panics
    ///
    /// In the child of a fork.
    #[track_caller]
    fn assert_own(&self);

    fn lane(&self) -> Option<ShardLane>;

    /// The chain has begun `now`.
    fn begin(&mut self, now: Instant, deadline: Option<Instant>, lane: Option<&ShardLane>);

    /// The drivers of the runtime that does it.
    fn driver(&self) -> Handle;

    fn is_over(&self) -> bool;

    /// Can it go to a ring of `driver` right now?
    fn is_linkable(&mut self, driver: &Handle) -> bool;

    /// Is nothing to be linked behind it? Nor behind one that is on its way by itself.
    fn ends_link(&mut self, is_hard: bool) -> bool;

    /// May the kernel do it on a thread of its own?
    fn is_punted(&self) -> bool;

    /// Makes an operation of it.
    fn link(&mut self, driver: &Handle, punt: Option<Punt>, cx: &mut Context<'_>) -> Arc<dyn Flight>;

    /// If it was linked, has it landed?
    fn has_landed(&mut self, cx: &mut Context<'_>) -> bool;

    /// If so, sees to that.
    fn settle(&mut self, so_far: SoFar, cx: &mut Context<'_>);

    /// Takes a step by itself.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Is it over, and what comes after it is not to be?
    fn breaks(&self) -> bool;

    /// Ends it unless it is over.
    fn break_off(&mut self);

    /// Nobody wants it any more: unless it is on its way, what it has got comes before all that is kept.
    fn give_back(&mut self);
}

/// What has become of the parts before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SoFar {
    /// All of them were done.
    Intact,
    /// One has more to do: what was broken off by that is to be repeated.
    Unfinished,
    /// One has broken the chain.
    Broken,
}

impl SoFar {
    /// The same with the next part.
    pub(super) fn and_then(self, part: &dyn Part) -> SoFar {
        match self {
            SoFar::Intact if !part.is_over() => SoFar::Unfinished,
            SoFar::Intact if part.breaks() => SoFar::Broken,
            so_far => so_far,
        }
    }
}

/// Does the kernel go on with a chain although this has failed?
///
/// Since Linux 6.0 it does after these: they set their result, and nothing that breaks a link (no `req_set_fail` in
/// `fs.c`, `statx.c`, `xattr.c`, `sync.c`, `truncate.c`, `advise.c` below `io_uring/`, nor in `io_shutdown` of
/// `net.c`). All others of ours break it, as all did before; these are taken to be so on every kernel.
fn fails_unheard(opcode: u8) -> bool {
    matches!(
        opcode,
        opcode::Fsync::CODE
            | opcode::SyncFileRange::CODE
            | opcode::Fallocate::CODE
            | opcode::Ftruncate::CODE
            | opcode::Madvise::CODE
            | opcode::Statx::CODE
            | opcode::RenameAt::CODE
            | opcode::UnlinkAt::CODE
            | opcode::MkDirAt::CODE
            | opcode::SymlinkAt::CODE
            | opcode::LinkAt::CODE
            | opcode::GetXattr::CODE
            | opcode::SetXattr::CODE
            | opcode::FGetXattr::CODE
            | opcode::FSetXattr::CODE
            | opcode::Shutdown::CODE
    )
}

fn cancelled() -> io::Error {
    io::Error::from_raw_os_error(libc::ECANCELED)
}

impl<A: Action> Part for Request<'_, A> {
    fn assert_own(&self) {
        self.target.assert_own();
    }

    fn lane(&self) -> Option<ShardLane> {
        self.lane.clone()
    }

    fn begin(&mut self, now: Instant, deadline: Option<Instant>, lane: Option<&ShardLane>) {
        let own = self.limit.and_then(|limit| now.checked_add(limit));
        self.deadline = [own, deadline].into_iter().flatten().min();
        self.lane = lane.cloned();
    }

    fn driver(&self) -> Handle {
        match &self.lane {
            Some(lane) => lane.driver.clone(),
            None => self.target.driver().into_owned(),
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Ended(..))
    }

    fn is_linkable(&mut self, driver: &Handle) -> bool {
        let State::Idle(action) = &mut self.state else { return false };
        if self.is_refused
            || !ring::supports(driver, action.opcode())
            || self.target.is_punted().is_none()
            || self.target.send_first().is_err()
            || self.target.runtime_gone().is_some()
        {
            return false;
        }
        if A::TAKES {
            // It is not asked to: it would take them before its turn.
            return !self.target.has_leftovers() && !action.wants_nothing();
        }
        match action.early() {
            Early::Attempt => true,
            Early::Wait => false,
            Early::Done(result) => {
                if let State::Idle(action) = mem::replace(&mut self.state, State::Over) {
                    self.state = State::Decided(action, result);
                }
                false
            }
        }
    }

    fn ends_link(&mut self, is_hard: bool) -> bool {
        let State::Idle(action) = &mut self.state else { return true };
        A::TAKES_STEPS || !is_hard && fails_unheard(action.opcode())
    }

    fn is_punted(&self) -> bool {
        self.target.is_punted() == Some(true)
    }

    fn link(&mut self, driver: &Handle, punt: Option<Punt>, cx: &mut Context<'_>) -> Arc<dyn Flight> {
        match mem::replace(&mut self.state, State::Over) {
            State::Idle(action) => {
                let op = self.operation(action, punt, driver);
                let flight = op.link(cx.waker());
                self.state = State::Ring(op);
                flight
            }
            _ => unreachable!("it was linkable"),
        }
    }

    fn has_landed(&mut self, cx: &mut Context<'_>) -> bool {
        let has_landed = match &self.state {
            State::Ring(op) => op.has_landed(cx.waker()),
            _ => true,
        };
        if !has_landed && self.deadline.is_some() {
            self.keep_limit(cx);
        }
        has_landed
    }

    fn settle(&mut self, so_far: SoFar, cx: &mut Context<'_>) {
        let State::Ring(op) = &mut self.state else { return };
        let was_recalled = op.was_recalled();
        let Poll::Ready((action, result)) = Pin::new(op).poll(cx) else {
            unreachable!("it has landed");
        };
        let is_broken_off = matches!(&result, Err(e) if e.raw_os_error() == Some(libc::ECANCELED));
        let is_late = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        self.state = match so_far {
            SoFar::Broken if is_broken_off || was_recalled => State::Ended(action, Err(cancelled())),
            _ if was_recalled => State::Idle(action),
            SoFar::Unfinished if is_broken_off => State::Idle(action),
            SoFar::Intact if is_broken_off && is_late => State::Ended(action, Err(timed_out())),
            _ if is_broken_off => State::Ended(action, result),
            _ => {
                if let Poll::Ready(Some((action, result))) = self.landed(action, result) {
                    self.state = State::Ended(action, result);
                }
                return;
            }
        };
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some((action, result)) = ready!(Request::step(self, cx)) {
            self.state = State::Ended(action, result);
        }
        Poll::Ready(())
    }

    fn breaks(&self) -> bool {
        match &self.state {
            State::Ended(_, Err(_)) => true,
            State::Ended(action, Ok(n)) => action.falls_short(*n),
            _ => false,
        }
    }

    fn break_off(&mut self) {
        match mem::replace(&mut self.state, State::Over) {
            State::Idle(action) | State::Decided(action, _) | State::Waiting(action, _) => {
                self.state = State::Ended(action, Err(cancelled()));
            }
            // One that had begun before it became a part of this: it goes on, and ends by itself.
            state => self.state = state,
        }
    }

    fn give_back(&mut self) {
        match mem::replace(&mut self.state, State::Over) {
            State::Ended(action, result) => request::give_back(action, result),
            State::Idle(action) | State::Waiting(action, _) if A::TAKES && action.has_partial() => {
                request::give_back(action, Err(cancelled()));
            }
            state => self.state = state,
        }
    }
}
