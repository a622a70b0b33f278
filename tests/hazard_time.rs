//! Clocks and deadlines: hazards H44, H45 and H46.

#[path = "common/mod.rs"]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, interval_at, sleep, sleep_until, timeout, timeout_at};

use common::*;

const MS: Duration = Duration::from_millis(1);

fn paused() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

// ===== H44: durations that no clock holds =====

/// As far as the arithmetic of instants goes, and a little further.
fn extremes() -> Vec<Duration> {
    let nanos = [u64::MAX, u64::MAX - 1, u64::MAX / 2, i64::MAX as u64, 1 << 62].map(Duration::from_nanos);
    let seconds = [u64::MAX, i64::MAX as u64, 1 << 40, 86_400 * 365 * 600].map(Duration::from_secs);
    let millis = [u64::MAX, (1 << 36) - 1, 1 << 36].map(Duration::from_millis);
    nanos.into_iter().chain(seconds).chain(millis).chain([Duration::MAX]).collect()
}

#[test]
fn h44_the_longest_durations_wait() {
    let _alone = alone();
    for rt in [current_thread(), multi_thread(1), multi_thread(2)] {
        let fired = rt.block_on(async {
            tokio::spawn(async {
                let mut fired = 0;
                for duration in extremes() {
                    start_waiting(sleep(duration)).await;
                    assert_eq!(timeout(duration, async { 1 }).await, Ok(1));
                    start_waiting(timeout(duration, std::future::pending::<()>())).await;

                    // Among others, and moved to and fro.
                    let mut long = pin!(sleep(duration));
                    start_waiting(long.as_mut()).await;
                    sleep(MS).await;
                    assert!(!long.is_elapsed());
                    long.as_mut().reset(Instant::now() + MS);
                    long.as_mut().await;
                    if let Some(far) = Instant::now().checked_add(duration) {
                        long.as_mut().reset(far);
                        start_waiting(long.as_mut()).await;
                        start_waiting(sleep_until(far)).await;
                        start_waiting(timeout_at(far, std::future::pending::<()>())).await;
                        let mut ticks = interval_at(far, Duration::MAX);
                        start_waiting(ticks.tick()).await;
                        let mut ticks = interval_at(Instant::now(), duration);
                        ticks.tick().await;
                        start_waiting(ticks.tick()).await;
                    }
                    fired += 1;
                }
                fired
            })
            .await
            .unwrap()
        });
        assert_eq!(fired, extremes().len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Timers fire in the order of their deadlines, each at its own. A `sleep` takes 30 years at
    /// most, as on Tokio; a paused clock gets there at once.
    #[test]
    fn h44_timers_of_every_length(
        lengths in prop::collection::vec((0u32..64, any::<u64>()).prop_map(|(bits, x)| x & ((1 << bits) - 1)), 1..20)
    ) {
        const LONGEST: u64 = 30 * 365 * 24 * 60 * 60 * 1000;

        let fired = paused().block_on(async {
            let start = Instant::now();
            let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
            for &millis in &lengths {
                let tell = tell.clone();
                tokio::spawn(async move {
                    sleep(Duration::from_millis(millis)).await;
                    tell.send((millis, start.elapsed().as_millis() as u64)).unwrap();
                });
            }
            drop(tell);
            let mut fired = Vec::new();
            while let Some(one) = told.recv().await {
                fired.push(one);
            }
            fired
        });
        prop_assert_eq!(fired.len(), lengths.len());
        prop_assert!(fired.is_sorted_by_key(|&(_, at)| at), "{:?}", fired);
        for (millis, at) in fired {
            prop_assert_eq!(at, millis.min(LONGEST));
        }
    }
}

// ===== H45: clocks that jump =====

/// Only `CLOCK_MONOTONIC`, which is what `std::time::Instant`, condition variables and the timeouts of
/// `io_uring_enter`, `epoll_wait` and `ppoll` go by. What a user may ask of files is not a clock.
#[test]
fn h45_nothing_goes_by_a_clock_that_jumps() {
    fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { sources(&path, found) } else { found.push(path) }
        }
    }
    const JUMP: [&str; 6] = [
        "SystemTime",
        "UNIX_EPOCH",
        "CLOCK_REALTIME",
        "gettimeofday",
        "TIMEOUT_REALTIME",
        "TIMEOUT_BOOTTIME",
    ];

    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let of_files = |path: &Path| path.starts_with(src.join("fs")) || path.ends_with("native/fs.rs");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 100, "{} sources", files.len());
    let mut found = Vec::new();
    for path in files.iter().filter(|path| !of_files(path)) {
        let text = fs::read_to_string(path).unwrap();
        found.extend(JUMP.iter().filter(|word| text.contains(*word)).map(|word| format!("{path:?}: {word}")));
    }
    assert_eq!(found, [""; 0]);
}

// ===== H46: a paused clock =====

#[test]
fn h46_paused_time_stands_still_while_there_is_work() {
    let _alone = alone();
    paused().block_on(async {
        let start = Instant::now();
        // A timer that would fire at the first chance.
        let mut next = pin!(sleep(MS));
        start_waiting(next.as_mut()).await;

        // Tasks that are ready.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let (there, mut inbox) = tokio::sync::mpsc::channel(1);
        let pings = tokio::spawn(async move {
            for n in 0..100 {
                there.send(n).await.unwrap();
            }
        });
        let mut received = 0;
        while inbox.recv().await.is_some() {
            received += 1;
        }
        pings.await.unwrap();
        assert_eq!((received, start.elapsed(), next.is_elapsed()), (100, Duration::ZERO, false));

        // And nobody ready: it goes on.
        next.as_mut().await;
        assert_eq!(start.elapsed(), MS);
    });
}

/// What the kernel has for a socket counts as work, too, though nobody knows of it yet.
#[test]
fn h46_paused_time_stands_still_while_a_socket_is_ready() {
    let _alone = alone();
    paused().block_on(async {
        let start = Instant::now();
        let (mut stream, mut peer) = connection().await;
        for _ in 0..100 {
            wait_in_read(&mut stream).await;
            std::io::Write::write_all(&mut peer, b"x").unwrap();
            assert_eq!(timeout(MS, stream.read_u8()).await.expect("the clock went on").unwrap(), b'x');
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    });
}

/// Whether they are served by the blocking pool or by the ring.
#[test]
fn h46_paused_time_stands_still_while_files_are_at_work() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    paused().block_on(async {
        let start = Instant::now();
        for round in 0..50 {
            let path = dir.path().join(format!("file-{round}"));
            let work = async {
                let mut file = tokio::fs::File::create_new(&path).await.unwrap();
                file.write_all(&[7; 100_000]).await.unwrap();
                file.sync_all().await.unwrap();
                drop(file);
                let mut file = tokio::fs::File::open(&path).await.unwrap();
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).await.unwrap();
                file.rewind().await.unwrap();
                let len = tokio::fs::metadata(&path).await.unwrap().len();
                tokio::fs::rename(&path, path.with_extension("moved")).await.unwrap();
                tokio::fs::remove_file(path.with_extension("moved")).await.unwrap();
                (bytes.len(), len)
            };
            assert_eq!(timeout(MS, work).await.expect("the clock went on"), (100_000, 100_000));
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    });
}
