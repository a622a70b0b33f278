//! Messages between shards: inboxes, senders, batches, flush tickets.

use std::future::{Future, pending, poll_fn};
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::shard::{self, Inbox, RawMessage, Remote, SendErrorReason, Shard};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

const FOREVER: Duration = Duration::from_secs(30);

fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap()
}

fn remote(rt: &Runtime, shard: usize) -> Remote {
    rt.handle().remote(Shard::new(shard)).unwrap()
}

fn within(test: impl FnOnce() + Send + 'static) {
    let (done, result) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    if result.recv_timeout(FOREVER) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("not within {FOREVER:?}");
    }
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Counts wake-ups.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn messages_arrive_in_order_on_the_shard() {
    within(|| {
        let rt = runtime(2);
        rt.block_on(async {
            let remote = shard::remote(Shard::new(1));
            let mut inbox = remote.bind::<u32>(8).unwrap();
            let receiver = remote.spawn_pinned(async move {
                let mut got = Vec::new();
                while let Some(n) = inbox.recv().await {
                    assert_eq!(shard::current(), Some(Shard::new(1)));
                    got.push(n);
                    if n == 9_999 {
                        break;
                    }
                }
                got
            });
            shard::spawn_pinned(Shard::new(0), async move {
                for n in 0..10_000u32 {
                    remote.send(n).await.unwrap();
                }
            })
            .await
            .unwrap();
            assert_eq!(receiver.await.unwrap(), (0..10_000).collect::<Vec<_>>());
        });
    });
}

#[test]
fn each_type_has_its_inbox_and_only_one() {
    let rt = runtime(2);
    let one = remote(&rt, 0);
    let mut numbers = one.bind::<u8>(1).unwrap();
    let mut texts = one.bind::<String>(1).unwrap();
    assert_eq!(one.bind::<u8>(1).unwrap_err().kind(), ErrorKind::AddrInUse);
    // Another shard's is another one.
    let _other = remote(&rt, 1).bind::<u8>(1).unwrap();

    one.try_send(7u8).unwrap();
    one.try_send("seven".to_owned()).unwrap();
    assert_eq!(numbers.try_recv(), Some(7));
    assert_eq!(numbers.try_recv(), None);
    assert_eq!(texts.try_recv().as_deref(), Some("seven"));

    let error = one.try_send(1.5f64).unwrap_err();
    assert_eq!(error.to_string(), "the shard has no inbox for messages of type f64");
    assert_eq!((error.reason(), error.into_inner()), (SendErrorReason::NoInbox, 1.5));
    assert_eq!(one.sender::<f64>().unwrap_err().reason(), SendErrorReason::NoInbox);
    assert_eq!(one.flush::<f64>().unwrap_err().reason(), SendErrorReason::NoInbox);

    // Free again once it is dropped; old senders do not reach the new one.
    let old = one.sender::<u8>().unwrap();
    drop(numbers);
    assert!(old.is_gone());
    let mut numbers = one.bind::<u8>(1).unwrap();
    assert_eq!(old.try_send(1).unwrap_err().reason(), SendErrorReason::Gone);
    one.try_send(2u8).unwrap();
    assert_eq!(numbers.try_recv(), Some(2));
    assert_eq!(numbers.shard(), Shard::new(0));
}

#[test]
fn bind_here() {
    let rt = runtime(2);
    rt.block_on(async {
        assert_eq!(Inbox::<u8>::bind(1).unwrap_err().kind(), ErrorKind::NotFound);
        shard::spawn_pinned(Shard::new(1), async {
            let mut inbox = Inbox::<u8>::bind(1).unwrap();
            assert_eq!(inbox.shard(), Shard::new(1));
            shard::remote(Shard::new(1)).send(5u8).await.unwrap();
            assert_eq!(inbox.recv().await, Some(5));
        })
        .await
        .unwrap();
    });
}

#[test]
#[should_panic = "an inbox must have room for a message"]
fn an_inbox_without_room() {
    drop(remote(&runtime(1), 0).bind::<u8>(0));
}

#[test]
fn a_full_inbox_makes_senders_wait() {
    within(|| {
        let rt = runtime(2);
        rt.block_on(async {
            let remote = shard::remote(Shard::new(1));
            let mut inbox = remote.bind::<u8>(2).unwrap();
            let sender = remote.sender::<u8>().unwrap();
            assert_eq!(sender.capacity(), 2);
            sender.try_send(1).unwrap();
            sender.try_send(2).unwrap();
            let error = sender.try_send(3).unwrap_err();
            assert_eq!((error.reason(), error.into_inner()), (SendErrorReason::Full, 3));
            assert_eq!(inbox.len(), 2);

            // Waiting senders are served in order.
            let waiting: Vec<_> = (3..6)
                .map(|n| {
                    let sender = sender.clone();
                    let mut send = Box::pin(async move { sender.send(n).await });
                    let mut cx = Context::from_waker(Waker::noop());
                    assert!(send.as_mut().poll(&mut cx).is_pending());
                    send
                })
                .collect();
            for n in 1..4 {
                assert_eq!(inbox.recv().await, Some(n));
                if n < 3 {
                    yield_now().await;
                }
                if n == 1 {
                    // The room is the first one's, nobody overtakes.
                    assert_eq!(sender.try_send(99).unwrap_err().reason(), SendErrorReason::Full);
                }
                if n == 2 {
                    let mut waiting = waiting.into_iter();
                    waiting.next().unwrap().await.unwrap();
                    waiting.next().unwrap().await.unwrap();
                    // The third gave up: cancelled, not sent.
                    drop(waiting);
                    break;
                }
            }
            assert_eq!(inbox.recv().await, Some(3));
            assert_eq!(inbox.recv().await, Some(4));
            assert_eq!(inbox.try_recv(), None);
        });
    });
}

#[test]
fn a_batch_is_one_wake_up() {
    let rt = runtime(1);
    let remote = remote(&rt, 0);
    let mut inbox = remote.bind::<u32>(100).unwrap();
    let sender = inbox.sender();
    let wakes = Arc::new(Counter::default());
    let waker = Waker::from(wakes.clone());
    assert!(inbox.poll_recv(&mut Context::from_waker(&waker)).is_pending());
    sender.try_send_batch(0..50).unwrap();
    assert_eq!(wakes.0.load(SeqCst), 1);

    // As many as fit, the rest comes back.
    let error = sender.try_send_batch(50..120).unwrap_err();
    assert_eq!(error.reason(), SendErrorReason::Full);
    assert_eq!(error.into_inner(), (100..120).collect::<Vec<_>>());
    sender.try_send_batch([]).unwrap();

    let mut got = Vec::new();
    assert_eq!(rt.block_on(inbox.recv_many(&mut got, 30)), 30);
    assert_eq!(rt.block_on(inbox.recv_many(&mut got, 1000)), 70);
    assert_eq!(got, (0..100).collect::<Vec<_>>());
    assert_eq!(rt.block_on(inbox.recv_many(&mut got, 0)), 0);
    assert_eq!(wakes.0.load(SeqCst), 1);

    drop(inbox);
    let error = sender.try_send_batch([1, 2]).unwrap_err();
    assert_eq!((error.reason(), error.into_inner().len()), (SendErrorReason::Gone, 2));
}

#[test]
fn a_batch_larger_than_the_inbox() {
    within(|| {
        let rt = runtime(2);
        rt.block_on(async {
            let remote = shard::remote(Shard::new(1));
            let mut inbox = remote.bind::<u32>(7).unwrap();
            let receiver = remote.spawn_pinned(async move {
                let mut got = Vec::new();
                while inbox.recv_many(&mut got, 5).await > 0 {
                    if got.len() == 1000 {
                        break;
                    }
                }
                got
            });
            remote.sender::<u32>().unwrap().send_batch(0..1000).await.unwrap();
            assert_eq!(receiver.await.unwrap(), (0..1000).collect::<Vec<_>>());

            // The receiver goes in the middle.
            let mut inbox = remote.bind::<u32>(3).unwrap();
            let sender = inbox.sender();
            let send = tokio::spawn(async move { sender.send_batch(0..10).await });
            assert_eq!(inbox.recv().await, Some(0));
            assert_eq!(inbox.recv().await, Some(1));
            drop(inbox);
            let error = send.await.unwrap().unwrap_err();
            assert_eq!(error.reason(), SendErrorReason::Gone);
            let left = error.into_inner();
            assert_eq!(left.back(), Some(&9));
            assert!((5..=8).contains(&left.len()), "{left:?}");
        });
    });
}

/// Red with a ticket that is due at `taken >= until - 1`.
#[test]
fn a_ticket_waits_for_what_was_sent_before_it() {
    within(|| {
        let rt = runtime(2);
        rt.block_on(async {
            let remote = shard::remote(Shard::new(1));
            let mut inbox = remote.bind::<u32>(16).unwrap();
            let sender = inbox.sender();
            // Nothing sent: due at once.
            sender.flush().await.unwrap();
            sender.try_send_batch(0..3).unwrap();
            let mut ticket = pin!(sender.flush());
            let unused = sender.flush();
            sender.try_send(3).unwrap();
            let mut later = pin!(remote.flush::<u32>().unwrap());
            for n in 0..3 {
                assert!(timeout(Duration::from_millis(1), &mut ticket).await.is_err());
                assert_eq!(inbox.recv().await, Some(n));
            }
            drop(unused);
            timeout(FOREVER, &mut ticket).await.unwrap().unwrap();
            assert!(timeout(Duration::from_millis(1), &mut later).await.is_err());
            assert_eq!(inbox.try_recv(), Some(3));
            later.await.unwrap();

            // One that will never be due.
            sender.try_send(4).unwrap();
            let ticket = tokio::spawn(sender.flush());
            yield_now().await;
            drop(inbox);
            let error = ticket.await.unwrap().unwrap_err();
            assert_eq!(error.to_string(), "the shard's inbox was dropped with messages in it");
            assert!(sender.flush().await.is_err());
        });
    });
}

#[test]
fn many_tickets_of_many_senders() {
    within(|| {
        let rt = runtime(2);
        rt.block_on(async {
            let remote = shard::remote(Shard::new(0));
            let mut inbox = remote.bind::<usize>(10).unwrap();
            let seen: Arc<Vec<_>> = Arc::new((0..8).map(|_| AtomicUsize::new(0)).collect());
            let receiver = remote.spawn_pinned({
                let seen = seen.clone();
                async move {
                    while let Some(from) = inbox.recv().await {
                        seen[from].fetch_add(1, SeqCst);
                    }
                }
            });
            let senders: Vec<_> = (0..8)
                .map(|i| {
                    let (remote, seen) = (remote.clone(), seen.clone());
                    shard::spawn(shard::Placement::RoundRobin, async move {
                        let sender = remote.sender().unwrap();
                        for round in 1..200 {
                            sender.send(i).await.unwrap();
                            if round % 3 == 0 {
                                // Taken, so counted: the receiver counts before it takes the next.
                                sender.flush().await.unwrap();
                                assert!(seen[i].load(SeqCst) >= round - 1);
                            }
                        }
                    })
                })
                .collect();
            for sender in senders {
                sender.await.unwrap();
            }
            receiver.abort();
            assert!(receiver.await.unwrap_err().is_cancelled());
            assert_eq!(remote.try_send(1usize).unwrap_err().reason(), SendErrorReason::NoInbox);
        });
    });
}

#[test]
fn raw_messages_say_where_they_come_from() {
    let rt = runtime(2);
    let target = remote(&rt, 1);
    let mut inbox = target.bind::<RawMessage>(4).unwrap();
    target.send_raw(1, 10).unwrap();
    remote(&rt, 0).spawn_pinned({
        let target = target.clone();
        async move { target.send_raw(2, 20).unwrap() }
    });
    let other = runtime(1);
    rt.block_on(async {
        assert_eq!(inbox.recv().await, Some(RawMessage { from: None, tag: 1, value: 10 }));
        let from = Some(Shard::new(0));
        assert_eq!(inbox.recv().await, Some(RawMessage { from, tag: 2, value: 20 }));
    });
    // A shard of another runtime is none of this one's.
    let task = remote(&other, 0).spawn_pinned(async move { target.send_raw(3, 30).unwrap() });
    other.block_on(task).unwrap();
    assert_eq!(inbox.try_recv(), Some(RawMessage { from: None, tag: 3, value: 30 }));
}

#[test]
fn the_end_of_a_runtime_ends_waiting_senders_and_receivers() {
    within(|| {
        for flavour in 0..2 {
            let rt = match flavour {
                0 => Builder::new_current_thread().enable_all().build().unwrap(),
                _ => runtime(2),
            };
            let remote = rt.handle().remote(Shard::new(0)).unwrap();
            let mut inbox = remote.bind::<u8>(1).unwrap();
            let sender = inbox.sender();
            sender.try_send(1).unwrap();
            let elsewhere = runtime(1);
            let blocked = elsewhere.spawn({
                let sender = sender.clone();
                async move { sender.send(2).await }
            });
            let empty = remote.bind::<u16>(1).unwrap();
            let waiting = elsewhere.spawn(async move {
                let mut empty = empty;
                empty.recv().await
            });
            let mut ticket = pin!(sender.flush());
            thread::sleep(Duration::from_millis(20));
            drop(rt);
            elsewhere.block_on(async {
                let error = blocked.await.unwrap().unwrap_err();
                assert_eq!((error.reason(), error.into_inner()), (SendErrorReason::Gone, 2));
                assert_eq!(waiting.await.unwrap(), None);
                assert_eq!(sender.try_send(3).unwrap_err().reason(), SendErrorReason::Gone);
                assert_eq!(remote.try_send(3u8).unwrap_err().reason(), SendErrorReason::Gone);
                assert_eq!(remote.bind::<u32>(1).unwrap_err().kind(), ErrorKind::NotConnected);
                // What was there is there.
                let once = poll_fn(|cx| Poll::Ready(ticket.as_mut().poll(cx).is_pending()));
                assert!(once.await);
                assert_eq!(inbox.recv().await, Some(1));
                assert_eq!(inbox.recv().await, None);
                ticket.await.unwrap();
            });
        }
    });
}

#[test]
fn sending_races_the_shutdown() {
    within(|| {
        for round in 0..100 {
            let rt = runtime(2);
            let taken = Arc::new(AtomicUsize::new(0));
            let remote = remote(&rt, 1);
            let mut inbox = remote.bind::<Arc<()>>(4).unwrap();
            remote.spawn_pinned({
                let taken = taken.clone();
                async move {
                    while inbox.recv().await.is_some() {
                        taken.fetch_add(1, SeqCst);
                    }
                    pending::<()>().await;
                }
            });
            let sender = remote.sender().unwrap();
            let token = Arc::new(());
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let (sender, token) = (sender.clone(), token.clone());
                    thread::spawn(move || {
                        let waiting = Builder::new_current_thread().build().unwrap();
                        let mut sent = 0;
                        while waiting.block_on(sender.send(token.clone())).is_ok() {
                            sent += 1;
                        }
                        sent
                    })
                })
                .collect();
            thread::sleep(Duration::from_micros(50 * round));
            drop(rt);
            let sent: usize = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
            let taken = taken.load(SeqCst);
            assert!(taken <= sent && sent <= taken + 4 + 1, "{sent} sent, {taken} taken");
            // Messages nobody took are dropped with the inbox.
            drop(sender);
            assert_eq!(Arc::strong_count(&token), 1);
        }
    });
}

#[test]
fn one_shard_sends_to_itself() {
    within(|| {
        let rt = Builder::new_current_thread().enable_all().build().unwrap();
        rt.block_on(async {
            let only = Handle::current().shards().next().unwrap();
            let mut inbox = shard::remote(only).bind::<u8>(1).unwrap();
            let send = tokio::spawn(async move {
                for n in 0..100u8 {
                    shard::remote(only).send(n).await.unwrap();
                }
            });
            for n in 0..100 {
                assert_eq!(inbox.recv().await, Some(n));
            }
            send.await.unwrap();
            inbox.close();
            assert_eq!(inbox.recv().await, None);
        });
    });
}

/// A receiver whose inbox never runs dry gives way to others: it has a budget like any resource.
#[test]
fn receiving_is_budgeted() {
    within(|| {
        let rt = runtime(1);
        rt.block_on(async {
            let remote = shard::remote(Shard::new(0));
            let mut inbox = remote.bind::<u32>(100_000).unwrap();
            inbox.sender().try_send_batch(0..100_000).unwrap();
            let (tell, told) = oneshot::channel();
            let receiver = remote.spawn_pinned(async move {
                let other = shard::spawn_pinned(Shard::new(0), async {});
                let mut count = 0;
                while inbox.recv().await.is_some() {
                    count += 1;
                    if other.is_finished() {
                        break;
                    }
                }
                let _ = tell.send(count);
            });
            receiver.await.unwrap();
            assert!(told.await.unwrap() < 1000);
            sleep(Duration::from_millis(1)).await;
        });
    });
}
