//! Which forecasters there are, by name, and how each is started for a vCPU.

use std::str::FromStr;

use super::Forecaster;
use super::last_value::LastValue;
use super::markov::{Markov, TransitionCounts};
use super::run_length::{RunLengthMarkov, RunLengths};

/// A way to forecast phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ForecasterKind {
    /// The phase goes on: [`LastValue`].
    LastValue,
    /// What followed the last phase follows it again: [`Markov`].
    Markov,
    /// How long the phase has gone on says when it ends: [`RunLengthMarkov`].
    SemiMarkov,
    /// The one that was chosen before the final comparison.
    Default,
}

/// What training knows that a forecaster may start from; all of it may be absent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trained<'a> {
    /// How often each phase followed each.
    pub transitions: Option<&'a TransitionCounts>,
    /// How long the phases lasted.
    pub run_lengths: Option<&'a RunLengths>,
}

/// A name that no forecaster has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no forecaster is called {0:?}; there are {names}", names = ForecasterKind::names().join(", "))]
pub struct UnknownForecaster(pub String);

impl ForecasterKind {
    /// Every kind, the simplest first; of those with settings, the usual ones.
    pub const ALL: [Self; 4] = [Self::LastValue, Self::Markov, Self::SemiMarkov, Self::Default];

    /// The name used in files, tables and messages.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::LastValue => "last-value".to_owned(),
            Self::Markov => "markov-1".to_owned(),
            Self::SemiMarkov => "semi-markov".to_owned(),
            Self::Default => "default".to_owned(),
        }
    }

    /// The names of [`Self::ALL`], in that order.
    #[must_use]
    pub fn names() -> Vec<String> {
        Self::ALL.map(Self::name).to_vec()
    }

    /// A forecaster for one vCPU of a model of `phases` phases.
    #[must_use]
    pub fn start(self, phases: usize, trained: &Trained<'_>) -> Box<dyn Forecaster + Send> {
        let none = TransitionCounts::new(phases);
        let transitions = trained.transitions.unwrap_or(&none);
        match self {
            Self::LastValue => Box::new(LastValue::new(phases)),
            Self::Markov => Box::new(Markov::new(transitions)),
            Self::SemiMarkov | Self::Default => {
                let none = RunLengths::new(&vec![100_000_000; phases]);
                Box::new(RunLengthMarkov::new(transitions, trained.run_lengths.unwrap_or(&none)))
            }
        }
    }
}

impl FromStr for ForecasterKind {
    type Err = UnknownForecaster;

    fn from_str(text: &str) -> Result<Self, UnknownForecaster> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| UnknownForecaster(text.to_owned()))
    }
}

impl std::fmt::Display for ForecasterKind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in ForecasterKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_by_those_there_are() {
        let error = "magic".parse::<ForecasterKind>().expect_err("no such kind").to_string();
        assert!(error.contains("\"magic\"") && error.contains("semi-markov"), "{error}");
    }
}
