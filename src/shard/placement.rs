use super::Shard;

use std::hash::{DefaultHasher, Hash, Hasher};

/// Where a task goes.
///
/// | placement | starts on | moves | for |
/// |---|---|---|---|
/// | `Stealable` | like `tokio::spawn` | yes | almost everything |
/// | `Near(shard)` | that shard | yes | work on what that shard has in its cache, if it has time |
/// | `Pinned(shard)` | that shard | no | state that lives on a shard; the receiver of an inbox |
/// | `RoundRobin` | the shards in turn | no | many equal tasks, one set per shard |
/// | `Sticky(key)` | the shard of the key | no | everything about one key on one shard, without locks |
///
/// A pinned task waits for its shard, however idle the others are: pin what needs it, and nothing
/// that computes for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Placement {
    /// Anywhere, and whoever has nothing to do takes it over: an ordinary task.
    Stealable,
    /// On this shard first. Others take it over when they have nothing to do and this one does not
    /// get to it.
    Near(Shard),
    /// On this shard only.
    Pinned(Shard),
    /// On one shard only: the next one in turn.
    RoundRobin,
    /// On one shard only: the same one for the same key, as long as the runtime lives.
    Sticky(u64),
}

impl Placement {
    /// [`Sticky`](Placement::Sticky), with the hash of `key`.
    pub fn sticky(key: &(impl Hash + ?Sized)) -> Placement {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        Placement::Sticky(hasher.finish())
    }
}

/// The shard of a sticky key among `n`: neighbouring keys go to different ones.
pub(super) fn shard_of(key: u64, n: usize) -> Shard {
    // Fibonacci hashing, then the high half scaled down to `n`.
    let mixed = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    Shard::new(((mixed * n as u64) >> 32) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_spread_over_all_shards() {
        for n in 1..9 {
            let mut count = vec![0; n];
            for key in 0..1000 {
                count[shard_of(key, n).index()] += 1;
            }
            assert!(count.iter().all(|&c| c > 500 / n), "{count:?}");
        }
        assert_eq!(Placement::sticky("a"), Placement::sticky("a"));
        assert_ne!(Placement::sticky("a"), Placement::sticky("b"));
    }
}
