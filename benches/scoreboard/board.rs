//! The rows of all benches, what they are to reach, and whether they do.

use std::fmt;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::numbers::time;
use super::{Result, aims, counts};

/// See the module docs.
#[derive(Default)]
pub struct Board {
    machine: String,
    pub rows: Vec<Row>,
}

/// Times in nanoseconds, or counts, tokio's first.
pub struct Row {
    /// With the name of its bench in front.
    pub name: String,
    medians: [f64; 2],
    pub ratio: f64,
    /// Half of the rounds' ratios lie between them.
    pub quartiles: [f64; 2],
}

impl Row {
    /// Of figures that are the same each time.
    pub fn exact(name: &str, medians: [f64; 2]) -> Row {
        let ratio = medians[1] / medians[0];
        Row { name: name.to_owned(), medians, ratio, quartiles: [ratio; 2] }
    }

    /// What it is to reach.
    pub fn aim(&self) -> f64 {
        aims::of(&self.name).unwrap_or(aims::LIMIT)
    }

    pub fn verdict(&self) -> &'static str {
        match self.ratio {
            ratio if ratio <= self.aim() => "met",
            ratio if ratio <= aims::LIMIT => "missed",
            _ => "SLOWER",
        }
    }

    fn from_json(bench: Option<&str>, row: &Value) -> Option<Row> {
        let name = row["name"].as_str()?;
        let number = |value: &Value| value.as_f64();
        let quartiles = &row["quartiles"];
        Some(Row {
            name: bench.map_or_else(|| name.to_owned(), |bench| format!("{bench}/{name}")),
            medians: [number(&row["tokio"]["median"])?, number(&row["spargio"]["median"])?],
            ratio: number(&row["ratio"])?,
            quartiles: [number(&quartiles[0])?, number(&quartiles[1])?],
        })
    }

    fn to_json(&self) -> Value {
        let [tokio, spargio] = self.medians.map(|median| json!({ "median": median }));
        json!({
            "name": self.name,
            "tokio": tokio,
            "spargio": spargio,
            "ratio": self.ratio,
            "quartiles": self.quartiles,
            "aim": self.aim(),
            "verdict": self.verdict(),
        })
    }
}

impl Board {
    /// Adds the rows of one bench.
    pub fn add(&mut self, figures: &Path) -> Result<()> {
        let figures = parse(figures)?;
        let bench = figures["bench"].as_str().ok_or("a bench without a name")?;
        let text = |key: &str| figures[key].as_str().unwrap_or("unknown").to_owned();
        self.machine = format!("Linux {}, {}", text("kernel"), text("cpu"));
        self.take(Some(bench), &figures)
    }

    /// One that was written.
    pub fn read(file: &Path) -> Result<Board> {
        let figures = parse(file)?;
        let machine = figures["machine"].as_str().unwrap_or("unknown").to_owned();
        let mut board = Board { machine, rows: Vec::new() };
        board.take(None, &figures)?;
        Ok(board)
    }

    fn take(&mut self, bench: Option<&str>, figures: &Value) -> Result<()> {
        for row in figures["rows"].as_array().ok_or("a board without rows")? {
            self.rows.push(Row::from_json(bench, row).ok_or_else(|| format!("not a row: {row}"))?);
        }
        Ok(())
    }

    pub fn write(&self, file: &Path) -> Result<()> {
        let rows: Vec<_> = self.rows.iter().map(Row::to_json).collect();
        let board = json!({ "machine": self.machine, "unit": "ns", "rows": rows });
        Ok(fs::write(file, format!("{board:#}\n"))?)
    }

    /// The rows that got worse by more than a tenth and by more than what each of the boards is sure of, with their
    /// ratios then and now.
    pub fn worse_than(&self, before: &Board) -> Vec<(&str, f64, f64)> {
        let was = |row: &Row| before.rows.iter().find(|was| was.name == row.name);
        let pairs = self.rows.iter().filter_map(|row| Some((row, was(row)?)));
        pairs
            .filter(|(row, was)| row.ratio > 1.1 * was.ratio && row.quartiles[0] > was.quartiles[1])
            .map(|(row, was)| (&*row.name, was.ratio, row.ratio))
            .collect()
    }
}

fn parse(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()).into())
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_count = self.name.starts_with(counts::BENCH);
        let [tokio, spargio] =
            self.medians.map(|median| if is_count { format!("{median:.0}") } else { time(median) });
        let [first, third] = self.quartiles;
        write!(
            f,
            "{:<72} | {tokio:>10} | {spargio:>10} | {:>5.2} | {first:.2} {third:.2} | {:.2} | {}",
            self.name,
            self.ratio,
            self.aim(),
            self.verdict()
        )
    }
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.machine)?;
        writeln!(f, "{:<72} | {:>10} | {:>10} | ratio | quartiles |  aim |", "row", "tokio", "spargio")?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        let count = |verdict: &str| self.rows.iter().filter(|row| row.verdict() == verdict).count();
        let has_aim = |row: &&Row| aims::of(&row.name).is_some();
        let aims = self.rows.iter().filter(has_aim).count();
        let met = self.rows.iter().filter(has_aim).filter(|row| row.verdict() == "met").count();
        write!(
            f,
            "\n{} rows; slower than {:.2} of Tokio: {}; aims met: {met} of {aims}",
            self.rows.len(),
            aims::LIMIT,
            count("SLOWER")
        )
    }
}
