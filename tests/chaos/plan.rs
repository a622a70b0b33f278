//! A program, as a seed describes it. Both runtimes are given the same.

use fastrand::Rng;

/// A random program.
#[derive(Debug, Clone)]
pub struct Plan {
    /// All that follows from it.
    pub seed: u64,
    pub workers: Workers,
    /// Of `event_interval`, unless the default is taken.
    pub event_interval: Option<u32>,
    /// Of `max_blocking_threads`, unless the default is taken.
    pub blocking_threads: Option<usize>,
    pub entry: Entry,
    pub end: End,
    pub parts: Vec<Part>,
}

/// Which runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    CurrentThread,
    Multi(usize),
}

/// How the runtime is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// One `block_on` for everything.
    Once,
    /// A `block_on` for each part.
    Again,
    /// Tasks are spawned from outside.
    Entered,
    /// `Handle::block_on` on a thread for each part.
    Threads,
    /// `LocalSet::block_on`.
    Local,
}

/// How it is shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Drop,
    Timeout(u64),
    Background,
    OnAThread,
    /// On a thread for blocking work of its own.
    Inside,
}

/// A part of the program, a task at least.
#[derive(Debug, Clone)]
pub struct Part {
    pub kind: Kind,
    pub seed: u64,
    pub fate: Fate,
}

/// What a part does; the rest is in its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Messages through a line of channels, sockets, pipes and children.
    Line,
    /// A server, and clients that come and go.
    Serve,
    Files,
    Children,
    Signals,
    Timers,
    /// Tasks of tasks: aborted, awaited, forgotten, panicking.
    Tree,
    LocalSet,
    Sync,
    /// Threads that are nobody's.
    Threads,
    /// A socket and a timer of one runtime in another.
    Runtimes,
    /// Many tasks at one socket.
    Sharing,
    /// `copy_bidirectional`.
    Proxy,
    /// `AsyncFd`.
    Descriptors,
    /// A runtime inside, with a program of its own.
    Nested,
}

/// What becomes of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It comes to its end, and everything is as it should be.
    Ends,
    /// Aborted after so many microseconds.
    Aborted(u64),
    /// Dropped by `select!` after so many microseconds.
    Dropped(u64),
    /// Still there when the runtime is shut down.
    Left,
}

impl Fate {
    /// Is it cut off somewhere?
    pub fn is_cut(self) -> bool {
        self != Fate::Ends
    }
}

const KINDS: [Kind; 15] = [
    Kind::Line,
    Kind::Serve,
    Kind::Files,
    Kind::Children,
    Kind::Signals,
    Kind::Timers,
    Kind::Tree,
    Kind::LocalSet,
    Kind::Sync,
    Kind::Threads,
    Kind::Runtimes,
    Kind::Sharing,
    Kind::Proxy,
    Kind::Descriptors,
    Kind::Nested,
];

/// One of `choices`.
pub fn one<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

impl Plan {
    pub fn new(seed: u64) -> Plan {
        let mut rng = Rng::with_seed(seed);
        let parts = rng.usize(2..8);
        Plan::of(seed, rng, parts, &KINDS)
    }

    /// A small one, for a runtime inside another.
    pub fn nested(seed: u64) -> Plan {
        let mut rng = Rng::with_seed(seed);
        let parts = rng.usize(1..3);
        Plan::of(seed, rng, parts, &KINDS[..KINDS.len() - 1])
    }

    /// One of everything, for what a process only makes once.
    pub fn everything() -> Plan {
        let part = |(n, &kind): (usize, &Kind)| Part { kind, seed: n as u64, fate: Fate::Ends };
        Plan {
            workers: Workers::Multi(2),
            end: End::Drop,
            entry: Entry::Once,
            parts: KINDS.iter().enumerate().map(part).collect(),
            ..Plan::new(0)
        }
    }

    fn of(seed: u64, mut rng: Rng, parts: usize, kinds: &[Kind]) -> Plan {
        let workers = match rng.u32(..10) {
            0..4 => Workers::CurrentThread,
            4 => Workers::Multi(1),
            5..8 => Workers::Multi(2),
            _ => Workers::Multi(4),
        };
        let entries = [Entry::Once, Entry::Once, Entry::Again, Entry::Entered, Entry::Threads, Entry::Local];
        let ends = [
            End::Drop,
            End::Drop,
            End::Timeout(0),
            End::Timeout(50),
            End::Background,
            End::OnAThread,
            End::Inside,
        ];
        Plan {
            seed,
            workers,
            event_interval: rng.bool().then(|| one(&mut rng, &[1, 3, 61, 200])),
            blocking_threads: (rng.u32(..4) == 0).then(|| rng.usize(8..20)),
            entry: one(&mut rng, &entries),
            end: one(&mut rng, &ends),
            parts: (0..parts).map(|_| Part::new(&mut rng, kinds)).collect(),
        }
    }
}

impl Part {
    fn new(rng: &mut Rng, kinds: &[Kind]) -> Part {
        let fate = match rng.u32(..10) {
            0 => Fate::Aborted(rng.u64(..30_000)),
            1 => Fate::Dropped(rng.u64(..30_000)),
            2 => Fate::Left,
            _ => Fate::Ends,
        };
        Part { kind: one(rng, kinds), seed: rng.u64(..), fate }
    }
}
