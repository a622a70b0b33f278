//! The table and the bars at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use super::kernel::Waiting;
use super::side::Side;

/// What one turn of one server gave.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub requests_per_second: f64,
    /// In µs.
    pub p50: f64,
    pub p99: f64,
    /// In µs.
    pub cpu: f64,
    pub sleeps: f64,
}

impl Turn {
    /// `latencies`, in nanoseconds, are sorted here.
    pub fn new(elapsed: Duration, cpu: Duration, sleeps: u64, latencies: &mut [u32]) -> Turn {
        latencies.sort_unstable();
        let requests = latencies.len().max(1) as f64;
        let quantile = |q: f64| {
            let index = (latencies.len() as f64 * q) as usize;
            latencies.get(index).or(latencies.last()).map_or(0.0, |&nanos| f64::from(nanos) / 1e3)
        };
        Turn {
            requests_per_second: requests / elapsed.as_secs_f64(),
            p50: quantile(0.5),
            p99: quantile(0.99),
            cpu: cpu.as_secs_f64() * 1e6 / requests,
            sleeps: sleeps as f64 / requests,
        }
    }
}

/// All that is known of one side.
#[derive(Debug, Default)]
pub struct Measured {
    pub turns: Vec<Turn>,
    pub waiting: Waiting,
    /// Ring entries submitted, and completions, for each request.
    pub ring_traffic: (f64, f64),
    /// System calls for each request, by name.
    pub calls: Option<BTreeMap<String, f64>>,
}

impl Measured {
    fn total_calls(&self) -> Option<f64> {
        self.calls.as_ref().map(|calls| calls.values().sum())
    }

    fn backend(&self) -> String {
        let Waiting { epoll_watches, rings, .. } = self.waiting;
        let watched = format!("{epoll_watches} descriptors watched");
        if rings == 0 {
            return watched;
        }
        let (submitted, completed) = self.ring_traffic;
        format!(
            "{watched}; {rings} ring(s): for each request {submitted:.2} submissions and {completed:.2} completions"
        )
    }
}

/// The median; `values` is not empty.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// A row of the table.
struct Row {
    name: &'static str,
    value: fn(&Turn) -> f64,
    digits: usize,
    /// Bars below the table, with this title.
    bars: Option<&'static str>,
}

const ROWS: [Row; 5] = [
    Row {
        name: "requests/s",
        value: |turn| turn.requests_per_second,
        digits: 0,
        bars: Some("requests/s (more is better)"),
    },
    Row { name: "latency p50, µs", value: |turn| turn.p50, digits: 0, bars: None },
    Row {
        name: "latency p99, µs",
        value: |turn| turn.p99,
        digits: 0,
        bars: Some("latency p99, µs (less is better)"),
    },
    Row {
        name: "server CPU per request, µs",
        value: |turn| turn.cpu,
        digits: 2,
        bars: Some("server CPU per request, µs (less is better)"),
    },
    Row { name: "server sleeps per request", value: |turn| turn.sleeps, digits: 3, bars: None },
];

/// Prints everything; the order is that of [`Side::BOTH`].
pub fn print(measured: &[Measured; 2]) {
    let [tokio, spargio] = measured;
    println!("\n{:<30}{:>12}{:>12}{:>18}", "medians of all rounds", "tokio", "spargio", "spargio / tokio");
    for Row { name, value, digits, .. } in &ROWS {
        let [a, b] = medians(measured, *value);
        let ratios = tokio.turns.iter().zip(&spargio.turns).map(|(a, b)| value(b) / value(a)).collect();
        println!("{name:<30}{a:>12.digits$}{b:>12.digits$}{:>18.2}", median(ratios));
    }
    match [tokio.total_calls(), spargio.total_calls()] {
        [Some(a), Some(b)] => println!("{:<30}{a:>12.2}{b:>12.2}{:>18.2}", "system calls per request", b / a),
        _ => println!("{:<30}{:>12}{:>12}   (install strace)", "system calls per request", "n/a", "n/a"),
    }

    println!();
    for (side, measured) in Side::BOTH.into_iter().zip(measured) {
        println!("{side:<9}{}", measured.backend());
        if let Some(calls) = &measured.calls {
            println!("{:<9}{}", "", calls_by_name(calls));
        }
    }

    for Row { value, digits, bars, .. } in &ROWS {
        let Some(title) = bars else { continue };
        println!("\n{title}");
        let values = medians(measured, *value);
        let longest = values[0].max(values[1]);
        for (side, value) in Side::BOTH.into_iter().zip(values) {
            println!("  {side:<9}{} {value:.digits$}", bar(value / longest));
        }
    }
}

fn medians(measured: &[Measured; 2], value: fn(&Turn) -> f64) -> [f64; 2] {
    measured.each_ref().map(|measured| median(measured.turns.iter().map(value).collect()))
}

/// The calls that matter, the most frequent first.
fn calls_by_name(calls: &BTreeMap<String, f64>) -> String {
    let mut calls: Vec<_> = calls.iter().filter(|&(_, &count)| count >= 0.005).collect();
    calls.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let calls: Vec<_> = calls.into_iter().map(|(name, count)| format!("{name} {count:.2}")).collect();
    format!("system calls for each request: {}", calls.join(", "))
}

/// A bar, to an eighth of a character.
fn bar(share: f64) -> String {
    const WIDTH: f64 = 48.0;
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = if share.is_finite() { (share * WIDTH * 8.0).round() as usize } else { 0 };
    "█".repeat(eighths / 8) + PARTS[eighths % 8]
}
