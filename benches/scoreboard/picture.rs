//! The board as a picture: a bar for each row, which ends where its ratio is.

use std::fmt::Write;

use super::aims;
use super::board::{Board, Row};

/// All in pixels.
const LINE: usize = 18;
const NAMES: f64 = 520.0;
/// As long as Tokio's.
const ONE: f64 = 240.0;
/// Bars end here, at twice Tokio's.
const MOST: f64 = 2.0;

pub fn draw(board: &Board) -> String {
    let height = LINE * (board.rows.len() + 2);
    let width = NAMES + MOST * ONE + 60.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{NAMES}\" y=\"13\">time or CPU time in ratio to Tokio: shorter is better</text>\n"
    );
    for (n, row) in board.rows.iter().enumerate() {
        bar(&mut svg, row, LINE * (n + 1));
    }
    let one = NAMES + ONE;
    let end = height - LINE;
    let _ = write!(
        svg,
        "<line x1=\"{one}\" x2=\"{one}\" y1=\"{LINE}\" y2=\"{end}\" stroke=\"black\"/>\n</svg>\n"
    );
    svg
}

fn bar(svg: &mut String, row: &Row, top: usize) {
    let colour = if row.ratio <= aims::LIMIT { "#2a9d55" } else { "#c0392b" };
    let length = row.ratio.min(MOST) * ONE;
    let name = row.name.replace('&', "&amp;").replace('<', "&lt;");
    let baseline = top + LINE - 5;
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{baseline}\" text-anchor=\"end\">{name}</text>\
         <rect x=\"{NAMES}\" y=\"{}\" width=\"{length:.0}\" height=\"{}\" fill=\"{colour}\"/>\
         <text x=\"{:.0}\" y=\"{baseline}\">{:.2}</text>",
        NAMES - 8.0,
        top + 3,
        LINE - 6,
        NAMES + length + 4.0,
        row.ratio
    );
}
