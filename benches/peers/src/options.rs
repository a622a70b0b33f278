//! What is to be measured.

use std::io;

use crate::side::Side;

/// See the crate's docs.
pub struct Options {
    pub rounds: usize,
    /// Tokio's side is the first: the others are compared with it.
    pub sides: Vec<Side>,
    row: Option<String>,
}

pub fn read(mut arguments: impl Iterator<Item = String>) -> io::Result<Options> {
    let mut options = Options { rounds: 9, sides: Side::ALL.to_vec(), row: None };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| io::Error::other(format!("{argument} what?")));
        match argument.as_str() {
            "--rounds" => options.rounds = value()?.parse().map_err(io::Error::other)?,
            "--sides" => {
                let sides: Result<Vec<Side>, String> = value()?.split(',').map(str::parse).collect();
                options.sides = sides.map_err(io::Error::other)?;
                options.sides.retain(|&side| side != Side::Tokio);
                options.sides.insert(0, Side::Tokio);
            }
            _ => options.row = Some(argument),
        }
    }
    Ok(options)
}

impl Options {
    /// Is the row asked for?
    pub fn wants(&self, row: &str) -> bool {
        self.row.as_deref().is_none_or(|part| row.contains(part))
    }
}
