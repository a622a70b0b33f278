//! Where there are no pidfds.

use std::path::Path;
use std::time::Duration;

use crate::sys::fault;
use crate::process::Command;
use crate::runtime::{Builder, Runtime};
use crate::sys::pidfd::tests::refused;
use crate::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(5);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn is_reaped(pid: u32) -> bool {
    for _ in 0..500 {
        if !Path::new(&format!("/proc/{pid}")).exists() {
            return true;
        }
        sleep(Duration::from_millis(10)).await;
    }
    false
}

#[test]
fn without_pidfds_sigchld_tells_of_the_exit() {
    let _children = fault::with_children();
    let mut children: Vec<_> = runtime().block_on(async {
        let mut waited = refused(|| Command::new("sleep").arg("0.1").spawn()).unwrap();
        assert!(timeout(SOON, waited.wait()).await.unwrap().unwrap().success());
        (0..3).map(|_| refused(|| Command::new("sleep").arg("0.2").spawn()).unwrap()).collect()
    });
    // Their runtime is gone.
    let pids: Vec<_> = children.iter().map(|child| child.id().unwrap()).collect();
    runtime().block_on(async {
        let mut waited = children.pop().unwrap();
        refused(|| drop(children.pop()));
        assert!(timeout(SOON, waited.wait()).await.unwrap().unwrap().success());
        drop(children);
        for pid in pids {
            assert!(is_reaped(pid).await);
        }
    });
}

#[test]
fn without_pidfds_orphans_find_another_runtime() {
    let _children = fault::with_children();
    let pids: Vec<_> = runtime().block_on(async {
        let spawn = || Command::new("sleep").arg("0.2").spawn().unwrap();
        let children: Vec<_> = refused(|| (0..3).map(|_| spawn()).collect());
        let pids = children.iter().map(|child| child.id().unwrap()).collect();
        refused(|| drop(children));
        pids
    });
    refused(|| {
        runtime().block_on(async {
            for pid in pids {
                assert!(is_reaped(pid).await);
            }
        });
    });
}
