//! A listener outside of the runtime it was made in. In a process of its own: any other runtime that
//! delivers signals would do it a favour.

use std::time::Duration;

use rustix::process::{Signal as Raise, getpid, kill_process};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(5);

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn a_listener_may_leave_its_runtime() {
    let (standing, dead) = (current_thread(), multi_thread());
    let listen = async { signal(SignalKind::alarm()).unwrap() };
    let mut first = standing.block_on(listen);
    let mut second = dead.block_on(async { signal(SignalKind::alarm()).unwrap() });
    drop(dead);
    for rt in [current_thread(), multi_thread()] {
        rt.block_on(async {
            for listener in [&mut first, &mut second] {
                let late = tokio::spawn(async {
                    sleep(Duration::from_millis(20)).await;
                    kill_process(getpid(), Raise::ALARM).unwrap();
                });
                timeout(SOON, listener.recv()).await.expect("nobody delivers it");
                late.await.unwrap();
            }
        });
    }
}
