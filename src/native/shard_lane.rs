//! The ring of a shard of one's choice.

use std::fmt;
use std::io;

use super::{Action, Request};
use crate::driver::Handle;
use crate::runtime;
use crate::shard::Shard;

/// The ring of one shard, for operations that are to be submitted there.
///
/// Returned by [`lane`]; cheap to clone. It does not keep the runtime alive.
#[derive(Clone)]
pub struct ShardLane {
    pub(super) driver: Handle,
    pub(super) shard: Shard,
}

/// The ring of a shard of the current runtime: [`Request::on`] has an operation submitted there,
/// whatever thread polls it.
///
/// For programs that keep what belongs together on one ring: all writes of a log on the shard of its
/// task, say, or a device's queue on the shard next to it. Otherwise the ring of the thread that
/// polls is the better one: to reach another one takes a message, and its result a wake-up across
/// threads.
///
/// ```
/// use tokio::native::{self, fs::OpenHow};
/// use tokio::shard::Shard;
///
/// # #[tokio::main(flavor = "multi_thread", worker_threads = 2)]
/// # async fn main() -> std::io::Result<()> {
/// let lane = native::lane(Shard::new(1))?;
/// let file = native::fs::open("Cargo.toml", OpenHow::new()).on(&lane).await?;
/// let (read, buf) = file.native().read_at(Vec::with_capacity(64), 0).on(&lane).await;
/// assert_eq!(read?, buf.len());
/// # Ok(())
/// # }
/// ```
///
/// # While the shard is busy
///
/// The operation waits until the shard's worker turns, as what is on its ring already waits for its
/// result:
///
/// - A worker in [`block_in_place`](crate::task::block_in_place) has handed its shard to another
///   thread, which takes the operation on.
/// - One that blocks without telling is not stood in for: its siblings steal its tasks and watch its
///   sockets, but cannot submit to its ring. A [`timeout`](Request::timeout) that is over by then takes
///   effect when the shard comes to it. Dropping the future does not wait; its buffer is freed then.
/// - The only shard of a `current_thread` runtime turns while somebody is in `block_on`.
///
/// When the runtime is shut down the operation fails.
///
/// # Without the ring
///
/// On a runtime without rings, and where the kernel does not know the operation, it is done as any
/// other: no shard is better than another then.
///
/// # Errors
///
/// [`NotFound`](io::ErrorKind::NotFound) if the runtime has no such shard.
///
/// # Panics
///
/// Outside of a runtime.
#[track_caller]
pub fn lane(shard: Shard) -> io::Result<ShardLane> {
    let handle = runtime::Handle::current();
    let shards = handle.shards().len();
    if shard.index() >= shards {
        let error = format!("there is no shard {shard}: the runtime has {shards}");
        return Err(io::Error::new(io::ErrorKind::NotFound, error));
    }
    Ok(ShardLane { driver: handle.inner.driver().clone(), shard })
}

impl ShardLane {
    /// Which shard it is.
    pub fn shard(&self) -> Shard {
        self.shard
    }
}

impl fmt::Debug for ShardLane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardLane").field("shard", &self.shard).finish_non_exhaustive()
    }
}

impl<A: Action> Request<'_, A> {
    /// Has the operation submitted on the ring of that shard, whatever thread polls it: see [`lane`].
    ///
    /// This goes for all that it takes to the ring. What need not go there (a receive that finds what
    /// a dropped one has left), or cannot, is done where the future is polled.
    pub fn on(mut self, lane: &ShardLane) -> Self {
        self.lane = Some(lane.clone());
        self
    }
}
