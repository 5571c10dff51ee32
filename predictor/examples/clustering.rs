//! k-means on points in a file, from a start in a file, timed: our side of `bench/against-python`.
//!
//! `clustering POINTS START DIMENSIONS [portable]`: both files are rows of little-endian `f32`. Prints a line of JSON with inertia,
//! steps and the CPU time of this thread.

use std::error::Error;

use predictor::phases::kmeans::{Points, Sequential, Settings, fit_from};
use predictor::simd::Lanes;

fn floats(path: &str) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = std::fs::read(path).map_err(|error| format!("failed to read {path}: {error}"))?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split_whitespace().next().ok_or("no time in schedstat")?.parse::<f64>()? / 1e9)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [points, start, dimensions, options @ ..] = &arguments[..] else {
        return Err("usage: clustering POINTS START DIMENSIONS [portable]".into());
    };
    let dimensions: usize = dimensions.parse()?;
    let (values, start) = (floats(points)?, floats(start)?);
    let start: Vec<Vec<f32>> = start.chunks(dimensions).map(<[f32]>::to_vec).collect();
    let has = |name: &str| options.iter().any(|option| option == name);
    let lanes = if has("portable") { Lanes::Portable } else { Lanes::widest() };
    let settings = Settings { lanes, ..Settings::default() };
    let before = cpu_seconds()?;
    let fit = fit_from(&Points::new(&values, dimensions)?, &start, &settings, &Sequential)?;
    let seconds = cpu_seconds()? - before;
    println!("{{\"seconds\": {seconds:.6}, \"inertia\": {:.4}, \"steps\": {}}}", fit.inertia, fit.steps);
    Ok(())
}
