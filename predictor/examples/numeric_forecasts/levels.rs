//! What levels by phase make of the same series: phases are bins of instructions per cycle, forecast by the default forecaster.

use predictor::forecast::Observation;
use predictor::forecast::kind::{ForecasterKind, Trained};
use predictor::numeric::levels::Levels;
use predictor::phases::PhaseId;

use super::score::{HORIZONS, RATES, SLOTS, Series, Sums};

/// Width of a bin, in instructions per cycle.
const WIDTH: f64 = 0.25;

/// Bins; the last has no end.
const PHASES: u32 = 32;

/// Forecasts one series online by the levels of the phases that are forecast.
pub(crate) fn score(series: &Series) -> [Sums; SLOTS] {
    let trained = Trained { horizons: &HORIZONS, ..Trained::default() };
    let mut forecaster = ForecasterKind::Default.start(PHASES as usize, &trained);
    let mut levels = RATES.map(|_| Levels::new(PHASES as usize));
    let mut sums = [Sums::default(); SLOTS];
    for (now, rates) in series.rates.iter().enumerate() {
        let speed = 1.0 / rates[0];
        let phase = PhaseId(((speed / WIDTH) as u32).min(PHASES - 1));
        forecaster.observe(&Observation {
            phase,
            instructions: 1,
            signals: &[Some(speed), Some(rates[1])],
            address_space: None,
        });
        levels.iter_mut().zip(rates).for_each(|(levels, rate)| levels.observe(phase, Some(*rate)));
        for (slot, sums) in sums.iter_mut().enumerate() {
            let (rate, horizon) = (slot / HORIZONS.len(), HORIZONS[slot % HORIZONS.len()]);
            let Some(to_come) = series.rates.get(now + horizon as usize) else { continue };
            let phases = forecaster.forecast(horizon).expect("a quantum was seen");
            let said = levels[rate].expected(&phases).expect("the phase now was seen");
            sums.error += (said.median() - to_come[rate]).abs();
            sums.last_value_error += (rates[rate] - to_come[rate]).abs();
        }
    }
    sums
}
