//! Operations that are linked.

use super::*;
use crate::sys::fault::{Installed, Script};

impl Rig {
    /// Launches operations as a chain.
    fn link<T: Operation>(&self, ops: &[Op<T>], is_hard: bool) -> Arc<Chain> {
        let waker = Waker::from(self.wakes.clone());
        let chain = Arc::new(Chain::new(ops.iter().map(|op| op.link(&waker)).collect(), is_hard));
        self.handle.launch_chain(chain.clone());
        chain
    }

    fn landed<T: Operation>(&self, ops: &[Op<T>]) -> usize {
        ops.iter().filter(|op| op.has_landed(Waker::noop())).count()
    }
}

/// What fills a read: one that falls short breaks the chain.
fn full(byte: u8) -> Vec<u8> {
    vec![byte; 64]
}

/// A ring whose queue has room for two chains of three and no more.
fn small_ring() -> Installed {
    Script::default().ring_size(8, 32).install()
}

fn reads(rig: &Rig, fds: &[&Arc<OwnedFd>]) -> (Vec<Op<Read>>, Vec<Arc<Fate>>) {
    let (reads, fates): (Vec<_>, Vec<_>) = fds.iter().map(|fd| Read::new(fd)).unzip();
    (reads.into_iter().map(|read| Op::new(&rig.handle, read)).collect(), fates)
}

#[test]
fn one_begins_when_the_one_before_is_over() {
    for is_hard in [false, true] {
        let mut rig = Rig::new();
        let ([(a, mut x), (b, mut y)], mut got) = ([pair(), pair()], Vec::new());
        y.write_all(&full(2)).unwrap();
        let (mut ops, fates) = reads(&rig, &[&a, &b]);
        rig.link(&ops, is_hard);
        for _ in 0..5 {
            rig.turn();
        }
        assert_eq!((rig.landed(&ops), fates[1].read()), (0, [1, 0, 0, 0]));
        x.write_all(&full(1)).unwrap();
        for op in &mut ops {
            got.push(rig.finish(op).unwrap());
        }
        assert_eq!(got, [full(1), full(2)]);
        rig.end();
    }
}

/// The kernel does not find it while it waits for its turn.
#[test]
fn h57_one_that_is_cancelled_before_its_turn_does_not_go_on() {
    let mut rig = Rig::new();
    let [(a, mut x), (b, _y)] = [pair(), pair()];
    let (mut ops, _) = reads(&rig, &[&a, &b]);
    rig.link(&ops, false);
    rig.turn();
    ops[1].cancel();
    for _ in 0..3 {
        rig.turn();
    }
    assert_eq!(rig.landed(&ops), 0);
    x.write_all(&full(1)).unwrap();
    assert_eq!(rig.finish(&mut ops[0]).unwrap(), full(1));
    assert_eq!(rig.finish(&mut ops[1]).unwrap_err().raw_os_error(), Some(libc::ECANCELED));
    rig.end();
}

#[test]
fn h57_a_ring_that_is_given_up_waits_for_none_of_them() {
    let mut rig = Rig::new();
    let [(a, mut x), (b, _y), (c, _z)] = [pair(), pair(), pair()];
    let (ops, fates) = reads(&rig, &[&a, &b, &c]);
    rig.link(&ops, true);
    rig.turn();
    // The head ends by itself as the others are being called back.
    x.write_all(b"first").unwrap();
    let start = Instant::now();
    rig.driver.detach();
    assert!(start.elapsed() < Duration::from_secs(2), "the ring waited for {fates:?}");
    assert_eq!(rig.landed(&ops), 3);
    assert!(ops[1].was_recalled() && ops[2].was_recalled());
    drop(ops);
    assert_eq!(fates.iter().map(|fate| fate.read()[2..] == [1, 1]).collect::<Vec<_>>(), [true; 3]);
    rig.driver.attach();
    rig.end();
}

/// A link does not outlast the `enter` that submits it.
#[test]
fn h58_a_chain_is_never_cut_by_a_full_queue() {
    let _small = small_ring();
    let mut rig = Rig::new();
    let (first, mut x) = pair();
    let (second, mut y) = pair();
    y.write_all(&[7; 64 * 20]).unwrap();
    let mut chains = Vec::new();
    for _ in 0..20 {
        let (ops, _) = reads(&rig, &[&first, &second, &second]);
        rig.link(&ops, false);
        chains.push(ops);
    }
    for _ in 0..5 {
        rig.turn();
    }
    let landed: usize = chains.iter().map(|ops| rig.landed(ops)).sum();
    assert_eq!(landed, 0, "some were done before those they were linked to");
    drop(x.write_all(b"x"));
    drop(x);
    let start = Instant::now();
    while chains.iter().any(|ops| rig.landed(ops) < 3) {
        assert!(start.elapsed() < Duration::from_secs(10), "they never end");
        rig.turn();
    }
    rig.end();
}

#[test]
fn h60_limits_count_from_the_beginning_of_the_chain() {
    // Seconds apart from each other: this thread may be without a processor for a while.
    const LIMIT: Duration = Duration::from_secs(6);
    const LATER: Duration = Duration::from_secs(2);

    let _small = small_ring();
    let mut rig = Rig::new();
    let [(a, mut x), (b, _y)] = [pair(), pair()];
    // With their limits they fill the queue.
    let mut ops = [&a, &a, &a, &b].map(|fd| Op::new(&rig.handle, Read::new(fd).0).with_limit(LIMIT));
    let start = Instant::now();
    rig.link(&ops, false);
    rig.turn();
    thread::sleep(LATER);
    for (n, op) in ops.iter_mut().take(3).enumerate() {
        x.write_all(&full(n as u8)).unwrap();
        assert_eq!(rig.finish(op).unwrap(), full(n as u8));
    }
    let its_turn = start.elapsed();
    let error = rig.finish(&mut ops[3]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
    let elapsed = start.elapsed();
    assert!(
        elapsed >= LIMIT && elapsed < its_turn + LIMIT,
        "after {elapsed:?}, its turn was after {its_turn:?}"
    );
    rig.end();
}

/// On its way to the ring by mail it is given up: none of it goes in.
#[test]
fn h59_an_abandoned_chain_is_boarded_not_at_all() {
    let mut rig = Rig::new();
    let [(a, _x), (b, _y)] = [pair(), pair()];
    let (ops, fates) = reads(&rig, &[&a, &b]);
    let chain = thread::scope(|scope| scope.spawn(|| rig.link(&ops, false)).join().unwrap());
    chain.abandon();
    // A ring comes across it with only some of them gone.
    let mut ops = ops.into_iter();
    drop(ops.next());
    rig.turn();
    drop(ops);
    drop(chain);
    rig.until(|| fates.iter().all(|fate| fate.read()[3] == 1));
    assert!(fates.iter().all(|fate| fate.read()[0] == 0), "{fates:?}");
    rig.end();
}

#[test]
fn a_chain_for_a_runtime_that_is_gone() {
    let rig = Rig::new();
    let handle = rig.handle.clone();
    let wakes = rig.wakes.clone();
    let (a, _x) = pair();
    let (ops, _) = reads(&rig, &[&a, &a]);
    rig.end();
    let waker = Waker::from(wakes);
    let chain = Chain::new(ops.iter().map(|op| op.link(&waker)).collect(), false);
    handle.launch_chain(Arc::new(chain));
    for mut op in ops {
        match Pin::new(&mut op).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => assert_eq!(result.unwrap_err().kind(), io::ErrorKind::Other),
            Poll::Pending => panic!("it waits for ever"),
        }
    }
}
