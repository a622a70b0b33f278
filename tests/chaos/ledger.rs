//! What a program leaves behind: its failures, where its parts are, what of it is alive.

use std::any::Any;
use std::cell::Cell;
use std::fmt::{Display, Write};
use std::panic::{self, Location};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// A panic that is part of the program.
pub struct Meant;

/// Why a part does not go on: an error that nobody expected, and where.
#[derive(Debug)]
pub struct Stop(pub String);

impl<E: Display> From<E> for Stop {
    #[track_caller]
    fn from(e: E) -> Stop {
        Stop(format!("{e}, at {}", Location::caller()))
    }
}

/// How a part ends.
pub type End = Result<(), Stop>;

/// Ends the part unless that is so.
#[macro_export]
macro_rules! check {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+).into());
        }
    };
}

#[derive(Default)]
struct Place {
    name: String,
    step: &'static str,
    steps: usize,
    is_over: bool,
}

/// What is written down about one program, and those inside it.
#[derive(Default)]
pub struct Ledger {
    failures: Mutex<Vec<String>>,
    places: Mutex<Vec<Place>>,
    alive: AtomicIsize,
    /// A runtime is being shut down, or was: there may be tasks that come too late.
    ending: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// What panics are written into.
static CURRENT: Mutex<Option<Arc<Ledger>>> = Mutex::new(None);

thread_local! {
    static HUSHED: Cell<bool> = const { Cell::new(false) };
}

/// Panics with something that is no failure.
pub fn panic_as_meant() -> ! {
    HUSHED.set(true);
    panic::panic_any(Meant)
}

/// Has all panics of the process written into the ledger of the program.
fn listen() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        panic::set_hook(Box::new(|info| {
            if HUSHED.replace(false) {
                return;
            }
            let text = said(info.payload());
            let Some(ledger) = lock(&CURRENT).clone() else { return eprintln!("{info}") };
            // What Tokio says to those who come too late.
            let is_late = text.contains("shutdown") || text.contains("shutting down");
            if !(is_late && ledger.ending.load(SeqCst)) {
                let thread = std::thread::current();
                let name = thread.name().unwrap_or("a thread");
                ledger.fail(format!("{name} panicked: {info}"));
            }
        }));
    });
}

fn said(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("")
}

impl Ledger {
    pub fn begin() -> Arc<Ledger> {
        listen();
        let ledger = Arc::<Ledger>::default();
        *lock(&CURRENT) = Some(ledger.clone());
        ledger
    }

    pub fn fail(&self, what: String) {
        lock(&self.failures).push(what);
    }

    pub fn failures(&self) -> Vec<String> {
        lock(&self.failures).clone()
    }

    /// A line for a part in what is printed if it hangs.
    pub fn place(&self, name: String) -> usize {
        let mut places = lock(&self.places);
        places.push(Place { name, ..Place::default() });
        places.len() - 1
    }

    pub fn step(&self, place: usize, step: &'static str) {
        let place = &mut lock(&self.places)[place];
        place.step = step;
        place.steps += 1;
    }

    pub fn over(&self, place: usize) {
        lock(&self.places)[place].is_over = true;
    }

    pub fn alive(&self) -> isize {
        self.alive.load(SeqCst)
    }

    /// From now on it is no failure if a panic says that the runtime is being shut down.
    pub fn end(&self) {
        self.ending.store(true, SeqCst);
    }

    /// What is going on.
    pub fn report(&self) -> String {
        let mut text = format!("{} futures and closures alive\n", self.alive());
        for place in lock(&self.places).iter().filter(|place| !place.is_over) {
            let _ = writeln!(text, "  {}: {} (step {})", place.name, place.step, place.steps);
        }
        text
    }
}

/// Counted while it lives: each future and closure has one.
pub struct Guard(Arc<Ledger>);

impl Guard {
    pub fn new(ledger: &Arc<Ledger>) -> Guard {
        ledger.alive.fetch_add(1, SeqCst);
        Guard(ledger.clone())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, SeqCst);
    }
}
