//! The smallest program: a few tasks, a channel, and who ran what.
//!
//! ```text
//! cargo run --example hello
//! ```

use tokio::sync::mpsc;
use tokio::task;

#[tokio::main]
async fn main() {
    let (greetings, mut inbox) = mpsc::channel(8);

    for name in ["Ada", "Grace", "Barbara"] {
        let greetings = greetings.clone();
        task::spawn(async move {
            let worker = tokio::runtime::worker_index();
            greetings.send((name, worker)).await.expect("main is listening");
        });
    }
    // The channel ends when the last of the tasks is done.
    drop(greetings);

    while let Some((name, worker)) = inbox.recv().await {
        match worker {
            Some(worker) => println!("hello, {name} (from worker {worker})"),
            None => println!("hello, {name}"),
        }
    }

    let sum = task::spawn_blocking(|| (1..=1_000_000u64).sum::<u64>()).await;
    println!("meanwhile a blocking thread counted to {}", sum.expect("it does not panic"));
}
