//! Both sides of a figure, measured in turns.
//!
//! A machine that does other things at the same time disturbs whoever happens to run. So each row is
//! measured in many short rounds, in each round on both sides, and who goes first alternates. The
//! table shows each side's median and the median of the rounds' ratios. Criterion then measures the
//! same functions in its own way, for its statistics and its comparison with the run before.
//!
//! What a function returns is CPU time, unless the row's name says `wall`: criterion's `time` is
//! that, too.
//!
//! ```text
//! cargo bench                                       # all of it
//! cargo bench --bench tasks -- yield                # rows whose name has `yield` in it
//! SPARGIO_BENCH=table cargo bench                   # the tables only, without criterion
//! SPARGIO_FIGURES=benches/figures cargo bench       # the tables as JSON, too
//! ```

use std::time::Duration;
use std::{env, fs};

use criterion::Criterion;

mod numbers;
pub mod run;
mod table;

use table::{Line, Table};

/// Measures `$method` of a subject with `$workers` workers, on both sides: a `Subject` of `on_tokio` and of `on_spargio`.
#[allow(unused_macros)]
macro_rules! row {
    ($bench:expr, $name:expr, $workers:expr, $clock:expr, $elements:expr, $method:ident $(, $more:expr)*) => {
        if $bench.wants($name) {
            let tokio = on_tokio::Subject::new($workers);
            let spargio = on_spargio::Subject::new($workers);
            $bench.row(
                $name,
                $elements,
                &mut |n| time_of($clock, || tokio.$method(n $(, $more)*)),
                &mut |n| time_of($clock, || spargio.$method(n $(, $more)*)),
            );
        }
    };
}

/// Rounds, each with a turn of both sides.
const ROUNDS: usize = 15;
/// What a turn should measure; a row chooses its number of iterations accordingly.
const TURN: Duration = Duration::from_millis(12);

/// Measures some iterations.
pub type Measure<'a> = &'a mut dyn FnMut(u64) -> Duration;

/// One bench: rows, one after the other.
pub struct Bench {
    name: &'static str,
    criterion: Option<Criterion>,
    table: Option<Table>,
}

impl Bench {
    pub fn new(name: &'static str) -> Bench {
        Bench::with_rounds(name, ROUNDS)
    }

    pub fn with_rounds(name: &'static str, rounds: usize) -> Bench {
        let has = |flag: &str| env::args().any(|argument| argument == flag);
        // For `cargo test` criterion runs each once.
        let measures = run::is_asked_for() && !has("--list") && !has("--test");
        let criterion = Criterion::default()
            .without_plots()
            .sample_size(10)
            .nresamples(10_000)
            .warm_up_time(Duration::from_millis(100))
            .measurement_time(Duration::from_millis(400))
            .configure_from_args();
        let table_only = measures && env::var("SPARGIO_BENCH").is_ok_and(|what| what == "table");
        Bench {
            name,
            criterion: (!table_only).then_some(criterion),
            table: measures.then(|| Table::new(name, rounds)),
        }
    }

    /// Is the row asked for? Those that take long to set up are not set up otherwise.
    pub fn wants(&self, row: &str) -> bool {
        let id = format!("{}/{row}", self.name);
        run::wants(&id)
    }

    /// Measures a row: the time of one of `elements` things that each iteration does.
    pub fn row(&mut self, row: &str, elements: u64, tokio: Measure<'_>, spargio: Measure<'_>) {
        if !self.wants(row) {
            return;
        }
        if self.table.is_some() {
            let iterations = run::calibrate(TURN, &mut *tokio).max(run::calibrate(TURN, &mut *spargio));
            let things = (iterations * elements) as f64;
            let measure =
                |measure: &mut dyn FnMut(u64) -> Duration| vec![nanos(measure(iterations)) / things];
            self.in_turns(&[row], &mut || measure(tokio), &mut || measure(spargio));
        }
        self.criterion(row, tokio, spargio);
    }

    /// Adds rows to the table, which are measured together: what the functions return, in nanoseconds,
    /// belongs to `rows`. Returns each side's medians, tokio's first, and their ratio; nothing if there is no table.
    pub fn in_turns(
        &mut self,
        rows: &[&str],
        tokio: &mut dyn FnMut() -> Vec<f64>,
        spargio: &mut dyn FnMut() -> Vec<f64>,
    ) -> Vec<([f64; 2], f64)> {
        let mut figures = Vec::new();
        let Some(table) = &mut self.table else { return figures };
        let mut rounds = Vec::new();
        for round in 0..table.rounds() {
            rounds.push(if round % 2 == 0 {
                let first = tokio();
                [first, spargio()]
            } else {
                let first = spargio();
                [tokio(), first]
            });
        }
        for (index, row) in rows.iter().enumerate() {
            let rounds = rounds.iter().map(|[tokio, spargio]| [tokio[index], spargio[index]]).collect();
            let line = Line::new(row, rounds);
            figures.push(line.figures());
            table.add(line);
        }
        figures
    }

    /// Has criterion measure a row.
    pub fn criterion(&mut self, row: &str, tokio: Measure<'_>, spargio: Measure<'_>) {
        let Some(criterion) = &mut self.criterion else {
            return;
        };
        let mut group = criterion.benchmark_group(format!("{}/{row}", self.name));
        group.bench_function("tokio", |bencher| bencher.iter_custom(&mut *tokio));
        group.bench_function("spargio", |bencher| bencher.iter_custom(&mut *spargio));
        group.finish();
    }

    /// Prints the table.
    pub fn finish(self) {
        if let Some(criterion) = self.criterion {
            criterion.final_summary();
        }
        let Some(table) = self.table else { return };
        println!("\n{table}");
        if let Some(folder) = env::var_os("SPARGIO_FIGURES") {
            let path = std::path::Path::new(&folder).join(format!("{}.json", self.name));
            let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, table.to_json()));
            match written {
                Ok(()) => println!("written to {}", path.display()),
                Err(error) => eprintln!("error: cannot write {}: {error}", path.display()),
            }
        }
    }
}

pub fn nanos(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}
