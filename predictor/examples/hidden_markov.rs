//! Baum-Welch on a sequence in a file, from a start in a file, timed: our side of `bench/against-python`.
//!
//! `hidden_markov SEQUENCE START STATES DIMENSIONS STEPS [portable]`: files of little-endian `f64`; the start is initial
//! probabilities, transitions, means and variances, each by rows. Prints a line of JSON with the log likelihood before
//! the last step and the CPU time of this thread.

use std::error::Error;

use predictor::forecast::hidden_markov::gaussian::GaussianHmm;
use predictor::simd::Lanes;

fn floats(path: &str) -> Result<Vec<f64>, Box<dyn Error>> {
    let bytes = std::fs::read(path).map_err(|error| format!("failed to read {path}: {error}"))?;
    Ok(bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
}

fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split_whitespace().next().ok_or("no time in schedstat")?.parse::<f64>()? / 1e9)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [sequence, start, states, dimensions, steps, options @ ..] = &arguments[..] else {
        return Err("usage: hidden_markov SEQUENCE START STATES DIMENSIONS STEPS [portable]".into());
    };
    let (states, dimensions, steps): (usize, usize, usize) = (states.parse()?, dimensions.parse()?, steps.parse()?);
    let (sequence, start) = (floats(sequence)?, floats(start)?);
    let rows =
        |from: usize, width: usize| start[from..from + states * width].chunks(width).map(<[f64]>::to_vec).collect();
    let means = states + states * states;
    let model = GaussianHmm::new(
        start[..states].to_vec(),
        rows(states, states),
        rows(means, dimensions),
        rows(means + states * dimensions, dimensions),
    )?;
    let portable = options.iter().any(|option| option == "portable");
    let lanes = if portable { Lanes::Portable } else { Lanes::widest() };
    let before = cpu_seconds()?;
    let trained = model.baum_welch(&[&sequence], steps, lanes)?;
    let seconds = cpu_seconds()? - before;
    let log_likelihood = trained.log_likelihoods.last().ok_or("no step")?;
    println!("{{\"seconds\": {seconds:.6}, \"log_likelihood\": {log_likelihood:.6}}}");
    Ok(())
}
