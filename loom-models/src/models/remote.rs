//! The park state and the mailbox of a ring.

use std::sync::Arc;

use loom::thread;

use crate::driver::Interest;
use crate::driver::scheduled_io::ScheduledIo;
use crate::remote::{Due, Message, Remote};
use crate::sys::uring::{Kind, Token};

fn remote() -> Arc<Remote> {
    let remote = Arc::new(Remote::new(1, 0).unwrap());
    remote.attach();
    remote
}

fn watch() -> Message {
    Message::Watch(Arc::new(ScheduledIo::new(-1, Interest::READABLE)))
}

/// What the owner does until it has `n` messages: `Lane::turn`, again and again.
fn receive(remote: &Remote, n: usize) {
    let mut messages = Vec::new();
    loop {
        remote.receive(&mut messages);
        if messages.len() == n {
            return;
        }
        if remote.start_parking() {
            remote.doorbell.wait();
            remote.stop_parking();
        } else {
            remote.receive(&mut messages);
        }
    }
}

#[test]
fn h36_no_message_is_left_while_the_owner_sleeps() {
    loom::model(|| {
        let remote = remote();
        let sender = thread::spawn({
            let remote = remote.clone();
            move || {
                for _ in 0..2 {
                    assert!(remote.send(watch()).is_ok());
                }
            }
        });
        // Loom calls it a deadlock if the owner sleeps for ever.
        receive(&remote, 2);
        sender.join().unwrap();
    });
}

#[test]
fn h36_two_senders_and_an_owner() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let remote = remote();
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let remote = remote.clone();
                thread::spawn(move || assert!(remote.send(watch()).is_ok()))
            })
            .collect();
        receive(&remote, 2);
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

/// A task pushed to a queue of its own, and then the shard unparked: what `schedule` does.
#[test]
fn h36_an_unpark_tells_of_what_was_done_before() {
    loom::model(|| {
        use loom::sync::atomic::AtomicBool;
        use loom::sync::atomic::Ordering::Relaxed;

        let remote = remote();
        let pushed = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let pushers: Vec<_> = (0..2)
            .map(|i| {
                let (remote, pushed) = (remote.clone(), pushed.clone());
                thread::spawn(move || {
                    // Only the unpark orders this.
                    pushed[i].store(true, Relaxed);
                    remote.unpark();
                })
            })
            .collect();
        while !pushed.iter().all(|p| p.load(Relaxed)) {
            if remote.start_parking() {
                remote.doorbell.wait();
                remote.stop_parking();
            }
        }
        for pusher in pushers {
            pusher.join().unwrap();
        }
    });
}

/// The descriptor of a dropped socket is closed by somebody, whenever its ring is drained.
#[test]
fn h03_a_message_about_a_poll_is_never_left_in_a_drained_ring() {
    loom::model(|| {
        let remote = remote();
        let sender = thread::spawn({
            let remote = remote.clone();
            move || {
                let due = Due { fd: None, told: None };
                // Refused: the sender closes it.
                usize::from(remote.send(Message::Unwatch(Token::new(Kind::Poll, 0, 0), due)).is_err())
            }
        });
        let mut messages = Vec::new();
        remote.receive(&mut messages);
        messages.extend(remote.detach());
        let refused = sender.join().unwrap();
        assert_eq!(messages.len() + refused, 1);
    });
}
