//! A program that keeps the name spargio: no argument says so.

use std::time::Duration;

use spargio::time::Instant;

#[spargio::test]
async fn a_test() {
    let task = spargio::spawn(async { 6 * 7 });
    assert_eq!(task.await.unwrap(), 42);
    assert_eq!(flavor(), spargio::runtime::RuntimeFlavor::CurrentThread);
}

#[spargio::test(flavor = "multi_thread", worker_threads = 3)]
async fn arguments_are_handed_on() {
    assert_eq!(flavor(), spargio::runtime::RuntimeFlavor::MultiThread);
    assert_eq!(spargio::runtime::Handle::current().metrics().num_workers(), 3);
}

#[spargio::test(start_paused = true)]
async fn the_clock_is_paused() {
    let start = Instant::now();
    spargio::time::sleep(Duration::from_secs(3600)).await;
    assert!(start.elapsed() >= Duration::from_secs(3600));
}

mod inner {
    pub(crate) mod nested {
        pub(crate) use spargio as renamed;
    }
}

#[spargio::test(crate = "crate::inner::nested::renamed")]
async fn a_name_that_is_said_wins() {
    inner::nested::renamed::task::yield_now().await;
}

#[spargio::test]
#[should_panic(expected = "as it should")]
async fn other_attributes_stay() {
    panic!("as it should");
}

#[spargio::test]
async fn results_are_handed_on() -> Result<(), std::num::ParseIntError> {
    let _: u8 = "7".parse()?;
    Ok(())
}

#[spargio::main(flavor = "current_thread")]
async fn called(n: u32) -> u32 {
    spargio::task::yield_now().await;
    n + 1
}

#[spargio::main]
async fn many_threads() -> spargio::runtime::RuntimeFlavor {
    flavor()
}

#[test]
fn main_is_an_ordinary_function() {
    assert_eq!(called(1), 2);
    assert_eq!(many_threads(), spargio::runtime::RuntimeFlavor::MultiThread);
}

fn flavor() -> spargio::runtime::RuntimeFlavor {
    spargio::runtime::Handle::current().runtime_flavor()
}

spargio::task_local! {
    static NUMBER: u32;
}

/// The macros that are no attributes, under the plain name.
#[spargio::test]
async fn the_other_macros() {
    let (a, b) = spargio::join!(async { 1 }, async { 2 });
    assert_eq!(a + b, 3);
    let both = spargio::try_join!(async { Ok::<_, ()>(1) }, async { Err::<u8, _>(()) });
    assert_eq!(both, Err(()));
    let sleep = spargio::time::sleep(Duration::from_secs(60));
    spargio::pin!(sleep);
    let chosen = spargio::select! {
        () = &mut sleep => 1,
        n = async { 2 } => n,
    };
    assert_eq!(chosen, 2);
    assert_eq!(NUMBER.scope(5, async { NUMBER.get() }).await, 5);
}
