//! Whether moving helps here: blocks of acting and of not acting in turn, compared in pairs.
//!
//! Owns the order of blocks, the comparison and the verdict. Giving placement back when a block without acting begins, and
//! moving nobody in it, is the daemon's business.
//!
//! # Problem
//!
//! A model says what moves gain; it may be wrong on this host. What the guests do changes by itself all the time, so before
//! and after say little. What is needed is the same guests, at nearly the same time, with and without.
//!
//! # Method
//!
//! ```text
//! pair      = two blocks of `block` quanta, one acting and one holding, their order by a toss
//! rate(i)   = progress of vCPU i for each second at work, after the block's first `settle` quanta ([`progress`])
//! d(pair)   = mean over vCPUs of ln rate(i | acting) - ln rate(i | holding)
//! gain      = mean of d over pairs, with Student's interval on the pairs
//! look      after M, 2M, 4M and 8M pairs, each with an interval that errs in 1.25 % of cases
//! above     the interval lies above the promised gain: act without holding for a rest, then begin again
//! below     it lies below: hold for a rest, then begin again
//! neither   after 8M pairs: begin again at once
//! ```
//!
//! # What is done at the borders
//!
//! When a holding block begins, placement is *given back*: vCPUs may run where they might before Phasecast came. What is
//! compared is then the host with Phasecast and without, which is what an operator asks. Had the placement been kept, holding
//! would live off what acting had left, and a policy that finds one good placement would look useless. It costs: both borders
//! are followed by cold caches and, after giving back, by the kernel spreading its load. That is why the first `settle` quanta
//! of each block count for neither.
//!
//! # What the interval rests on
//!
//! Pairs are taken as independent and `d` as about normal, for which its mean over vCPUs and quanta and the tossed order do
//! much; phases much longer than a pair make neighbouring pairs alike in what they run, not in the sign of `d`. A block
//! bootstrap would need tens of pairs to say anything, where Student's interval is honest from few. Four looks at 1.25 %
//! each err in at most 5 % together (Bonferroni); the interval shown in between is the usual one of 95 %.
//!
//! # Properties
//!
//! In each pair there is one block of each kind. Exchanging what acting and holding did turns the sign. Where acting changes
//! nothing, at most one trial in twenty ends with a verdict. The same seed tosses the same order.

mod interval;
pub mod progress;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

use predictor::counters::Sample;

use self::interval::Mean;
use self::progress::{Block, Measure};

/// How often the pairs are looked at, each time after twice as many.
const LOOKS: u32 = 4;
/// In how many cases a verdict may be wrong.
const ERROR: f64 = 0.05;

/// How a trial is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrialSettings {
    /// Quanta of each block.
    pub block_quanta: u32,
    /// Quanta at the beginning of each block that do not count; fewer than the block has.
    pub settle_quanta: u32,
    /// Pairs before the first look, at least 2.
    pub pairs: u32,
    /// What acting has to gain to be worth it, as a share of progress: 0.01 is one percent.
    pub promised_gain: f64,
    /// Quanta for which a verdict is relied on.
    pub rest_quanta: u64,
    /// Seed of the tosses.
    pub seed: u64,
}

/// What is done in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The policy's moves are made.
    Acting,
    /// Placement is given back, and nobody is moved.
    Holding,
}

impl Arm {
    const fn other(self) -> Self {
        match self {
            Self::Acting => Self::Holding,
            Self::Holding => Self::Acting,
        }
    }
}

/// What a trial found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Acting gains more than was asked for.
    Helps,
    /// Acting gains less than was asked for.
    DoesNotHelp,
    /// So many pairs could not tell.
    CannotTell,
}

/// A verdict with what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The verdict.
    pub verdict: Verdict,
    /// The gain that it rests on.
    pub gain: Gain,
}

/// By how much acting was faster, as shares of progress: 0.03 is three percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// The mean.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// How many pairs it rests on.
    pub pairs: u32,
}

/// How the trial stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// What is done now.
    pub arm: Arm,
    /// Whether pairs are being compared; else a verdict is relied on.
    pub is_testing: bool,
    /// Quanta until the block, or the rest, is over.
    pub quanta_left: u64,
    /// Pairs compared since the trial began.
    pub pairs: u32,
    /// Pairs in which nobody could be compared.
    pub void_pairs: u32,
    /// The gain so far with its interval of 95 %, from the second pair on.
    pub gain: Option<Gain>,
    /// vCPUs that had a say in the last pair.
    pub vcpus: usize,
    /// What progress was last measured by.
    pub measure: Option<Measure>,
    /// What the last trial found.
    pub found: Option<Found>,
}

/// What goes on.
#[derive(Debug)]
enum Stage {
    /// A block of a pair; `first` is the pair's first block once that is over.
    Testing { first: Option<Block>, block: Block, arm: Arm, quanta: u32 },
    /// A verdict is relied on.
    Resting { arm: Arm, left: u64 },
}

/// Tells quantum by quantum whether to act, and learns whether it helped.
#[derive(Debug)]
pub struct Trial {
    settings: TrialSettings,
    random: ChaCha8Rng,
    stage: Stage,
    differences: Mean,
    void_pairs: u32,
    vcpus: usize,
    measure: Option<Measure>,
    found: Option<Found>,
}

impl Trial {
    /// Begins with the first block of a pair.
    #[must_use]
    pub fn new(settings: TrialSettings) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
        let stage = begin_pair(&mut random);
        Self {
            settings,
            random,
            stage,
            differences: Mean::default(),
            void_pairs: 0,
            vcpus: 0,
            measure: None,
            found: None,
        }
    }

    /// What is to be done in the coming quantum.
    #[must_use]
    pub const fn arm(&self) -> Arm {
        match self.stage {
            Stage::Testing { arm, .. } | Stage::Resting { arm, .. } => arm,
        }
    }

    /// Takes in a quantum that passed as [`Trial::arm`] said; answers what was found, when something is.
    pub fn observe(&mut self, samples: &[Sample]) -> Option<Found> {
        match &mut self.stage {
            Stage::Resting { left, .. } if *left > 1 => *left -= 1,
            Stage::Resting { .. } => self.begin_again(),
            Stage::Testing { block, quanta, .. } => {
                *quanta += 1;
                if *quanta > self.settings.settle_quanta {
                    block.add(samples);
                }
                if *quanta >= self.settings.block_quanta {
                    return self.end_block();
                }
            }
        }
        None
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let (is_testing, quanta_left) = match &self.stage {
            Stage::Testing { quanta, .. } => (true, u64::from(self.settings.block_quanta - quanta)),
            Stage::Resting { left, .. } => (false, *left),
        };
        Standing {
            arm: self.arm(),
            is_testing,
            quanta_left,
            pairs: self.differences.count(),
            void_pairs: self.void_pairs,
            gain: self.gain(ERROR),
            vcpus: self.vcpus,
            measure: self.measure,
            found: self.found,
        }
    }

    fn end_block(&mut self) -> Option<Found> {
        let Stage::Testing { first, block, arm, quanta } = &mut self.stage else { return None };
        let block = std::mem::take(block);
        let Some(first) = first.take() else {
            *first = Some(block);
            *arm = arm.other();
            *quanta = 0;
            return None;
        };
        let arm = *arm;
        let (acting, holding) = if arm == Arm::Acting { (&block, &first) } else { (&first, &block) };
        match acting.against(holding) {
            Some(compared) => {
                self.differences.add(compared.difference);
                self.vcpus = compared.vcpus;
                self.measure = Some(compared.measure);
            }
            None => self.void_pairs += 1,
        }
        self.stage = begin_pair(&mut self.random);
        self.look()
    }

    /// Whether there is enough to end the trial with.
    fn look(&mut self) -> Option<Found> {
        let pairs = self.differences.count();
        let is_look = (0..LOOKS).any(|look| pairs == self.settings.pairs << look);
        // A void pair adds none, so the same number may be looked at again: nothing new is seen then.
        let gain = self.gain(ERROR / f64::from(LOOKS)).filter(|_| is_look)?;
        let verdict = if gain.low > self.settings.promised_gain {
            Verdict::Helps
        } else if gain.high < self.settings.promised_gain {
            Verdict::DoesNotHelp
        } else if pairs >= self.settings.pairs << (LOOKS - 1) {
            Verdict::CannotTell
        } else {
            return None;
        };
        let found = Found { verdict, gain };
        self.begin_again();
        self.found = Some(found);
        let arm = match verdict {
            Verdict::Helps => Arm::Acting,
            Verdict::DoesNotHelp => Arm::Holding,
            Verdict::CannotTell => return Some(found),
        };
        self.stage = Stage::Resting { arm, left: self.settings.rest_quanta.max(1) };
        Some(found)
    }

    fn begin_again(&mut self) {
        self.stage = begin_pair(&mut self.random);
        self.differences = Mean::default();
        self.void_pairs = 0;
    }

    fn gain(&self, error: f64) -> Option<Gain> {
        let (low, high) = self.differences.interval(error)?;
        let share = f64::exp_m1;
        let mean = share(self.differences.mean()?);
        Some(Gain { mean, low: share(low), high: share(high), pairs: self.differences.count() })
    }
}

fn begin_pair(random: &mut ChaCha8Rng) -> Stage {
    let arm = if random.next_u32() & 1 == 0 { Arm::Acting } else { Arm::Holding };
    Stage::Testing { first: None, block: Block::default(), arm, quanta: 0 }
}

#[cfg(test)]
mod tests;
