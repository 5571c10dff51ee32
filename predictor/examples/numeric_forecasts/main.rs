//! How well the numeric forecasts do on series of real counters, and how the settings were chosen.
//!
//! ```text
//! cargo run --release -p predictor --example numeric_forecasts -- FOLDER [first=N] [KEY=VALUE[,VALUE]...]...
//! ```
//!
//! FOLDER holds series in the form of the Xeon-SP characterisation (`NNN.program.input.csv.gz`). Every KEY is one of
//! the settings; with several values all combinations are scored, and a leave-one-family-out choice among them: each family of programs by the
//! settings that were best on all others. Scores are explained in docs/numeric-forecasts.md.

mod levels;
mod score;

use std::collections::BTreeMap;
use std::path::Path;

use predictor::numeric::quantiles::SHARES;
use predictor::numeric::{NumericSettings, RawSettings};

use self::score::{HORIZONS, RATES, SLOTS, Series, Sums, mean, read, score};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().expect("give the folder of the series");
    let keys: Vec<(String, Vec<String>)> = arguments
        .map(|argument| {
            let (key, values) = argument.split_once('=').expect("KEY=VALUE");
            (key.to_owned(), values.split(',').map(str::to_owned).collect())
        })
        .collect();
    let first = keys.iter().find(|(key, _)| key == "first").map_or(5000, |(_, n)| n[0].parse().expect("a number"));
    let series = read(Path::new(&folder), first);
    let grid = grid(keys.iter().filter(|(key, _)| key != "first"));
    let scored: Vec<(String, Vec<[Sums; SLOTS]>)> = grid
        .iter()
        .map(|(name, settings)| (name.clone(), series.iter().map(|one| score(one, settings)).collect()))
        .collect();
    for (name, sums) in &scored {
        println!("{:.4} {name}: {}", total(sums), row(&mean(sums)));
    }
    if let [(_, sums)] = &scored[..] {
        detail(&series, sums);
        let by_levels: Vec<_> = series.iter().map(levels::score).collect();
        println!("levels by phase: {}", row(&mean(&by_levels)));
    } else {
        println!("left out: {}", row(&mean(&left_out(&series, &scored))));
    }
}

fn grid<'a>(keys: impl Iterator<Item = &'a (String, Vec<String>)>) -> Vec<(String, NumericSettings)> {
    let mut grid = vec![(String::new(), RawSettings::from(NumericSettings::default()))];
    for (key, values) in keys {
        let with = |(name, raw): &(String, RawSettings), value: &String| {
            let mut raw = raw.clone();
            let expected = "a number";
            match key.as_str() {
                "history_quanta" => raw.history_quanta = value.parse().expect(expected),
                "loss_memory" => raw.loss_memory = value.parse().expect(expected),
                "sharpness" => raw.sharpness = value.parse().expect(expected),
                "quantile_step" => raw.quantile_step = value.parse().expect(expected),
                _ => panic!("{key} is no setting"),
            }
            (format!("{name} {key}={value}"), raw)
        };
        grid = grid.iter().flat_map(|base| values.iter().map(move |value| with(base, value))).collect();
    }
    grid.into_iter().map(|(name, raw)| (name, NumericSettings::try_from(raw).expect("settings in range"))).collect()
}

fn total(sums: &[[Sums; SLOTS]]) -> f64 {
    mean(sums).iter().sum::<f64>() / SLOTS as f64
}

/// For each family the scores of the settings that are best on all other families.
fn left_out(series: &[Series], scored: &[(String, Vec<[Sums; SLOTS]>)]) -> Vec<[Sums; SLOTS]> {
    let mut chosen: BTreeMap<&str, usize> = BTreeMap::new();
    let choice = |one: &Series| {
        let others = |sums: &[[Sums; SLOTS]]| {
            let kept: Vec<_> = series.iter().zip(sums).filter(|(other, _)| other.family != one.family).collect();
            total(&kept.into_iter().map(|(_, sums)| *sums).collect::<Vec<_>>())
        };
        (0..scored.len()).min_by(|a, b| others(&scored[*a].1).total_cmp(&others(&scored[*b].1))).expect("a setting")
    };
    let sums = series.iter().enumerate().map(|(place, one)| {
        let best = choice(one);
        *chosen.entry(scored[best].0.as_str()).or_default() += 1;
        scored[best].1[place]
    });
    let sums = sums.collect();
    println!("chosen for how many series: {chosen:?}");
    sums
}

fn row(values: &[f64; SLOTS]) -> String {
    values.map(|value| format!("{value:.3}")).join(" ")
}

fn detail(series: &[Series], sums: &[[Sums; SLOTS]]) {
    let columns: Vec<String> =
        RATES.iter().flat_map(|rate| HORIZONS.map(|horizon| format!("{rate} +{horizon}"))).collect();
    println!("{:24} {}", "series", columns.join(" "));
    for (one, sums) in series.iter().zip(sums) {
        println!("{:24} {}", one.name, row(&sums.map(|sums| sums.error / sums.last_value_error)));
    }
    let over = |of: &dyn Fn(&Sums) -> f64| {
        let mean = |slot: usize| sums.iter().map(|sums| of(&sums[slot])).sum::<f64>() / sums.len() as f64;
        row(&std::array::from_fn(mean))
    };
    for (place, share) in SHARES.iter().enumerate() {
        println!("{:24} {}", format!("at most quantile {share}"), over(&|sums| sums.below[place] / sums.count));
        let off = |sums: &Sums| (sums.below[place] / sums.count - share).abs();
        let worst = |slot: usize| sums.iter().map(|sums| off(&sums[slot])).fold(0.0, f64::max);
        println!("{:24} {}", "  furthest off", row(&std::array::from_fn(worst)));
    }
    println!(
        "{:24} {}",
        "pinball / last error",
        over(&|sums| sums.pinball / sums.last_value_error * sums.count / sums.count)
    );
    println!(
        "{:24} {}",
        "mean: squared / median's",
        over(&|sums| sums.squared_error_of_mean / sums.squared_error_of_median)
    );
}
