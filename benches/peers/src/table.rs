//! Rows of medians, one column a runtime.

use std::io;

use crate::options::Options;
use crate::side::Side;

/// A table that is printed as it grows.
pub struct Table<'a> {
    group: &'static str,
    title: &'static str,
    options: &'a Options,
    has_head: bool,
}

impl<'a> Table<'a> {
    pub fn new(group: &'static str, title: &'static str, options: &'a Options) -> Table<'a> {
        Table { group, title, options, has_head: false }
    }

    /// Is the row asked for?
    pub fn wants(&self, row: &str) -> bool {
        self.options.wants(&format!("{}/{row}", self.group))
    }

    /// Measures a row in turns; `measure` gets the index of a side, and returns nanoseconds.
    pub fn row(&mut self, name: &str, mut measure: impl FnMut(usize) -> io::Result<f64>) -> io::Result<()> {
        let sides = self.options.sides.len();
        let mut rounds = Vec::new();
        for round in 0..self.options.rounds {
            let mut figures = vec![0.0; sides];
            for turn in 0..sides {
                let side = (round + turn) % sides;
                figures[side] = measure(side)?;
            }
            rounds.push(figures);
        }
        self.line(name, (0..sides).map(|side| cell(&rounds, side)));
        Ok(())
    }

    /// Prints figures without a unit.
    pub fn counts(&mut self, name: &str, figures: impl IntoIterator<Item = f64>) {
        self.line(name, figures.into_iter().map(|figure| format!("{figure:.2}")));
    }

    fn line(&mut self, name: &str, cells: impl IntoIterator<Item = String>) {
        if !std::mem::replace(&mut self.has_head, true) {
            let sides = &self.options.sides;
            println!();
            line(&format!("{}: {}", self.group, self.title), sides.iter().map(Side::to_string));
            println!("|{}|{}", "-".repeat(32), format!("{}:|", "-".repeat(16)).repeat(sides.len()));
        }
        line(name, cells);
    }
}

fn line(name: &str, cells: impl IntoIterator<Item = String>) {
    let cells: String = cells.into_iter().map(|cell| format!(" {cell:>15} |")).collect();
    println!("| {name:<30} |{cells}");
}

/// The median of a side in microseconds, and that of the rounds' ratios to the first side.
fn cell(rounds: &[Vec<f64>], side: usize) -> String {
    let time = median(rounds.iter().map(|round| round[side]));
    let ratio = median(rounds.iter().map(|round| round[side] / round[0]));
    format!("{:.2} us ({ratio:.2})", time / 1e3)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}
