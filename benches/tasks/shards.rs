//! Messages between two shards of one runtime, beside Tokio's channel between two threads.

use spargio::runtime::{Builder, Runtime};
use spargio::shard::{Inbox, Remote, Sender, Shard};

/// As many as one batch has.
pub const BATCH: u64 = 64;
/// How many messages wait at most.
const ROOM: usize = 1024;

/// A runtime of two shards, whose tasks stay where they are.
pub struct Shards(Runtime);

impl Shards {
    pub fn new() -> Shards {
        Shards(Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("no runtime"))
    }

    fn remote(&self, shard: usize) -> Remote {
        self.0.handle().remote(Shard::new(shard)).expect("two shards")
    }

    fn bind(&self, shard: usize, room: usize) -> (Inbox<u64>, Sender<u64>) {
        let inbox = self.remote(shard).bind(room).expect("no inbox");
        let sender = inbox.sender();
        (inbox, sender)
    }

    /// A message there and one back, `n` times.
    pub fn send_and_reply(&self, n: u64) {
        let (mut answers, back) = self.bind(0, 1);
        let (mut inbox, there) = self.bind(1, 1);
        let pong = self.remote(1).spawn_pinned(async move {
            for _ in 0..n {
                let i = inbox.recv().await.expect("the other shard is gone");
                back.send(i).await.expect("the other shard is gone");
            }
        });
        let ping = self.remote(0).spawn_pinned(async move {
            for i in 0..n {
                there.send(i).await.expect("the other shard is gone");
                assert_eq!(answers.recv().await, Some(i));
            }
        });
        self.0.block_on(async {
            ping.await.expect("a task failed");
            pong.await.expect("a task failed");
        });
    }

    /// `n` batches, then wait until all was taken.
    pub fn batches(&self, n: u64) {
        let (mut inbox, sender) = self.bind(1, ROOM);
        let receive = self.remote(1).spawn_pinned(async move {
            let mut messages = Vec::with_capacity(ROOM);
            let mut left = n * BATCH;
            while left > 0 {
                left -= inbox.recv_many(&mut messages, ROOM).await as u64;
                messages.clear();
            }
        });
        let send = self.remote(0).spawn_pinned(async move {
            for i in 0..n {
                sender.send_batch(i * BATCH..(i + 1) * BATCH).await.expect("the other shard is gone");
            }
            sender.flush().await.ok();
        });
        self.0.block_on(async {
            send.await.expect("a task failed");
            receive.await.expect("a task failed");
        });
    }
}
