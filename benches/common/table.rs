//! The table of a bench.

use std::fmt;
use std::fs;

use super::numbers::{median, quartiles, time};

/// See the module docs.
pub struct Table {
    bench: &'static str,
    rounds: usize,
    lines: Vec<Line>,
}

/// One row; times in nanoseconds, tokio's first.
pub struct Line {
    name: String,
    medians: [f64; 2],
    minima: [f64; 2],
    /// The median of the rounds' ratios.
    ratio: f64,
    /// Half of them lie between these.
    quartiles: [f64; 2],
}

impl Line {
    pub fn new(name: &str, rounds: Vec<[f64; 2]>) -> Line {
        let side = |side: usize| rounds.iter().map(move |round| round[side]);
        let ratios = || rounds.iter().map(|[tokio, spargio]| spargio / tokio);
        Line {
            name: name.to_string(),
            medians: [median(side(0)), median(side(1))],
            minima: [side(0).fold(f64::INFINITY, f64::min), side(1).fold(f64::INFINITY, f64::min)],
            ratio: median(ratios()),
            quartiles: quartiles(ratios()),
        }
    }

    /// The medians and the ratio.
    pub fn figures(&self) -> ([f64; 2], f64) {
        (self.medians, self.ratio)
    }
}

impl Table {
    pub fn new(bench: &'static str, rounds: usize) -> Table {
        Table { bench, rounds, lines: Vec::new() }
    }

    pub fn rounds(&self) -> usize {
        self.rounds
    }

    pub fn add(&mut self, line: Line) {
        println!("{}/{line}", self.bench);
        self.lines.push(line);
    }

    /// The machine and the rows, as JSON.
    pub fn to_json(&self) -> String {
        let rows: Vec<String> = self.lines.iter().map(Line::to_json).collect();
        format!(
            "{{\n  \"bench\": {},\n  \"unit\": \"ns\",\n  \"rounds\": {},\n  \"kernel\": {},\n  \"cpu\": {},\n  \
             \"rows\": [\n    {}\n  ]\n}}\n",
            quoted(self.bench),
            self.rounds,
            quoted(&kernel()),
            quoted(&cpu()),
            rows.join(",\n    ")
        )
    }
}

impl Line {
    fn to_json(&self) -> String {
        let Line { name, medians, minima, ratio, quartiles: [first, third] } = self;
        let side =
            |side: usize| format!("{{ \"median\": {:.1}, \"min\": {:.1} }}", medians[side], minima[side]);
        let name = quoted(name);
        format!(
            "{{ \"name\": {name}, \"tokio\": {}, \"spargio\": {}, \"ratio\": {ratio:.3}, \"quartiles\": [{first:.3}, {third:.3}] }}",
            side(0),
            side(1)
        )
    }
}

fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .filter(|c| !c.is_control())
        .flat_map(|c| if c == '"' || c == '\\' { vec!['\\', c] } else { vec![c] })
        .collect();
    format!("\"{escaped}\"")
}

fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_string()
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<_> = info.lines().filter(|line| line.starts_with("model name")).collect();
    let model = models.first().and_then(|line| line.split_once(": ")).map_or("unknown", |(_, model)| model);
    format!("{} x {model}", models.len())
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Table { bench, rounds, lines } = self;
        writeln!(
            f,
            "{:<64} | {:>10} | {:>10} | ratio",
            format!("{bench}, medians of {rounds} rounds"),
            "tokio",
            "spargio"
        )?;
        writeln!(f, "{}|{}|{}|------", "-".repeat(65), "-".repeat(12), "-".repeat(12))?;
        lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { name, medians: [tokio, spargio], ratio, .. } = self;
        write!(f, "{name:<64} | {:>10} | {:>10} | {ratio:.2}", time(*tokio), time(*spargio))
    }
}
