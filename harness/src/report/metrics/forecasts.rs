//! How often forecasts came true, beside saying that nothing changes.

use super::super::collected::Series;

/// Forecasts of the coming quantum, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ForecastScore {
    /// Quanta with a forecast, a phase, and a phase in the quantum before.
    pub quanta: u64,
    /// Of those, forecasts that came true.
    pub hits: u64,
    /// Of those, quanta that kept the phase of the one before: what last value gets right.
    pub last_value_hits: u64,
    /// Changes that were forecast, with the right phase.
    pub changes_called: u64,
    /// Changes that were forecast where none came.
    pub false_alarms: u64,
}

impl ForecastScore {
    /// Of one series.
    #[must_use]
    pub fn of(series: &Series) -> Self {
        let mut score = Self::default();
        let phases = series.phase.windows(2).zip(series.forecast.iter().skip(1));
        for (pair, forecast) in phases {
            let (Some(before), Some(now), Some(forecast)) = (pair[0], pair[1], *forecast) else { continue };
            score.quanta += 1;
            score.hits += u64::from(forecast == now);
            score.last_value_hits += u64::from(before == now);
            score.changes_called += u64::from(before != now && forecast == now);
            score.false_alarms += u64::from(before == now && forecast != now);
        }
        score
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            quanta: self.quanta + other.quanta,
            hits: self.hits + other.hits,
            last_value_hits: self.last_value_hits + other.last_value_hits,
            changes_called: self.changes_called + other.changes_called,
            false_alarms: self.false_alarms + other.false_alarms,
        }
    }

    /// Quanta at which the phase changed.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.quanta - self.last_value_hits
    }

    /// Share of quanta forecast right; `None` where nothing was forecast.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        share(self.hits, self.quanta)
    }

    /// Share of quanta that last value gets right.
    #[must_use]
    pub fn last_value_accuracy(&self) -> Option<f64> {
        share(self.last_value_hits, self.quanta)
    }

    /// Share of changes forecast right. Last value's is 0.
    #[must_use]
    pub fn accuracy_on_changes(&self) -> Option<f64> {
        share(self.changes_called, self.changes())
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Phases and forecasts as letters; `.` is absent.
    fn score(phases: &str, forecasts: &str) -> ForecastScore {
        let read = |text: &str| text.chars().map(|letter| (letter != '.').then_some(letter as u32)).collect();
        ForecastScore::of(&Series { phase: read(phases), forecast: read(forecasts), ..Series::default() })
    }

    #[test]
    fn last_value_is_wrong_at_every_change_and_right_everywhere_else() {
        let lagging = score("AAABBBAAA", ".AAABBBAA");
        assert_eq!((lagging.quanta, lagging.hits, lagging.last_value_hits, lagging.changes()), (8, 6, 6, 2));
        assert_eq!(lagging.accuracy_on_changes(), Some(0.0));
    }

    #[test]
    fn a_change_called_in_time_counts_and_a_false_alarm_is_told() {
        let score = score("AAABBB", ".ABBBB");
        assert_eq!((score.changes_called, score.false_alarms, score.hits), (1, 1, 4));
    }

    #[test]
    fn quanta_without_a_phase_or_a_forecast_are_not_scored() {
        assert_eq!(score("A.AA", ".AA."), ForecastScore::default());
        assert_eq!(score("A.AA", ".AA.").accuracy(), None);
    }
}
