//! Two signals at once. In a process of its own: any further signal would make up for a lost one.

use std::hint::spin_loop;
use std::time::{Duration, Instant};

use rustix::process::{Signal as Raise, getpid, kill_process};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);

fn spin(limit: Duration) {
    let start = Instant::now();
    while start.elapsed() < limit {
        spin_loop();
    }
}

/// H47: the second one comes while the first one is being delivered.
#[test]
fn a_signal_during_the_delivery_of_another_is_heard() {
    for workers in [0, 2] {
        let rt = match workers {
            0 => Builder::new_current_thread().enable_all().build().unwrap(),
            n => Builder::new_multi_thread().worker_threads(n).enable_all().build().unwrap(),
        };
        rt.block_on(async {
            let mut first = signal(SignalKind::hangup()).unwrap();
            let mut second = signal(SignalKind::io()).unwrap();
            let (ask, asked) = std::sync::mpsc::channel();
            let sender = std::thread::spawn(move || {
                for delay in asked {
                    kill_process(getpid(), Raise::HUP).unwrap();
                    spin(delay);
                    kill_process(getpid(), Raise::IO).unwrap();
                }
            });
            for round in 0..10_000_u64 {
                // From before the delivery to after it.
                ask.send(Duration::from_nanos(round * 7919 % 60_000)).unwrap();
                timeout(SOON, first.recv()).await.expect("the first signal is lost");
                timeout(SOON, second.recv()).await.expect("the second signal is lost");
            }
            drop(ask);
            sender.join().unwrap();
        });
    }
}
