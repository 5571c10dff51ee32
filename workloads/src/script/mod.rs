//! Scripts of kernels with marked phases: the programs whose phases are known.
//!
//! | written | means |
//! |---|---|
//! | `chase:768KiB:60M` | a step: kernel, working set, instructions |
//! | `chase:768KiB:6M..600M` | its length is drawn anew each time, log-uniformly: as often short as long |
//! | `chase:768KiB:~60M` | the same with an exponential distribution of this mean |
//! | `a b c` | one step after the other |
//! | `(a b)x3 c` | a and b three times, then c; loops nest |
//! | `[a b c \| 0 70 30 \| 50 0 50 \| 100 0 0]x40` | a Markov chain: 40 steps, from a on, each next one drawn by the row (in percent) of the one before |
//!
//! Each distinct pair of kernel and working set is one phase, numbered by first appearance in the text; its buffer is built
//! once, before the first mark, and kept, so that a change of phase costs no page faults. Instructions are converted
//! to whole operations of the kernel by its counted cost ([`Kind::operations_for`]).
//!
//! What is drawn is drawn from the seed, inside the guest, while the script is played: a script of ten thousand phases fits a
//! kernel's command line, and its truth is known before it runs ([`Script::play`]).

mod parse;
mod units;

pub use units::{parse_bytes, parse_count};

use crate::hash::Fnv1a;
use crate::kernels::elementary::{exponential, natural_logarithm};
use crate::kernels::{Kernel, Kind};
use crate::marks;
use crate::random::SplitMix64;

/// Steps of one round, at most: more is a slip of the pen.
const STEPS_PER_ROUND: u64 = 1_000_000;

/// Keeps what a script draws apart from what its kernels' buffers are filled with, which have the same seed.
const DRAWS: u64 = 0x5c1d_f0a3_9b7e_2c64;

/// How long a step is, in instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Always this long.
    Exact(u64),
    /// Drawn log-uniformly.
    Between {
        /// At least.
        least: u64,
        /// At most.
        most: u64,
    },
    /// Drawn from the exponential distribution of this mean.
    Mean(u64),
}

/// One step of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What runs.
    pub kind: Kind,
    /// On how much memory.
    pub working_set_bytes: usize,
    /// For about how long.
    pub length: Length,
}

/// A part of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// One phase, once.
    Step(Step),
    /// Parts in order, some times over.
    Loop {
        /// What is repeated.
        parts: Vec<Part>,
        /// How often.
        times: u64,
    },
    /// Steps as a Markov chain.
    Chain {
        /// Its states; the first is where it begins.
        states: Vec<Step>,
        /// The chance of each next state, in percent: a row for each state.
        percent: Vec<Vec<u32>>,
        /// How many steps it takes.
        steps: u64,
    },
}

/// The parts of one round; at least one, at most 64 distinct phases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    parts: Vec<Part>,
    /// Kernel and working set of each phase.
    phases: Vec<(Kind, usize)>,
}

/// One step as it is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Played {
    /// The number of its phase.
    pub phase: usize,
    /// About how many instructions.
    pub instructions: u64,
}

/// A script that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{at}\": {problem}; a step is kernel:working set:instructions, as chase:768KiB:60M, (a b)x3 a loop, \
     [a b | 0 100 | 50 50]x20 a chain"
)]
pub struct ScriptError {
    /// The word it stands in, as written.
    pub at: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Script {
    /// The script of these parts.
    pub fn new(parts: Vec<Part>) -> Result<Self, ScriptError> {
        let mut phases = Vec::new();
        let steps = survey(&parts, &mut phases)?;
        let problem = if steps == 0 {
            "there is no step".to_owned()
        } else if steps > STEPS_PER_ROUND {
            format!("{steps} steps a round; {STEPS_PER_ROUND} are the most")
        } else if phases.len() > marks::PHASES as usize {
            format!("more than {} distinct phases", marks::PHASES)
        } else {
            return Ok(Self { parts, phases });
        };
        Err(ScriptError { at: String::new(), problem })
    }

    /// The parts of one round.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Kernel and working set of each phase, in the order of the phases' numbers.
    #[must_use]
    pub fn phases(&self) -> &[(Kind, usize)] {
        &self.phases
    }

    /// Calls `perform` with every step of `rounds` rounds, in order, with the lengths and ways that `seed` draws.
    pub fn play(&self, rounds: u64, seed: u64, mut perform: impl FnMut(Played)) {
        let mut random = SplitMix64::new(seed ^ DRAWS);
        for _ in 0..rounds {
            self.play_parts(&self.parts, &mut random, &mut perform);
        }
    }

    fn play_parts(&self, parts: &[Part], random: &mut SplitMix64, perform: &mut impl FnMut(Played)) {
        for part in parts {
            match part {
                Part::Step(step) => perform(self.played(step, random)),
                Part::Loop { parts, times } => {
                    for _ in 0..*times {
                        self.play_parts(parts, random, perform);
                    }
                }
                Part::Chain { states, percent, steps } => {
                    let mut state = 0;
                    for _ in 0..*steps {
                        perform(self.played(&states[state], random));
                        state = drawn(&percent[state], random);
                    }
                }
            }
        }
    }

    fn played(&self, step: &Step, random: &mut SplitMix64) -> Played {
        let phase = self.phases.iter().position(|&phase| phase == (step.kind, step.working_set_bytes));
        Played { phase: phase.expect("every step has a phase"), instructions: step.length.draw(random) }
    }

    /// Builds all buffers, plays `rounds` rounds with marks, and answers the checksum of all kernels.
    #[must_use]
    pub fn run(&self, rounds: u64, seed: u64) -> u64 {
        let mut kernels: Vec<Box<dyn Kernel>> =
            self.phases.iter().map(|&(kind, bytes)| kind.build(bytes, seed)).collect();
        self.play(rounds, seed, |Played { phase, instructions }| {
            let (kind, _) = self.phases[phase];
            marks::begin_phase(phase as u32);
            kernels[phase].run(kind.operations_for(instructions));
        });
        marks::end_of_truth();
        let mut hash = Fnv1a::default();
        for kernel in &kernels {
            hash.update_u64(kernel.checksum());
        }
        hash.digest()
    }
}

impl Length {
    fn draw(self, random: &mut SplitMix64) -> u64 {
        match self {
            Length::Exact(instructions) => instructions,
            Length::Between { least, most } => {
                let octaves = natural_logarithm(most as f64 / least as f64);
                ((least as f64 * exponential(octaves * random.unit())) as u64).clamp(least, most)
            }
            // 1 - u is never 0.
            Length::Mean(mean) => ((-natural_logarithm(1.0 - random.unit()) * mean as f64) as u64).max(1),
        }
    }
}

/// Which place of a row of percentages a throw hits.
fn drawn(percent: &[u32], random: &mut SplitMix64) -> usize {
    let mut left = random.below(100) as u32;
    for (state, &share) in percent.iter().enumerate() {
        if left < share {
            return state;
        }
        left -= share;
    }
    unreachable!("a checked row sums to 100")
}

/// Checks the parts' own rules, notes their phases in the order of the text, and counts the steps of a round.
fn survey(parts: &[Part], phases: &mut Vec<(Kind, usize)>) -> Result<u64, ScriptError> {
    let mut count = 0_u64;
    for part in parts {
        let steps = match part {
            Part::Step(step) => {
                note(step, phases);
                1
            }
            Part::Loop { parts, times } => survey(parts, phases)?.saturating_mul(*times),
            Part::Chain { states, percent, steps } => {
                states.iter().for_each(|step| note(step, phases));
                check_rows(states.len(), percent)?;
                *steps
            }
        };
        count = count.saturating_add(steps);
    }
    Ok(count)
}

fn note(step: &Step, phases: &mut Vec<(Kind, usize)>) {
    let phase = (step.kind, step.working_set_bytes);
    if !phases.contains(&phase) {
        phases.push(phase);
    }
}

fn check_rows(states: usize, percent: &[Vec<u32>]) -> Result<(), ScriptError> {
    let failed = |at: String, problem: String| Err(ScriptError { at, problem });
    if percent.len() != states {
        return failed("|".to_owned(), format!("{} rows for {states} states", percent.len()));
    }
    for row in percent {
        let written = || row.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        if row.len() != states {
            return failed(written(), format!("{} chances for {states} states", row.len()));
        }
        if row.iter().try_fold(0_u32, |sum, &share| sum.checked_add(share)) != Some(100) {
            return failed(written(), "a row of chances has to sum to 100".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
