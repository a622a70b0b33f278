//! Timers and `select!`: sleeping, ticking, giving up, and how punctual it all is.
//!
//! ```text
//! cargo run --release --example timers
//! ```

use std::future::pending;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{self, Instant, MissedTickBehavior};

#[tokio::main]
async fn main() {
    ticks_until_a_deadline().await;
    gives_up().await;
    reschedules().await;
    measures().await;
}

/// `select!` over an interval and a deadline.
async fn ticks_until_a_deadline() {
    let started = Instant::now();
    let mut interval = time::interval(Duration::from_millis(20));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let deadline = time::sleep(Duration::from_millis(110));
    tokio::pin!(deadline);

    let mut ticks = 0;
    loop {
        tokio::select! {
            _ = interval.tick() => ticks += 1,
            () = &mut deadline => break,
        }
    }
    println!("{ticks} ticks in {:?}", started.elapsed());
}

/// A timeout around something that never happens, and around something that does.
async fn gives_up() {
    let limit = Duration::from_millis(10);
    let never = time::timeout(limit, pending::<()>()).await;
    println!("waiting for nothing: {}", never.expect_err("nothing happens"));

    let (answer, question) = oneshot::channel();
    tokio::spawn(async move {
        time::sleep(Duration::from_millis(1)).await;
        // An error means that nobody waits any more.
        let _ = answer.send(42);
    });
    match time::timeout(limit, question).await {
        Ok(Ok(answer)) => println!("the answer in time: {answer}"),
        Ok(Err(_)) => println!("the task died"),
        Err(_) => println!("too late"),
    }
}

/// A deadline that moves: each event gives ten more milliseconds.
async fn reschedules() {
    let started = Instant::now();
    let quiet = time::sleep(Duration::from_millis(10));
    tokio::pin!(quiet);
    let mut events = time::interval(Duration::from_millis(4));

    let mut seen = 0;
    loop {
        tokio::select! {
            _ = events.tick(), if seen < 5 => {
                seen += 1;
                quiet.as_mut().reset(Instant::now() + Duration::from_millis(10));
            }
            () = &mut quiet => break,
        }
    }
    println!("quiet after {seen} events and {:?}", started.elapsed());
}

/// How late a sleeper wakes up.
async fn measures() {
    for length in [Duration::from_micros(100), Duration::from_millis(1)] {
        let mut late = Vec::new();
        for _ in 0..200 {
            let due = Instant::now() + length;
            time::sleep_until(due).await;
            late.push(due.elapsed());
        }
        late.sort();
        println!(
            "sleep {length:?}: late by {:?} (median), {:?} (99 %)",
            late[late.len() / 2],
            late[late.len() * 99 / 100],
        );
    }
}
