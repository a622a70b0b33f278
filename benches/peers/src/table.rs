//! Rows of medians, one column a runtime.

use std::io;

use crate::side::Side;

/// What one row measured: nanoseconds by round and side.
pub struct Row {
    name: String,
    rounds: Vec<Vec<f64>>,
}

/// Measures a row in turns; `measure` gets the index of a side.
pub fn measure(
    name: &str,
    rounds: usize,
    sides: usize,
    mut measure: impl FnMut(usize) -> io::Result<f64>,
) -> io::Result<Row> {
    let mut row = Row { name: name.to_owned(), rounds: Vec::new() };
    for round in 0..rounds {
        let mut figures = vec![0.0; sides];
        for turn in 0..sides {
            let side = (round + turn) % sides;
            figures[side] = measure(side)?;
        }
        row.rounds.push(figures);
    }
    Ok(row)
}

/// Prints a row of figures without a unit.
pub fn counts(name: &str, figures: impl IntoIterator<Item = f64>) {
    line(name, figures.into_iter().map(|figure| format!("{figure:.2}")));
}

fn line(name: &str, cells: impl IntoIterator<Item = String>) {
    let cells: String = cells.into_iter().map(|cell| format!(" {cell:>15} |")).collect();
    println!("| {name:<28} |{cells}");
}

/// Prints the head of a table.
pub fn head(title: &str, sides: &[Side]) {
    println!();
    line(title, sides.iter().map(Side::to_string));
    println!("|{}|{}", "-".repeat(30), format!("{}:|", "-".repeat(16)).repeat(sides.len()));
}

impl Row {
    /// Prints the row: medians in microseconds, and ratios to the first side.
    pub fn print(&self) {
        let sides = self.rounds.first().map_or(0, Vec::len);
        line(&self.name, (0..sides).map(|side| self.cell(side)));
    }

    fn cell(&self, side: usize) -> String {
        let time = median(self.rounds.iter().map(|round| round[side]));
        let ratio = median(self.rounds.iter().map(|round| round[side] / round[0]));
        format!("{:.2} us ({ratio:.2})", time / 1e3)
    }
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
