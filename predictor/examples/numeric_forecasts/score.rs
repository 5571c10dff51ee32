//! Series of real counters as rates, and the scores of numeric forecasts on them.

use std::path::Path;
use std::process::Command;

use predictor::numeric::quantiles::SHARES;
use predictor::numeric::{NumericForecaster, NumericSettings};

pub(crate) const RATES: [&str; 2] = ["cpi", "mpki"];
pub(crate) const HORIZONS: [u32; 3] = [1, 4, 16];
pub(crate) const SLOTS: usize = RATES.len() * HORIZONS.len();

/// Programs that are one program under two names.
const FAMILIES: [(&str, &str); 6] = [
    ("omnetpp_r", "omnetpp"),
    ("bwaves_r", "bwaves"),
    ("cactuBSSN_r", "cactusADM"),
    ("mcf_r", "mcf"),
    ("lbm_r", "lbm"),
    ("perlbench_r", "perlbench"),
];

pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) family: String,
    pub(crate) rates: Vec<[f64; 2]>,
}

/// Sums over the forecasts of one rate at one horizon.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    pub(crate) error: f64,
    pub(crate) last_value_error: f64,
    pub(crate) squared_error_of_mean: f64,
    pub(crate) squared_error_of_median: f64,
    pub(crate) below: [f64; 3],
    pub(crate) pinball: f64,
    pub(crate) count: f64,
}

pub(crate) fn read(folder: &Path, first: usize) -> Vec<Series> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.iter().map(|file| series(file, first)).collect()
}

fn series(file: &Path, first: usize) -> Series {
    let text = Command::new("gzip").arg("-dc").arg(file).output().expect("gzip runs").stdout;
    let text = String::from_utf8(text).expect("ASCII");
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let mut rates: Vec<[f64; 2]> = lines
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let value = |name: &str| -> f64 {
                let column = header.iter().position(|column| *column == name).expect("a known column");
                fields[column].parse().expect("a number")
            };
            let cpi = value("cycles_run1") / value("instr_run1");
            let misses =
                value("llc_rd_miss_run2") / value("instr_run2") + value("llc_wr_miss_run1") / value("instr_run1");
            [cpi, 1000.0 * misses]
        })
        .collect();
    // The last interval may be a short one.
    rates.pop();
    rates.truncate(first);
    let name = file.file_name().expect("a file").to_string_lossy().replace(".csv.gz", "");
    let program = name.split('.').nth(1).expect("NNN.program.input");
    let family = FAMILIES.iter().find(|(alias, _)| *alias == program).map_or(program, |(_, family)| family);
    Series { family: family.to_owned(), name, rates }
}

/// Forecasts one series online: each value is forecast before it is shown.
pub(crate) fn score(series: &Series, settings: &NumericSettings) -> [Sums; SLOTS] {
    let mut forecaster = NumericForecaster::new(RATES.len(), settings);
    let mut sums = [Sums::default(); SLOTS];
    for (now, rates) in series.rates.iter().enumerate() {
        forecaster.observe(&rates.map(Some));
        for (slot, sums) in sums.iter_mut().enumerate() {
            let (rate, horizon) = (slot / HORIZONS.len(), HORIZONS[slot % HORIZONS.len()]);
            let Some(to_come) = series.rates.get(now + horizon as usize) else { continue };
            let forecast = forecaster.forecast(rate, horizon).expect("a rate was seen");
            let value = to_come[rate];
            sums.count += 1.0;
            sums.error += (forecast.median() - value).abs();
            sums.last_value_error += (rates[rate] - value).abs();
            sums.squared_error_of_mean += (forecast.mean - value).powi(2);
            sums.squared_error_of_median += (forecast.median() - value).powi(2);
            for (place, (quantile, share)) in forecast.quantiles.into_iter().zip(SHARES).enumerate() {
                sums.below[place] += f64::from(u8::from(value <= quantile));
                sums.pinball += (value - quantile) * (share - f64::from(u8::from(value < quantile))) / 3.0;
            }
        }
    }
    sums
}

/// The mean over the series of the error as a share of last value's; series on which last value never errs are left out.
pub(crate) fn mean(sums: &[[Sums; SLOTS]]) -> [f64; SLOTS] {
    std::array::from_fn(|slot| {
        let scores: Vec<f64> = sums
            .iter()
            .map(|sums| sums[slot])
            .filter(|sums| sums.last_value_error > 0.0)
            .map(|sums| sums.error / sums.last_value_error)
            .collect();
        scores.iter().sum::<f64>() / scores.len() as f64
    })
}
