//! Figures, and how to say them.
// Each bench uses a part.
#![allow(dead_code)]

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Not of nothing.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let values = sorted(values);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// What a quarter, and three quarters, are not above. Not of nothing.
pub fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let values = sorted(values);
    [1, 3].map(|quarters| values[quarters * (values.len() - 1) / 4])
}

/// Nanoseconds, with a unit.
pub fn time(nanos: f64) -> String {
    match nanos {
        n if n < 1e3 => format!("{n:.1} ns"),
        n if n < 1e6 => format!("{:.2} µs", n / 1e3),
        n if n >= 1e9 => format!("{:.2} s", n / 1e9),
        n => format!("{:.2} ms", n / 1e6),
    }
}
