//! `runtime`: what the documentation promises beyond "it runs": panic texts and where they
//! point, error kinds, `Debug`, auto traits, callbacks, shutdown.
//!
//! A plain Tokio program: every expectation here was first checked against tokio 1.54.1.

use std::cell::RefCell;
use std::future::Future;
use std::panic::{self, AssertUnwindSafe};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{
    self, Builder, EnterGuard, Handle, Id, LocalOptions, LocalRuntime, Runtime, RuntimeFlavor,
    RuntimeMetrics, TryCurrentError,
};

/// Longer than anything here takes, even on a busy machine.
const LONG: Duration = Duration::from_secs(20);

const NO_CONTEXT: &str =
    "there is no reactor running, must be called from the context of a Tokio 1.x runtime";
const NESTED: &str = "Cannot start a runtime from within a runtime. This happens because a \
    function (like `block_on`) attempted to block the current thread while the thread is being \
    used to drive asynchronous tasks. If you are in an async function, use `.await` on the \
    future instead of blocking on it.";
const DROPPED_IN_ASYNC: &str = "Cannot drop a runtime in a context where blocking is not \
    allowed. This happens when a runtime is dropped from within an asynchronous context.";

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn both() -> [Runtime; 2] {
    [current_thread(), multi_thread()]
}

/// The text of the panic that `f` ends with, and the file it points to.
fn panic_of(f: impl FnOnce()) -> (String, String) {
    static HOOK: Mutex<()> = Mutex::new(());
    let _only_one = HOOK.lock().unwrap_or_else(|e| e.into_inner());

    let file = Arc::new(Mutex::new(None));
    let this = thread::current().id();
    let previous = Arc::new(panic::take_hook());
    panic::set_hook(Box::new({
        let (file, previous) = (file.clone(), previous.clone());
        move |info| {
            if thread::current().id() == this {
                let location = info.location().unwrap();
                file.lock().unwrap().get_or_insert(location.file().to_owned());
            } else {
                previous(info);
            }
        }
    }));
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    drop(panic::take_hook());
    panic::set_hook(Box::new(move |info| previous(info)));

    let payload = result.expect_err("it should have panicked");
    let text = match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast::<&str>().unwrap().to_string(),
    };
    let file = file.lock().unwrap().take().unwrap();
    (text, file)
}

#[track_caller]
fn assert_panics_here(expected: &str, f: impl FnOnce()) {
    let (text, at) = panic_of(f);
    assert_eq!(text, expected);
    assert_eq!(at, file!());
}

mod builder {
    use super::*;

    #[test]
    fn refuses_zeros_and_blank_names() {
        let b = Builder::new_multi_thread;
        assert_panics_here("Worker threads cannot be set to 0", || {
            b().worker_threads(0);
        });
        assert_panics_here("Max blocking threads cannot be set to 0", || {
            b().max_blocking_threads(0);
        });
        assert_panics_here("global_queue_interval must be greater than 0", || {
            b().global_queue_interval(0);
        });
        assert_panics_here("event_interval must be greater than 0", || {
            b().event_interval(0);
        });
        assert_panics_here("max_io_events_per_tick must be non-zero", || {
            b().max_io_events_per_tick(0);
        });
        assert_panics_here("max_io_events_per_busy_tick must be non-zero", || {
            b().max_io_events_per_busy_tick(0);
        });
        for blank in ["", " ", "\t\n"] {
            assert_panics_here("runtime name shouldn't be empty", || {
                b().name(blank);
            });
        }
    }

    #[test]
    fn a_local_runtime_is_current_thread() {
        let (text, _) = panic_of(|| {
            let _ = Builder::new_multi_thread().build_local(LocalOptions::default());
        });
        assert_eq!(text, "multi_thread is not supported for LocalRuntime");
    }

    #[test]
    fn a_paused_clock_is_current_thread() {
        let mut b = Builder::new_multi_thread();
        let (text, _) = panic_of(|| drop(b.enable_time().start_paused(true).build()));
        assert!(text.contains("requires the `current_thread` Tokio runtime"), "{text}");
    }

    #[test]
    fn debug_shows_what_was_set() {
        let mut b = Builder::new_multi_thread();
        assert_eq!(
            format!("{b:?}"),
            "Builder { worker_threads: None, max_blocking_threads: 512, \
             thread_name: \"<dyn Fn() -> String + Send + Sync + 'static>\", \
             thread_stack_size: None, after_start: None, before_stop: None, before_park: None, \
             after_unpark: None, enable_eager_driver_handoff: false, .. }"
        );

        b.name("crew")
            .worker_threads(3)
            .max_blocking_threads(7)
            .thread_stack_size(65536)
            .on_thread_start(|| ())
            .on_thread_stop(|| ())
            .on_thread_park(|| ())
            .on_thread_unpark(|| ());
        assert_eq!(
            format!("{b:?}"),
            "Builder { name: \"crew\", worker_threads: Some(3), max_blocking_threads: 7, \
             thread_name: \"<dyn Fn() -> String + Send + Sync + 'static>\", \
             thread_stack_size: Some(65536), after_start: Some(\"...\"), \
             before_stop: Some(\"...\"), before_park: Some(\"...\"), \
             after_unpark: Some(\"...\"), enable_eager_driver_handoff: false }"
        );
    }

    #[test]
    fn builds_more_than_once() {
        let mut b = Builder::new_current_thread();
        let (first, second) = (b.build().unwrap(), b.build().unwrap());
        assert_ne!(first.handle().id(), second.handle().id());
    }

    #[test]
    fn names_its_threads() {
        let rt = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let name = || thread::current().name().map(str::to_owned);
        assert_eq!(rt.block_on(rt.spawn(async move { name() })).unwrap().unwrap(), "tokio-rt-worker");
        assert_eq!(rt.block_on(rt.spawn_blocking(name)).unwrap().unwrap(), "tokio-rt-worker");

        let count = AtomicUsize::new(0);
        let rt = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("overridden")
            .thread_name_fn(move || format!("crew-{}", count.fetch_add(1, SeqCst)))
            .build()
            .unwrap();
        assert_eq!(rt.block_on(rt.spawn(async move { name() })).unwrap().unwrap(), "crew-0");
        assert_eq!(rt.block_on(rt.spawn_blocking(name)).unwrap().unwrap(), "crew-1");
    }

    #[test]
    fn tells_when_threads_start_and_stop() {
        let (started, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let count = |counter: &Arc<AtomicUsize>| {
            let counter = counter.clone();
            move || {
                counter.fetch_add(1, SeqCst);
            }
        };
        let rt = Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_start(count(&started))
            .on_thread_stop(count(&stopped))
            .build()
            .unwrap();
        rt.block_on(rt.spawn_blocking(|| ())).unwrap();
        drop(rt);
        assert_eq!(started.load(SeqCst), 3);
        assert_eq!(stopped.load(SeqCst), 3);
    }

    #[test]
    fn tells_when_workers_park() {
        for kind in [Builder::new_current_thread, Builder::new_multi_thread] {
            let (parked, unparked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let rt = kind()
                .worker_threads(1)
                .enable_all()
                .on_thread_park({
                    let parked = parked.clone();
                    move || {
                        assert!(Handle::try_current().is_ok());
                        parked.fetch_add(1, SeqCst);
                    }
                })
                .on_thread_unpark({
                    let unparked = unparked.clone();
                    move || {
                        unparked.fetch_add(1, SeqCst);
                    }
                })
                .build()
                .unwrap();
            let nap = rt.spawn(async { tokio::time::sleep(Duration::from_millis(5)).await });
            rt.block_on(nap).unwrap();
            drop(rt);
            assert!(parked.load(SeqCst) >= 1);
            assert!(unparked.load(SeqCst) >= 1);
        }
    }

    #[test]
    fn without_drivers_io_and_time_panic() {
        let rt = Builder::new_current_thread().build().unwrap();
        let (text, at) = panic_of(|| {
            let _guard = rt.enter();
            drop(tokio::time::sleep(Duration::from_millis(1)));
        });
        assert!(text.contains("timers are disabled"), "{text}");
        assert_eq!(at, file!());

        let (text, _) = panic_of(|| {
            rt.block_on(async { drop(tokio::net::TcpListener::bind("127.0.0.1:0").await) });
        });
        assert!(text.contains("IO is disabled"), "{text}");
    }
}

mod worker_threads_variable {
    use super::*;
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::OsStringExt;

    const CHILD: &str = "RUNTIME_API_CHILD";

    /// Runs the test below in a process of its own: the environment belongs to all threads.
    fn in_child(value: &OsStr) -> Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "worker_threads_variable::child", "--nocapture"])
            .env(CHILD, "1")
            .env("TOKIO_WORKER_THREADS", value)
            .output()
            .unwrap()
    }

    #[test]
    fn child() {
        if std::env::var_os(CHILD).is_some() {
            let rt = Builder::new_multi_thread().build().unwrap();
            println!("workers={}", rt.metrics().num_workers());
            let rt = Builder::new_multi_thread().worker_threads(5).build().unwrap();
            println!("explicit={}", rt.metrics().num_workers());
        }
    }

    #[test]
    fn is_obeyed_unless_the_program_says_otherwise() {
        let output = in_child("3".as_ref());
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success());
        assert!(stdout.contains("workers=3"), "{stdout}");
        assert!(stdout.contains("explicit=5"), "{stdout}");
    }

    #[test]
    fn must_be_a_positive_number() {
        let not_unicode = OsString::from_vec(vec![0xff]);
        for (value, text) in [
            ("0".as_ref(), "\"TOKIO_WORKER_THREADS\" cannot be set to 0"),
            (
                "many".as_ref(),
                "\"TOKIO_WORKER_THREADS\" must be usize, error: invalid digit found in string, \
                 value: many",
            ),
            (not_unicode.as_os_str(), "\"TOKIO_WORKER_THREADS\" must be valid unicode, error: \"\\xFF\""),
        ] {
            let output = in_child(value);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success());
            assert!(stderr.contains(text), "{stderr}");
        }
    }
}

mod handle {
    use super::*;

    #[test]
    fn there_is_none_outside_of_a_runtime() {
        assert_panics_here(NO_CONTEXT, || drop(Handle::current()));

        let error = Handle::try_current().unwrap_err();
        assert!(error.is_missing_context());
        assert!(!error.is_thread_local_destroyed());
        assert_eq!(error.to_string(), NO_CONTEXT);
        assert_eq!(format!("{error:?}"), "TryCurrentError { kind: NoContext }");
    }

    #[test]
    fn there_is_none_in_a_thread_that_is_gone() {
        struct AtExit(mpsc::Sender<TryCurrentError>);
        impl Drop for AtExit {
            fn drop(&mut self) {
                self.0.send(Handle::try_current().unwrap_err()).unwrap();
            }
        }
        thread_local! {
            static AT_EXIT: RefCell<Option<AtExit>> = const { RefCell::new(None) };
        }

        let (tx, rx) = mpsc::channel();
        thread::spawn(move || {
            // Touched before the runtime's variable, so destroyed after it.
            AT_EXIT.with(|slot| *slot.borrow_mut() = Some(AtExit(tx)));
            assert!(Handle::try_current().unwrap_err().is_missing_context());
        })
        .join()
        .unwrap();
        let error = rx.recv().unwrap();
        assert!(error.is_thread_local_destroyed());
        assert!(!error.is_missing_context());
        assert_eq!(error.to_string(), "The Tokio context thread-local variable has been destroyed.");
        assert_eq!(format!("{error:?}"), "TryCurrentError { kind: ThreadLocalDestroyed }");
    }

    #[test]
    fn is_the_one_of_the_runtime_around() {
        for rt in both() {
            let id = rt.handle().id();
            assert_eq!(rt.block_on(async { Handle::current().id() }), id);
            assert_eq!(rt.block_on(rt.spawn(async { Handle::current().id() })).unwrap(), id);
            assert_eq!(rt.block_on(rt.spawn_blocking(|| Handle::current().id())).unwrap(), id);
            assert_eq!(rt.handle().block_on(async { Handle::current().id() }), id);
            assert!(Handle::try_current().is_err());
        }
    }

    #[test]
    fn entering_nests() {
        let [a, b] = both();
        {
            let _a = a.enter();
            {
                let _b = b.handle().enter();
                assert_eq!(Handle::current().id(), b.handle().id());
            }
            assert_eq!(Handle::current().id(), a.handle().id());
        }
        assert!(Handle::try_current().is_err());
    }

    #[test]
    fn guards_are_dropped_in_reverse() {
        let (text, _) = panic_of(|| {
            let [a, b] = both();
            let first = a.enter();
            let second = b.enter();
            drop(first);
            drop(second);
        });
        assert_eq!(
            text,
            "`EnterGuard` values dropped out of order. Guards returned by \
             `tokio::runtime::Handle::enter()` must be dropped in the reverse order as they \
             were acquired."
        );
    }

    #[test]
    fn knows_its_runtime() {
        let [a, b] = both();
        assert_eq!(a.handle().runtime_flavor(), RuntimeFlavor::CurrentThread);
        assert_eq!(b.handle().runtime_flavor(), RuntimeFlavor::MultiThread);
        assert_ne!(a.handle().id(), b.handle().id());
        assert_eq!(a.handle().name(), None);

        let text = a.handle().id().to_string();
        let number: u64 = text.parse().unwrap();
        assert_eq!(format!("{:?}", a.handle().id()), format!("Id({number})"));

        let named = Builder::new_multi_thread().name(" billing ").worker_threads(1).build().unwrap();
        assert_eq!(named.handle().name(), Some(" billing "));
        assert_eq!(named.block_on(async { Handle::current().name().map(str::len) }), Some(9));
    }

    #[test]
    fn block_on_needs_no_driver() {
        for rt in both() {
            assert_eq!(rt.handle().block_on(async { 5 }), 5);
        }
    }

    #[test]
    fn block_on_may_follow_block_in_place() {
        let rt = multi_thread();
        let answer = rt.block_on(
            rt.spawn(async { tokio::task::block_in_place(|| Handle::current().block_on(async { 6 })) }),
        );
        assert_eq!(answer.unwrap(), 6);
    }

    #[test]
    fn outlives_its_runtime() {
        for rt in both() {
            let handle = rt.handle().clone();
            let metrics = rt.metrics();
            let workers = metrics.num_workers();
            drop(rt);

            let task = handle.spawn(async {});
            let error = current_thread().block_on(task).unwrap_err();
            assert!(error.is_cancelled());
            let task = handle.spawn_blocking(|| ());
            let error = current_thread().block_on(task).unwrap_err();
            assert!(error.is_cancelled());
            assert_eq!(handle.block_on(async { 8 }), 8);
            assert_eq!(metrics.num_workers(), workers);
        }
    }
}

mod runtime_itself {
    use super::*;

    #[test]
    fn does_not_nest() {
        for rt in both() {
            let handle = rt.handle().clone();
            let (text, _) = panic_of(|| rt.block_on(async { rt.block_on(async {}) }));
            assert_eq!(text, NESTED);
            assert_panics_here(NESTED, || rt.block_on(async { handle.block_on(async {}) }));
            assert_panics_here(NESTED, || handle.block_on(async { handle.block_on(async {}) }));

            let inner = handle.clone();
            let error = rt.block_on(rt.spawn(async move { inner.block_on(async {}) })).unwrap_err();
            let text = error.into_panic();
            assert_eq!(*text.downcast::<&str>().unwrap(), NESTED);
            // It still works.
            assert_eq!(rt.block_on(async { 1 }), 1);
        }
    }

    #[test]
    fn panics_of_the_future_come_through() {
        for rt in both() {
            assert_panics_here("boom", || rt.block_on(async { panic!("boom") }));
            assert_eq!(rt.block_on(async { 2 }), 2);
        }
    }

    #[test]
    fn runs_large_futures() {
        async fn large(n: u8) -> usize {
            let data = [n; 100_000];
            tokio::task::yield_now().await;
            data.iter().map(|&b| usize::from(b)).sum()
        }
        for rt in both() {
            assert_eq!(rt.block_on(large(1)), 100_000);
            assert_eq!(rt.block_on(rt.spawn(large(2))).unwrap(), 200_000);
            assert_eq!(rt.handle().block_on(large(3)), 300_000);
        }
    }

    #[test]
    fn is_driven_by_one_thread_after_another() {
        let rt = current_thread();
        let (tx, mut ticks) = tokio::sync::mpsc::unbounded_channel();
        rt.spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if tx.send(()).is_err() {
                    return;
                }
            }
        });
        for _ in 0..4 {
            thread::scope(|s| s.spawn(|| rt.block_on(ticks.recv())).join().unwrap()).unwrap();
        }
    }

    #[test]
    fn is_driven_for_several_threads_at_once() {
        let rt = current_thread();
        thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..20 {
                        rt.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
                    }
                });
            }
        });
    }

    #[test]
    fn debug() {
        let [a, b] = both();
        assert_eq!(
            format!("{a:?}"),
            "Runtime { scheduler: CurrentThread(CurrentThread), handle: Handle { inner: \
             CurrentThread(current_thread::Handle { ... }) }, blocking_pool: BlockingPool }"
        );
        assert_eq!(
            format!("{b:?}"),
            "Runtime { scheduler: MultiThread(MultiThread), handle: Handle { inner: \
             MultiThread(multi_thread::Handle { ... }) }, blocking_pool: BlockingPool }"
        );
        assert_eq!(
            format!("{:?}", a.metrics()),
            "RuntimeMetrics { handle: Handle { inner: \
             CurrentThread(current_thread::Handle { ... }) } }"
        );
        assert_eq!(format!("{:?}", a.handle().runtime_flavor()), "CurrentThread");
    }

    #[test]
    fn knows_the_worker_index() {
        assert_eq!(runtime::worker_index(), None);

        let rt = current_thread();
        assert_eq!(rt.block_on(async { runtime::worker_index() }), Some(0));
        assert_eq!(rt.block_on(rt.spawn(async { runtime::worker_index() })).unwrap(), Some(0));
        assert_eq!(rt.block_on(rt.spawn_blocking(runtime::worker_index)).unwrap(), None);

        let rt = multi_thread();
        assert_eq!(rt.block_on(async { runtime::worker_index() }), None);
        let index = rt.block_on(rt.spawn(async { runtime::worker_index() })).unwrap();
        assert!(index.unwrap() < 2);
    }

    #[test]
    fn counts() {
        for rt in both() {
            let metrics = rt.metrics();
            let workers = metrics.num_workers();
            assert_eq!(metrics.num_alive_tasks(), 0);
            let task = rt.spawn(std::future::pending::<()>());
            assert_eq!(metrics.num_alive_tasks(), 1);
            rt.block_on(rt.spawn(async { tokio::time::sleep(Duration::from_millis(2)).await })).unwrap();
            task.abort();
            assert!(rt.block_on(task).unwrap_err().is_cancelled());
            // A worker whose thread begins only now would have no time to.
            let deadline = Instant::now() + LONG;
            while (0..workers).any(|worker| metrics.worker_park_count(worker) == 0) {
                assert!(Instant::now() < deadline, "not every worker has slept");
                rt.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
            }
            drop(rt);
            for worker in 0..workers {
                assert!(metrics.worker_park_count(worker) > 0);
                assert!(metrics.worker_park_unpark_count(worker) >= metrics.worker_park_count(worker));
                assert!(metrics.worker_total_busy_duration(worker) > Duration::ZERO);
            }
        }
    }

    #[test]
    fn refuses_to_count_for_workers_it_lacks() {
        let metrics = multi_thread().metrics();
        for f in [
            |m: &RuntimeMetrics| {
                m.worker_park_count(2);
            },
            |m: &RuntimeMetrics| {
                m.worker_park_unpark_count(2);
            },
            |m: &RuntimeMetrics| {
                m.worker_total_busy_duration(2);
            },
        ] {
            panic_of(|| f(&metrics));
        }
    }

    #[test]
    fn a_sleeping_worker_shows_an_odd_count() {
        let rt = multi_thread();
        let metrics = rt.metrics();
        let deadline = Instant::now() + LONG;
        for worker in 0..2 {
            while metrics.worker_park_unpark_count(worker) & 1 == 0 {
                assert!(Instant::now() < deadline, "worker {worker} never sleeps");
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

mod shutdown {
    use super::*;

    struct NoteDrop(mpsc::Sender<bool>);
    impl Drop for NoteDrop {
        fn drop(&mut self) {
            let _ = self.0.send(Handle::try_current().is_ok());
        }
    }

    #[test]
    fn drops_tasks_in_context() {
        for rt in both() {
            let (tx, dropped) = mpsc::channel();
            let note = NoteDrop(tx);
            rt.spawn(async move {
                let _note = note;
                std::future::pending::<()>().await;
            });
            rt.block_on(async { tokio::task::yield_now().await });
            drop(rt);
            assert!(dropped.try_recv().expect("dropped by now"));
        }
    }

    /// H38
    #[test]
    fn is_refused_in_async_code() {
        for rt in both() {
            for victim in [current_thread, multi_thread] {
                let (text, _) = panic_of(|| rt.block_on(async { drop(victim()) }));
                assert_eq!(text, DROPPED_IN_ASYNC);
                let (text, _) = panic_of(|| {
                    rt.block_on(async { victim().shutdown_timeout(Duration::from_millis(1)) });
                });
                assert_eq!(text, DROPPED_IN_ASYNC);
            }
            assert_eq!(rt.block_on(async { 3 }), 3);
        }
    }

    #[test]
    fn in_the_background_is_fine_in_async_code() {
        for rt in both() {
            for victim in [current_thread, multi_thread] {
                let (tx, dropped) = mpsc::channel();
                rt.block_on(async {
                    let victim = victim();
                    let note = NoteDrop(tx);
                    victim.spawn(async move {
                        let _note = note;
                        std::future::pending::<()>().await;
                    });
                    victim.shutdown_background();
                });
                dropped.recv_timeout(LONG).expect("dropped sooner or later");
            }
        }
    }

    #[test]
    fn does_not_double_panic() {
        for victim in [current_thread, multi_thread] {
            let rt = current_thread();
            assert_panics_here("first", || {
                rt.block_on(async {
                    let _victim = victim();
                    panic!("first");
                });
            });
        }
    }

    #[test]
    fn waits_no_longer_than_told() {
        for rt in both() {
            let (tx, running) = mpsc::channel();
            let (end, ended) = mpsc::channel::<()>();
            let blocks = rt.spawn_blocking(move || {
                tx.send(()).unwrap();
                ended.recv_timeout(LONG)
            });
            running.recv().unwrap();
            let started = Instant::now();
            rt.shutdown_timeout(Duration::from_millis(50));
            let took = started.elapsed();
            assert!(took >= Duration::from_millis(50), "{took:?}");
            assert!(!blocks.is_finished(), "waited for it: {took:?}");
            drop(end);
        }
    }

    #[test]
    fn waits_for_blocking_work() {
        for rt in both() {
            let (tx, running) = mpsc::channel();
            let done = Arc::new(AtomicUsize::new(0));
            rt.spawn_blocking({
                let done = done.clone();
                move || {
                    tx.send(()).unwrap();
                    thread::sleep(Duration::from_millis(50));
                    done.store(1, SeqCst);
                }
            });
            running.recv().unwrap();
            drop(rt);
            assert_eq!(done.load(SeqCst), 1);
        }
    }

    #[test]
    fn io_types_say_that_it_happened() {
        for rt in both() {
            let listener = rt.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
            drop(rt);
            let error = current_thread().block_on(listener.accept()).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::Other);
            assert!(runtime::is_rt_shutdown_err(&error), "{error}");
            assert_eq!(error.to_string(), "A Tokio 1.x context was found, but it is being shutdown.");
        }
    }
}

mod traits {
    use super::*;
    use std::marker::PhantomData;
    use std::panic::{RefUnwindSafe, UnwindSafe};

    /// Whether a type has a trait: the inherent constant wins if its bound holds.
    macro_rules! has {
        ($type:ty: $bound:path) => {{
            #[allow(dead_code)]
            trait Otherwise {
                const YES: bool = false;
            }
            impl<T: ?Sized> Otherwise for T {}
            #[allow(dead_code)]
            struct If<T: ?Sized>(PhantomData<T>);
            #[allow(dead_code)]
            impl<T: ?Sized + $bound> If<T> {
                const YES: bool = true;
            }
            <If<$type>>::YES
        }};
    }

    macro_rules! traits {
        ($type:ty) => {
            [
                has!($type: Send),
                has!($type: Sync),
                has!($type: Unpin),
                has!($type: UnwindSafe),
                has!($type: RefUnwindSafe),
            ]
        };
    }

    #[test]
    fn are_those_of_tokio() {
        let (yes, no) = (true, false);
        assert_eq!(traits!(Runtime), [yes, yes, yes, yes, yes]);
        assert_eq!(traits!(Handle), [yes, yes, yes, yes, yes]);
        assert_eq!(traits!(RuntimeMetrics), [yes, yes, yes, yes, yes]);
        assert_eq!(traits!(RuntimeFlavor), [yes, yes, yes, yes, yes]);
        assert_eq!(traits!(TryCurrentError), [yes, yes, yes, yes, yes]);
        assert_eq!(traits!(Id), [yes, yes, yes, yes, yes]);
        assert_eq!(traits!(Builder), [yes, yes, yes, no, no]);
        assert_eq!(traits!(EnterGuard<'static>), [no, yes, yes, no, no]);
        assert_eq!(traits!(LocalRuntime), [no, no, yes, yes, yes]);
        assert_eq!(traits!(LocalOptions), [no, no, yes, yes, yes]);
    }

    #[test]
    fn signatures() {
        fn boxed<F: Future>(_: F) {}
        // `block_on` asks neither for `Send` nor for `'static`.
        let local = std::rc::Rc::new(1);
        assert_eq!(current_thread().block_on(async { *local }), 1);
        boxed(async {});
        let _: fn() -> std::io::Result<Runtime> = Runtime::new;
        let _: fn(&mut Builder) -> std::io::Result<Runtime> = Builder::build;
    }
}
