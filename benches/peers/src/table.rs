//! Rows of medians, one column a runtime.

use std::io;

use crate::side::Side;

/// What one row measured: nanoseconds by round and side; a side that cannot do it has none.
pub struct Row {
    pub name: String,
    pub rounds: Vec<Vec<Option<f64>>>,
}

/// Measures a row in turns; `measure` gets the index of a side.
pub fn measure(
    name: &str,
    rounds: usize,
    sides: usize,
    mut measure: impl FnMut(usize) -> io::Result<Option<f64>>,
) -> io::Result<Row> {
    let mut row = Row { name: name.to_owned(), rounds: Vec::new() };
    for round in 0..rounds {
        let mut figures = vec![None; sides];
        for turn in 0..sides {
            let side = (round + turn) % sides;
            figures[side] = measure(side)?;
        }
        row.rounds.push(figures);
    }
    Ok(row)
}

/// Prints the head of a table.
pub fn head(title: &str, sides: &[Side]) {
    let columns: String = sides.iter().map(|side| format!(" {:>18} |", side.to_string())).collect();
    println!("\n| {title:<28} |{columns}");
    println!("|{}|{}", "-".repeat(30), format!("{}:|", "-".repeat(19)).repeat(sides.len()));
}

impl Row {
    /// Prints the row: medians in microseconds, and ratios to the first side.
    pub fn print(&self) {
        let sides = self.rounds.first().map_or(0, Vec::len);
        let cells: String = (0..sides).map(|side| format!(" {:>18} |", self.cell(side))).collect();
        println!("| {:<28} |{cells}", self.name);
    }

    fn cell(&self, side: usize) -> String {
        let Some(time) = median(self.rounds.iter().filter_map(|round| round[side])) else {
            return "-".to_owned();
        };
        let ratios = self.rounds.iter().filter_map(|round| Some(round[side]? / round[0]?));
        match median(ratios) {
            Some(ratio) => format!("{:.2} us ({ratio:.2})", time / 1e3),
            None => format!("{:.2} us", time / 1e3),
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}
