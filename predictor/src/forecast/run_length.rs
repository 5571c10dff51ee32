//! Run-length Markov: how long this phase has gone on says when it ends, and in what.
//!
//! # Problem
//!
//! A first-order chain never calls the end of a phase that lasts several quanta, so a policy built on it acts too late
//! every time. Durations are needed, and in *instructions*: contention stretches a phase in time, not in work.
//!
//! # Method
//!
//! The key of what is learned is the phase and the length of its run, after Sherwood, Sair and Calder ("Phase tracking
//! and prediction", ISCA 2003). Each completed run is kept as (phase, length, what came next), lengths in buckets of a
//! quarter of the phase's own usual quantum. For a run of `r` instructions so far that advances `q` a quantum, from the
//! runs `L` of its phase that got this far:
//!
//! ```text
//! n        = weight of runs with L >= r - q/2
//! P(leave) = weight of runs with r - q/2 <= L < r + q/2, divided by n
//! to whom  = what those runs were followed by
//! evidence = n / (n + 1/2)
//! next     = evidence * (stay or leave as above) + (1 - evidence) * first-order Markov
//! ```
//!
//! Half a quantum either way, because a boundary is only seen to the quantum. A run longer than all before it has
//! `n = 0` and is left to the chain. Trained runs of a phase weigh at most [`PRIOR_RUNS`] together, a vCPU's own runs
//! one each, so that two of its own outvote what other programs did.
//!
//! Several quanta ahead, the state is (phase, run so far), stepped quantum by quantum; a phase that is entered goes on
//! at its usual pace.
//!
//! # Properties
//!
//! Sums to 1; without evidence equal to first-order Markov; phases of fixed length are called at the quantum in which
//! they end, whatever share of its speed the vCPU runs at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::markov::{Markov, TransitionCounts};
use super::{Forecast, Forecaster, Observation};
use crate::phases::PhaseId;

/// Buckets in the instructions of one usual quantum.
pub const BUCKETS_PER_QUANTUM: u64 = 4;

/// Most that the trained runs of a phase weigh together against a vCPU's own, in runs.
pub const PRIOR_RUNS: f64 = 2.0;

/// Different runs that are kept: beyond these, the one that weighs least is dropped, so that memory is bounded.
pub const MOST_RUNS: usize = 4096;

/// Runs at which durations and the chain have the same say.
const HALF_EVIDENCE_RUNS: f64 = 0.5;

/// Runs of one phase, of one length, followed by one other phase.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunCount {
    /// The phase that lasted.
    pub phase: PhaseId,
    /// How long, in whole buckets.
    pub bucket: u32,
    /// What followed.
    pub next: PhaseId,
    /// How many such runs.
    pub runs: f64,
}

/// Completed runs by phase, length and successor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "RunTable", into = "RunTable")]
pub struct RunLengths {
    bucket_instructions: Vec<u64>,
    runs: BTreeMap<(PhaseId, u32, PhaseId), f64>,
}

/// How [`RunLengths`] is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunTable {
    /// Width of a bucket of each phase, in instructions.
    pub bucket_instructions: Vec<u64>,
    /// The runs, in the order of phase, bucket and successor.
    pub runs: Vec<RunCount>,
}

/// What the runs of a phase say about the coming quantum.
struct Outlook {
    /// Weight of the runs that got this far.
    evidence_runs: f64,
    /// Weight of those that ended within the quantum, by successor.
    ended: BTreeMap<PhaseId, f64>,
}

impl RunLengths {
    /// Nothing seen yet. `quantum_instructions` says how many instructions each phase usually retires in a quantum.
    #[must_use]
    pub fn new(quantum_instructions: &[u64]) -> Self {
        let bucket = |instructions: &u64| (instructions / BUCKETS_PER_QUANTUM).max(1);
        Self { bucket_instructions: quantum_instructions.iter().map(bucket).collect(), runs: BTreeMap::new() }
    }

    /// A run of `phase` ended after `instructions`, followed by `next`.
    pub fn record(&mut self, phase: PhaseId, instructions: u64, next: PhaseId) {
        let bucket = instructions / self.bucket_instructions[phase.index()];
        let bucket = u32::try_from(bucket).unwrap_or(u32::MAX);
        *self.runs.entry((phase, bucket, next)).or_default() += 1.0;
        if self.runs.len() > MOST_RUNS {
            let least = self.runs.iter().min_by(|a, b| a.1.total_cmp(b.1)).map(|(run, _)| *run);
            least.and_then(|run| self.runs.remove(&run));
        }
    }

    /// Width of a bucket of each phase, in instructions.
    #[must_use]
    pub fn bucket_widths(&self) -> &[u64] {
        &self.bucket_instructions
    }

    /// Every run counted, in the order of phase, bucket and successor.
    pub fn runs(&self) -> impl Iterator<Item = RunCount> + '_ {
        self.runs.iter().map(|((phase, bucket, next), runs)| RunCount {
            phase: *phase,
            bucket: *bucket,
            next: *next,
            runs: *runs,
        })
    }

    /// How many phases it knows.
    #[must_use]
    pub fn phases(&self) -> usize {
        self.bucket_instructions.len()
    }

    /// What the runs take, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of_val(self.bucket_instructions.as_slice()) + self.runs.len() * size_of::<((PhaseId, u32, PhaseId), f64)>()
    }

    /// What `phase` usually retires in a quantum.
    #[must_use]
    pub fn usual_pace(&self, phase: PhaseId) -> f64 {
        (self.bucket_instructions[phase.index()] * BUCKETS_PER_QUANTUM) as f64
    }

    /// The same shares, the runs of no phase weighing more than `most` together.
    #[must_use]
    pub fn weighing_at_most(&self, most: f64) -> Self {
        let mut totals: BTreeMap<PhaseId, f64> = BTreeMap::new();
        for ((phase, ..), runs) in &self.runs {
            *totals.entry(*phase).or_default() += runs;
        }
        let mut scaled = self.clone();
        for ((phase, ..), runs) in &mut scaled.runs {
            *runs *= (most / totals[phase]).min(1.0);
        }
        scaled
    }

    fn outlook(&self, state: RunState) -> Outlook {
        let bucket = self.bucket_instructions[state.phase.index()] as f64;
        let mut outlook = Outlook { evidence_runs: 0.0, ended: BTreeMap::new() };
        let keys = (state.phase, 0, PhaseId(0))..=(state.phase, u32::MAX, PhaseId(u32::MAX));
        for ((_, place, next), runs) in self.runs.range(keys) {
            let ahead = (f64::from(*place) + 0.5) * bucket - state.instructions;
            if ahead >= -state.pace / 2.0 {
                outlook.evidence_runs += runs;
                if ahead < state.pace / 2.0 {
                    *outlook.ended.entry(*next).or_default() += runs;
                }
            }
        }
        outlook
    }
}

impl From<RunTable> for RunLengths {
    fn from(table: RunTable) -> Self {
        let runs = table.runs.into_iter().map(|run| ((run.phase, run.bucket, run.next), run.runs)).collect();
        Self { bucket_instructions: table.bucket_instructions, runs }
    }
}

impl From<RunLengths> for RunTable {
    fn from(lengths: RunLengths) -> Self {
        let runs = lengths.runs().collect();
        Self { bucket_instructions: lengths.bucket_instructions, runs }
    }
}

/// Where in its run a vCPU is.
#[derive(Debug, Clone, Copy, PartialEq)]
struct RunState {
    phase: PhaseId,
    /// Instructions of the run so far.
    instructions: f64,
    /// Instructions a quantum.
    pace: f64,
}

/// Forecasts from run lengths, from a first-order chain where those say nothing.
#[derive(Debug, Clone)]
pub struct RunLengthMarkov {
    markov: Markov,
    lengths: RunLengths,
    now: Option<RunState>,
    /// Whether the first quantum is yet to say how many instructions are usual.
    is_unmeasured: bool,
}

impl RunLengthMarkov {
    /// Starts from what training saw.
    #[must_use]
    pub fn new(transitions: &TransitionCounts, lengths: &RunLengths) -> Self {
        Self {
            markov: Markov::new(transitions),
            lengths: lengths.weighing_at_most(PRIOR_RUNS),
            now: None,
            is_unmeasured: false,
        }
    }

    /// Knows no durations yet, nor how many instructions a quantum has: the first one observed is taken as usual.
    #[must_use]
    pub fn unmeasured(transitions: &TransitionCounts, phases: usize) -> Self {
        Self { is_unmeasured: true, ..Self::new(transitions, &RunLengths::new(&vec![0; phases])) }
    }

    /// Instructions of the present run so far, and the phase it is in.
    #[must_use]
    pub fn run(&self) -> Option<(PhaseId, u64)> {
        self.now.map(|state| (state.phase, state.instructions as u64))
    }

    /// The distribution over phases one quantum after `state`.
    fn next(&self, state: RunState) -> Vec<f64> {
        let outlook = self.lengths.outlook(state);
        let evidence = outlook.evidence_runs / (outlook.evidence_runs + HALF_EVIDENCE_RUNS);
        let mut next: Vec<f64> = self.markov.row(state.phase);
        next.iter_mut().for_each(|share| *share *= 1.0 - evidence);
        if outlook.evidence_runs > 0.0 {
            let mut stay = 1.0;
            for (phase, runs) in outlook.ended {
                let leave = runs / outlook.evidence_runs;
                next[phase.index()] += evidence * leave;
                stay -= leave;
            }
            next[state.phase.index()] += evidence * stay.max(0.0);
        }
        next
    }
}

impl Forecaster for RunLengthMarkov {
    fn observe(&mut self, seen: &Observation<'_>) {
        let phase = seen.phase;
        if std::mem::take(&mut self.is_unmeasured) {
            self.lengths = RunLengths::new(&vec![seen.instructions; self.lengths.phases()]);
        }
        let pace = seen.instructions as f64;
        self.now = Some(match self.now {
            Some(now) if now.phase == phase => RunState { phase, instructions: now.instructions + pace, pace },
            before => {
                if let Some(ended) = before {
                    self.lengths.record(ended.phase, ended.instructions as u64, phase);
                }
                RunState { phase, instructions: pace, pace }
            }
        });
        self.markov.observe(seen);
    }

    fn forecast(&self, quanta: u32) -> Option<Forecast> {
        let now = self.now?;
        let mut states = vec![(now, 1.0)];
        for _ in 0..quanta {
            let mut entered = vec![0.0; self.lengths.phases()];
            let mut after = Vec::with_capacity(states.len() + entered.len());
            for (state, probability) in states {
                let mut next = self.next(state);
                let stay = std::mem::take(&mut next[state.phase.index()]);
                after.push((RunState { instructions: state.instructions + state.pace, ..state }, probability * stay));
                entered.iter_mut().zip(next).for_each(|(slot, share)| *slot += probability * share);
            }
            for (phase, probability) in (0u32..).map(PhaseId).zip(entered).filter(|(_, share)| *share > 0.0) {
                let pace = self.lengths.usual_pace(phase);
                after.push((RunState { phase, instructions: pace, pace }, probability));
            }
            states = after;
        }
        let mut weights = vec![0.0; self.lengths.phases()];
        states.iter().for_each(|(state, probability)| weights[state.phase.index()] += probability);
        Forecast::from_weights(weights).ok()
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.markov.memory_bytes() + self.lengths.memory_bytes()
    }
}

#[cfg(test)]
mod tests;
