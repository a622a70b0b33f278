//! Any number of sides of a figure, measured in turns.
//!
//! As in `common`, each round has a turn of every side, and who goes first goes round: what disturbs the machine
//! disturbs whoever happens to run.

use super::numbers::median;

/// A side's turn: its figures.
pub type Turn<'a> = Box<dyn FnMut() -> Vec<f64> + 'a>;

/// What came of all rounds: of each the sides, of each its figures.
pub struct Rounds(Vec<Vec<Vec<f64>>>);

impl Rounds {
    pub fn measure(rounds: usize, sides: &mut [Turn<'_>]) -> Rounds {
        let mut all = Rounds(Vec::new());
        all.go_on(rounds, sides);
        all
    }

    /// So many rounds more.
    pub fn go_on(&mut self, rounds: usize, sides: &mut [Turn<'_>]) {
        for _ in 0..rounds {
            let mut figures = vec![Vec::new(); sides.len()];
            for turn in 0..sides.len() {
                let side = (self.0.len() + turn) % sides.len();
                figures[side] = sides[side]();
            }
            self.0.push(figures);
        }
    }

    pub fn median(&self, side: usize, figure: usize) -> f64 {
        median(self.0.iter().map(|round| round[side][figure]))
    }

    /// The median of the rounds' ratios: what is slow for a while is so for both.
    pub fn ratio(&self, side: usize, beside: usize, figure: usize) -> f64 {
        median(self.0.iter().map(|round| round[side][figure] / round[beside][figure]))
    }
}

/// Whether an aim is met, for the eye and for `grep`.
pub fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}
