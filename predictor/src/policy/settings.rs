//! What a person may set: the same for every policy, so that they are compared on equal terms.

use serde::{Deserialize, Serialize};

use crate::forecast::kind::ForecasterKind;

/// When a move is worth it, and how many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What a step must gain, as a share of the slowdowns of the two domains it touches.
    pub min_gain_share: f64,
    /// Quanta for which a vCPU stays after it moved, or after its move was refused.
    pub cooldown_quanta: u32,
    /// Work that a vCPU loses by moving, in quanta: it refills the caches it finds cold.
    pub migration_cost_quanta: f64,
    /// Quanta over which a move is weighed against its cost.
    pub horizon_quanta: u32,
    /// Moves that may be made in the long run, for each vCPU and quantum. What is not used is saved, up to one move for
    /// each vCPU.
    pub moves_per_vcpu_quantum: f64,
    /// Quanta between two turns of round robin.
    pub round_robin_quanta: u32,
    /// What the predictive policy forecasts with.
    #[serde(with = "by_name")]
    pub forecaster: ForecasterKind,
    /// A forecast whose likeliest phase is less probable than this is not acted on.
    pub min_confidence: f64,
    /// Seed of what is drawn at random. Not a matter of taste, hence no key: the run's own seed.
    #[serde(skip)]
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_gain_share: 0.03,
            cooldown_quanta: 2,
            migration_cost_quanta: 0.2,
            horizon_quanta: 8,
            moves_per_vcpu_quantum: 0.1,
            round_robin_quanta: 16,
            forecaster: ForecasterKind::Default,
            min_confidence: 0.5,
            seed: 0,
        }
    }
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{key}: {value} is out of range; give {range}")]
pub struct OutOfRange {
    /// Which setting.
    pub key: &'static str,
    /// What it is.
    pub value: f64,
    /// What it may be.
    pub range: &'static str,
}

/// The longest horizon that may be asked for.
pub const HORIZON_MOST: u32 = 64;

impl Settings {
    /// Says which setting is out of range, if one is.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let checks = [
            ("min_gain_share", self.min_gain_share, 0.0, 1.0, "at least 0 and below 1"),
            ("migration_cost_quanta", self.migration_cost_quanta, 0.0, 1e6, "at least 0"),
            ("horizon_quanta", f64::from(self.horizon_quanta), 1.0, f64::from(HORIZON_MOST) + 1.0, "1 to 64"),
            ("moves_per_vcpu_quantum", self.moves_per_vcpu_quantum, 0.0, 1e6, "at least 0"),
            ("round_robin_quanta", f64::from(self.round_robin_quanta), 1.0, 1e6, "at least 1"),
            ("min_confidence", self.min_confidence, 0.0, 1.0, "at least 0 and below 1"),
        ];
        let outside = |(_, value, least, most, _): &(&str, f64, f64, f64, &str)| !(*least..*most).contains(value);
        match checks.into_iter().find(outside) {
            Some((key, value, _, _, range)) => Err(OutOfRange { key, value, range }),
            None => Ok(()),
        }
    }

    /// How far ahead forecasts are made: quanta ahead, each with the share of the horizon that it stands for. Near ones
    /// lie close, since a move is made for what comes next.
    ///
    /// ```
    /// let settings = predictor::policy::Settings { horizon_quanta: 8, ..Default::default() };
    /// assert_eq!(settings.points(), [(1, 0.125), (2, 0.125), (4, 0.25), (8, 0.5)]);
    /// ```
    #[must_use]
    pub fn points(&self) -> Vec<(u32, f64)> {
        let horizon = self.horizon_quanta.max(1);
        let powers = (0..u32::BITS).map(|power| 1 << power).take_while(|quanta| *quanta < horizon);
        let mut before = 0;
        let share = |quanta: u32| {
            let share = f64::from(quanta - before) / f64::from(horizon);
            before = quanta;
            (quanta, share)
        };
        powers.chain([horizon]).map(share).collect()
    }
}

mod by_name {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::forecast::kind::ForecasterKind;

    pub(super) fn serialize<S: Serializer>(kind: &ForecasterKind, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&kind.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ForecasterKind, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}
