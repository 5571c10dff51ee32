//! Everything a report is made of: each guest alone, and the mix under each policy, quantum by quantum.
//!
//! Series are kept in columns, so that a run of hundreds of quanta stays a small file. A count that was not read is
//! absent here too. What the numbers mean together is [`super::metrics`]'s business.

use machine::spec::Machine;
use predictor::counters::{Event, Sample};
use predictor::phases::PhaseId;
use serde::{Deserialize, Serialize};

/// The version of the file that this release writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// One vCPU's run, one entry a quantum in every column.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// The guest's name.
    pub guest: String,
    /// Time that passed on the host's clock, in nanoseconds.
    pub elapsed_ns: Vec<u64>,
    /// Retired instructions.
    pub instructions: Vec<Option<u64>>,
    /// Busy cycles.
    pub cycles: Vec<Option<u64>>,
    /// References to the shared cache.
    pub llc_references: Vec<Option<u64>>,
    /// Misses of the shared cache.
    pub llc_misses: Vec<Option<u64>>,
    /// The LLC domain.
    pub domain: Vec<u32>,
    /// The phase that the program marked, where it marks any.
    pub truth: Vec<Option<u32>>,
    /// The phase that the model saw; absent while idle.
    pub phase: Vec<Option<u32>>,
    /// The phase that was forecast for this quantum when the one before it ended.
    pub forecast: Vec<Option<u32>>,
}

impl Series {
    /// An empty series of the guest called `guest`.
    #[must_use]
    pub fn of(guest: impl Into<String>) -> Self {
        Self { guest: guest.into(), ..Self::default() }
    }

    /// Adds the next quantum.
    pub fn push(&mut self, sample: &Sample, phase: Option<PhaseId>, forecast: Option<PhaseId>) {
        self.elapsed_ns.push(u64::try_from(sample.elapsed.as_nanos()).unwrap_or(u64::MAX));
        self.instructions.push(sample.count(Event::Instructions));
        self.cycles.push(sample.count(Event::Cycles));
        self.llc_references.push(sample.count(Event::LlcReferences));
        self.llc_misses.push(sample.count(Event::LlcMisses));
        self.domain.push(sample.domain.0);
        self.truth.push(sample.truth.map(|mark| mark.0));
        self.phase.push(phase.map(|phase| phase.0));
        self.forecast.push(forecast.map(|phase| phase.0));
    }

    /// How many quanta it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.elapsed_ns.len()
    }

    /// Whether it holds no quantum.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.elapsed_ns.is_empty()
    }

    /// Busy cycles per instruction in each quantum; absent where a count is, or where nothing was retired.
    pub fn cycles_per_instruction(&self) -> impl Iterator<Item = Option<f64>> + '_ {
        self.cycles.iter().zip(&self.instructions).map(|(cycles, instructions)| match (cycles, instructions) {
            (Some(cycles), Some(instructions)) if *instructions > 0 => Some(*cycles as f64 / *instructions as f64),
            _ => None,
        })
    }

    /// Mean length of a stay in one of the phases that the model saw, in quanta; quanta without one are left out.
    #[must_use]
    pub fn mean_phase_quanta(&self) -> Option<f64> {
        mean_stay(&self.phase)
    }

    /// Mean length of a stay in one of the phases that the program marked, in quanta.
    #[must_use]
    pub fn mean_mark_quanta(&self) -> Option<f64> {
        mean_stay(&self.truth)
    }

    /// Whether every column has an entry for each quantum.
    fn is_even(&self) -> bool {
        let counts = [&self.instructions, &self.cycles, &self.llc_references, &self.llc_misses];
        let labels = [&self.truth, &self.phase, &self.forecast];
        self.domain.len() == self.len()
            && counts.iter().all(|column| column.len() == self.len())
            && labels.iter().all(|column| column.len() == self.len())
    }
}

fn mean_stay(labels: &[Option<u32>]) -> Option<f64> {
    let labels: Vec<_> = labels.iter().flatten().collect();
    let stays = labels.windows(2).filter(|pair| pair[0] != pair[1]).count() + 1;
    (!labels.is_empty()).then(|| labels.len() as f64 / stays as f64)
}

/// One run of the whole mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The policy's name.
    pub policy: String,
    /// Which of the runs under this policy, from 1.
    pub repeat: u32,
    /// Moves that the host carried out.
    pub moves: u64,
    /// Moves that the host refused.
    pub refusals: u64,
    /// One series a guest, in the order of [`Collected::guests`].
    pub series: Vec<Series>,
}

/// A guest of the mix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// Its name in the mix.
    pub name: String,
    /// Its program's name in the catalogue.
    pub program: String,
    /// The name of the program's input.
    pub input: String,
    /// What kind of work it is, as the catalogue says.
    pub about: String,
}

/// The machine, as far as a reader needs it to judge the numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineFacts {
    /// Its name.
    pub name: String,
    /// CPUs in each LLC domain.
    pub cpus_per_domain: Vec<u32>,
    /// Size of each domain's LLC in KiB, where it is known.
    pub llc_kib: Option<u64>,
    /// Clock of every CPU in MHz, where it is fixed.
    pub frequency_mhz: Option<u64>,
    /// Cycles to fill one LLC from memory at full bandwidth, where they can be told.
    pub refill_cycles: Option<u64>,
}

impl MachineFacts {
    /// Of an emulated machine.
    #[must_use]
    pub fn of(machine: &Machine) -> Self {
        Self {
            name: machine.name().to_owned(),
            cpus_per_domain: machine.domains().iter().map(|(_, cpus)| cpus.len() as u32).collect(),
            llc_kib: Some(machine.llc().bytes() / 1024),
            frequency_mhz: Some(machine.frequency_mhz().into()),
            refill_cycles: Some(machine.refill_cycles()),
        }
    }
}

/// What the model is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFacts {
    /// How many phases it has.
    pub phases: usize,
    /// The features it tells them by.
    pub features: Vec<String>,
    /// The forecaster behind the predictive policy.
    pub forecaster: String,
}

/// An experiment's results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collected {
    /// [`VERSION`].
    pub version: u32,
    /// The experiment's name.
    pub experiment: String,
    /// The kind of host it ran on.
    pub host: String,
    /// Why the mix favours one side, if it does: printed above the numbers.
    pub demonstration: Option<String>,
    /// The machine.
    pub machine: MachineFacts,
    /// The control period in cycles of the host's CPUs.
    pub quantum_cycles: u64,
    /// The seed of everything random.
    pub seed: u64,
    /// The guests, in the order of their ids.
    pub guests: Vec<Guest>,
    /// The model that the policies shared.
    pub model: ModelFacts,
    /// Each guest alone, in the order of the guests.
    pub solo: Vec<Series>,
    /// The mix under each policy, in the order in which the policies are compared, repeats together.
    pub runs: Vec<Run>,
}

impl Collected {
    /// Says what is missing, if anything is.
    pub fn check(&self) -> Result<(), String> {
        if self.version != VERSION {
            return Err(format!("it has version {}, and this release reads {VERSION}", self.version));
        }
        if self.guests.is_empty() || self.runs.is_empty() {
            return Err("it has no guest or no run".to_owned());
        }
        let names: Vec<_> = self.guests.iter().map(|guest| &guest.name).collect();
        let complete = |what: &str, series: &[Series]| {
            let found: Vec<_> = series.iter().map(|series| &series.guest).collect();
            if found != names {
                return Err(format!("{what} has series of {found:?}, not of {names:?}"));
            }
            match series.iter().find(|series| series.is_empty() || !series.is_even()) {
                Some(series) => Err(format!("{what} has columns of several lengths, or none, for {}", series.guest)),
                None => Ok(()),
            }
        };
        complete("the stage of solo runs", &self.solo)?;
        self.runs.iter().try_for_each(|run| complete(&format!("run {} of {}", run.repeat, run.policy), &run.series))
    }

    /// The policies in the order in which they are compared.
    #[must_use]
    pub fn policies(&self) -> Vec<&str> {
        let mut policies: Vec<&str> = Vec::new();
        for run in &self.runs {
            if !policies.contains(&run.policy.as_str()) {
                policies.push(&run.policy);
            }
        }
        policies
    }

    /// All runs under `policy`.
    pub fn runs_of<'a>(&'a self, policy: &'a str) -> impl Iterator<Item = &'a Run> + 'a {
        self.runs.iter().filter(move |run| run.policy == policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phase_lengths_count_stays_and_not_phases() {
        let phase = "AAABBBBAA".chars().map(|letter| Some(letter as u32)).collect();
        assert_eq!(Series { phase, ..Series::default() }.mean_phase_quanta(), Some(3.0));
        assert_eq!(Series { phase: vec![None, None], ..Series::default() }.mean_phase_quanta(), None);
    }
}
