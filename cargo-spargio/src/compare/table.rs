//! What both cost, side by side.

use std::fmt::Write;

use super::SIDES;
use super::measure::Run;

/// How long the longest bar is.
const WIDTH: usize = 30;

/// A row of the table: its name, its unit, and how to get at it.
type Row = (&'static str, &'static str, fn(&Run) -> f64);

pub(super) fn table(runs: &[Vec<Run>; 2], calls: [Option<f64>; 2], has_load: bool) -> String {
    let rows: [Row; 4] = [
        (if has_load { "load" } else { "wall" }, "ms", |run| run.wall * 1e3),
        ("CPU", "ms", |run| run.cpu * 1e3),
        ("memory", "MiB", |run| run.memory / 1024.0),
        ("switches", "", |run| run.switches),
    ];
    let mut text = String::new();
    for (name, unit, figure) in rows {
        let both = [0, 1].map(|side| median(runs[side].iter().map(figure).collect()));
        row(&mut text, name, unit, both);
    }
    if let [Some(tokio), Some(spargio)] = calls {
        row(&mut text, "system calls", "", [tokio, spargio]);
    }
    let rounds = runs[0].len();
    let _ = writeln!(text, "Medians of {rounds} rounds, in turns. Below 1.00 spargio takes less.");
    text
}

fn row(text: &mut String, name: &str, unit: &str, both: [f64; 2]) {
    let longest = both[0].max(both[1]).max(f64::MIN_POSITIVE);
    for (side, figure) in both.into_iter().enumerate() {
        let bar =
            "█".repeat(((figure / longest * WIDTH as f64).round() as usize).max(usize::from(figure > 0.0)));
        let name = if side == 0 { name } else { "" };
        let digits = if unit.is_empty() { 0 } else { 1 };
        let _ = write!(text, "{name:<13} {:<8} {figure:>10.digits$} {unit:<4} {bar:<WIDTH$}", SIDES[side]);
        let ratio =
            if side == 1 && both[0] > 0.0 { format!(" {:.2}", both[1] / both[0]) } else { String::new() };
        let line = text.trim_end().len();
        text.truncate(line);
        let _ = writeln!(text, "{ratio}");
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => 0.0,
        n if n % 2 == 1 => figures[n / 2],
        n => f64::midpoint(figures[n / 2 - 1], figures[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_shown_and_the_ratio() {
        let runs = [[2.0, 1.0, 9.0], [1.0, 0.5, 1.5]]
            .map(|walls| walls.map(|wall| Run { wall, cpu: wall, memory: 2048.0, switches: 10.0 }).to_vec());
        let text = table(&runs, [Some(100.0), Some(25.0)], false);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("wall          Tokio        2000.0 ms"), "{text}");
        assert!(lines[1].contains("1000.0 ms") && lines[1].ends_with(" 0.50"), "{text}");
        assert_eq!(lines[0].matches('█').count(), 30);
        assert_eq!(lines[1].matches('█').count(), 15);
        assert!(text.contains("system calls  Tokio           100"), "{text}");
        assert_eq!(table(&runs, [None, Some(1.0)], true).matches("load").count(), 1);
        assert_eq!(median(vec![1.0, 2.0]), 1.5);
    }
}
