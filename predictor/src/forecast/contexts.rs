//! The mixture of contexts and analogues: every way in which the past may say what comes, each believed as far as it
//! has earned.
//!
//! # Problem
//!
//! No single memory fits all programs. Tables keyed by the last phases are exact on strict repetition and lost where a
//! loop is no whole number of quanta long, or a counter sits at the edge of a bin so that labels flip at random. The
//! counters themselves tell more than the labels, and over which stretch of the past they do differs by program.
//!
//! # Method
//!
//! *Experts* speak for phases, each by a score `ln(1 + count * phases / pseudo)` of the evidence it counts for a phase:
//!
//! ```text
//! last value   the phase of the quantum just seen
//! contexts     the last 1, 2, 4, 8, 16 phases; the phase and how long it has lasted; the same and what was before it
//! analogues    for two rates of forgetting: what followed the nearest, the 3 and the 8 nearest moments of the past
//! values       for two signals: the cell it is in, and the cells that the analogues say it will be in
//! verdict      what the analogues' votes name, together with the phase just seen
//! spaces       if asked for: what the address space that ran last was at, whoever came between (`contexts/spaces.rs`)
//! ```
//!
//! Contexts, values and the verdict are looked up in one table of bounded size that counts what followed
//! (`contexts/tables.rs`); analogues are nearest neighbours in delay coordinates (`contexts/analogues.rs`); all are
//! mixed by weights learned for each level of evidence, shared and of each phase (`contexts/mixer.rs`).
//!
//! ```text
//! observe(phase, signals):
//!     the mixer learns from what was said and what came; the table counts it under the contexts that were asked
//!     the analogues take in the quantum; the coming contexts are formed; all experts are asked, the mixer mixes
//! forecast(1):      that mixture
//! forecast(h > 1):  where h was announced, a mixture of the same experts with tables and weights of its own, which learn
//!                   what came h quanta after they were asked; analogues and values say what followed h quanta later
//!                   elsewhere: last value and analogues, mixed by the weights of the coming quantum
//! ```
//!
//! An announced horizon costs what the coming quantum does without the search for analogues, which is done once for all.
//! Its forecasts are learned, not derived: h quanta ahead is not what h steps of one quantum would give.
//!
//! A value's *cell* has the width of a power of two near a sixteenth of the signal's deviation. The table from cells to
//! phases learns where the edges of phases lie and how often a value near an edge falls on either side, however phases
//! were defined: so a forecast of the number becomes one of the label.
//!
//! # Properties
//!
//! Sums to 1. The same on every machine: logarithm and exponential are its own (`contexts/elementary.rs`). Memory is
//! fixed at the start. What repeats is learned, also where a round is no whole number of quanta. Without signals it
//! lives on labels alone. What was tuned, on what, and what did not help: `docs/forecasting.md`.
//!
//! ```
//! use predictor::forecast::contexts::{Contexts, Settings};
//! use predictor::forecast::{Forecaster, Observation};
//! use predictor::phases::PhaseId;
//!
//! let mut forecaster = Contexts::new(3, &Settings::default());
//! for quantum in 0..90 {
//!     let phase = [0, 0, 1, 2, 1][quantum % 5];
//!     forecaster.observe(&Observation::of(PhaseId(phase), 1_000_000));
//! }
//! // Seen last: 0 0 1 2 1. Two zeros come next, and then 1.
//! let coming = [1, 2, 3].map(|quanta| forecaster.forecast(quanta).unwrap().most_likely().0);
//! assert_eq!(coming, [0, 0, 1]);
//! ```
//!
//! # Sources
//!
//! Contexts of several lengths: Cleary and Witten, "Data compression using adaptive coding and partial string
//! matching", IEEE Transactions on Communications 32, 1984. Analogues: Lorenz, Journal of the Atmospheric Sciences 26,
//! 1969; Farmer and Sidorowich, Physical Review Letters 59, 1987. Logistic mixing: Mahoney's PAQ; Mattern, "Mixing
//! strategies in data compression", DCC 2012.

mod analogues;

mod elementary;

mod lags;

mod mixer;

mod nearest;

mod outlook;

mod spaces;

mod tables;

use self::analogues::{Analogues, SIGNALS};
use self::mixer::Opinions;
use self::nearest::NEIGHBOURS;
use self::outlook::{Outlook, say_votes, short};
use self::spaces::{OF_SPACE, Spaces};
use self::tables::Context;
use super::{Forecast, Forecaster, Observation};
use crate::phases::PhaseId;
use crate::simd::{Lanes, Vector, Work};

/// What may be tuned. The default is what was, by families of programs and never for one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// How far back analogues are looked for, in quanta.
    pub window: usize,
    /// How much of the distance between past and present is kept a quantum: over a short stretch, and over a long one.
    pub keeps: [f32; COURSES],
    /// How many of the nearest analogues vote together, for each of three votes.
    pub votes: [usize; VOTES],
    /// How much of the counts of a context is kept at each visit.
    pub count_keep: f32,
    /// The same for value cells and verdicts.
    pub value_keep: f32,
    /// Pseudo-count, spread evenly over all phases.
    pub pseudo: f32,
    /// The weight that each expert starts with.
    pub initial_weight: f32,
    /// How fast weights learn.
    pub rate: f32,
    /// Whether address spaces are heeded, where they are known.
    pub by_space: bool,
    /// Binary logarithm of how many contexts the table holds.
    pub table_bits: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: 1024,
            keeps: [0.4, 0.9],
            votes: [1, 3, NEIGHBOURS],
            count_keep: 0.9,
            value_keep: 0.95,
            pseudo: 0.3,
            initial_weight: 0.05,
            rate: 0.0015,
            by_space: false,
            table_bits: 12,
        }
    }
}

/// Lengths of the contexts of phases, in quanta.
const LENGTHS: [usize; 5] = [1, 2, 4, 8, 16];

/// Phases that are remembered one by one.
const RECENT: usize = 16;

/// Rates of forgetting.
const COURSES: usize = 2;

/// Votes that are taken among the analogues of one rate.
const VOTES: usize = 3;

/// A value's cell is its deviation divided by 2 to this.
const CELL_BITS: i32 = 4;

/// Contexts of phases alone.
const OF_PHASES: usize = LENGTHS.len() + 2;

/// Contexts that are known before the analogues vote; the verdict is one more.
const ASKED: usize = OF_PHASES + SIGNALS * (COURSES + 1);

/// Experts: the last value, then contexts, then the verdict, then votes.
const EXPERTS: usize = FIRST_VOTE + COURSES * VOTES;

/// With address spaces: where each was, and its contexts.
const EXPERTS_WITH_SPACES: usize = EXPERTS + 1 + OF_SPACE;

/// Of quanta that nobody announced a third of the experts speak, for all: their opinions count so many times.
const AHEAD_FACTOR: f32 = 2.0;

/// Most quanta ahead that may be announced: what was said so long ago is kept until it is known what came.
pub const AHEAD_MOST: u32 = 64;

/// Most of them.
pub const HORIZONS_MOST: usize = 4;

/// The votes' first expert.
const FIRST_VOTE: usize = 1 + ASKED + 1;

/// Where a vCPU's run of one phase stands.
#[derive(Debug, Clone, Copy)]
struct Run {
    phase: usize,
    quanta: u64,
    before: Option<usize>,
}

/// The forecaster.
#[derive(Debug, Clone)]
pub struct Contexts {
    settings: Settings,
    phases: usize,
    run: Option<Run>,
    /// The last phases, the newest first; beyond the beginning, the largest number.
    recent: [u64; RECENT],
    analogues: Analogues,
    spaces: Option<Box<Spaces>>,
    /// The coming quantum, then the announced ones beyond it.
    outlooks: Vec<Outlook>,
}

impl Contexts {
    /// For a model of `phases` phases.
    #[must_use]
    pub fn new(phases: usize, settings: &Settings) -> Self {
        let phases = phases.max(1);
        Self {
            settings: *settings,
            phases,
            run: None,
            recent: [u64::MAX; RECENT],
            analogues: Analogues::new(settings.window, &settings.keeps),
            spaces: settings.by_space.then(|| Box::new(Spaces::new())),
            outlooks: vec![Outlook::new(1, phases, settings)],
        }
    }

    /// The same, learning from the start to forecast so many `quanta` ahead too, at most [`HORIZONS_MOST`] of them, each at
    /// most [`AHEAD_MOST`]. What it says of the coming quantum stays as it is.
    #[must_use]
    pub fn looking_ahead(mut self, quanta: &[u32]) -> Self {
        for quanta in quanta.iter().filter(|quanta| (2..=AHEAD_MOST).contains(*quanta)) {
            let known = self.outlooks.iter().any(|outlook| outlook.quanta() == *quanta as usize);
            if !known && self.outlooks.len() <= HORIZONS_MOST {
                self.outlooks.push(Outlook::new(*quanta as usize, self.phases, &self.settings));
            }
        }
        self
    }

    #[inline(always)]
    fn remember(&mut self, phase: usize, signals: &[Option<f64>]) -> Run {
        let run = match self.run {
            Some(run) if run.phase == phase => Run { quanta: run.quanta + 1, ..run },
            before => Run { phase, quanta: 1, before: before.map(|run| run.phase) },
        };
        self.run = Some(run);
        self.recent.copy_within(..RECENT - 1, 1);
        self.recent[0] = phase as u64;
        self.analogues.push(phase, signals);
        run
    }

    /// The contexts of phases alone, which are the same however far one looks ahead.
    #[inline(always)]
    fn of_phases(&self, run: Run) -> [Context; OF_PHASES] {
        let mut contexts = [Context::of_kind(0); OF_PHASES];
        let mut context = Context::of_kind(0);
        let mut hashed = 0;
        for (place, length) in LENGTHS.into_iter().enumerate() {
            for symbol in &self.recent[hashed..length] {
                context = context.with(*symbol);
            }
            hashed = length;
            contexts[place] = context.with(length as u64);
        }
        let lasted = Context::of_kind(1).with(run.phase as u64).with(run.quanta);
        contexts[LENGTHS.len()] = lasted;
        contexts[LENGTHS.len() + 1] = lasted.with(run.before.map_or(u64::MAX, |phase| phase as u64));
        contexts
    }

    /// Last value and analogues, by the weights of the coming quantum: for quanta ahead that nobody announced.
    fn unlearned(&self, last: usize, quanta: u32) -> Vec<f32> {
        let mut opinions = Opinions::default();
        let per_count = self.phases as f32 / self.settings.pseudo;
        opinions.say(0, 0, [(short(last), per_count)].into_iter());
        say_votes(&self.analogues, &self.settings, per_count, quanta as usize, &mut opinions);
        opinions.score();
        let mut probabilities = vec![0.0; self.phases];
        self.outlooks[0].mixer().mix(&opinions, last, AHEAD_FACTOR, &mut probabilities);
        probabilities
    }
}

/// A quantum to be taken in, with all there is inlined, so that it is compiled for the registers there are.
struct Quantum<'a, 'b> {
    forecaster: &'a mut Contexts,
    seen: &'a Observation<'b>,
}

impl Work for Quantum<'_, '_> {
    type Answer = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let came = self.seen.phase.index();
        let Contexts { settings, outlooks, .. } = &mut *self.forecaster;
        outlooks.iter_mut().for_each(|outlook| outlook.learn(came, settings));
        let run = self.forecaster.remember(came, self.seen.signals);
        let contexts = self.forecaster.of_phases(run);
        let Contexts { settings, outlooks, analogues, spaces, .. } = self.forecaster;
        let of_space = spaces.as_mut().and_then(|spaces| spaces.observe(self.seen.address_space, came));
        let of_space = of_space.as_ref();
        outlooks.iter_mut().for_each(|outlook| outlook.ask(came, &contexts, of_space, analogues, settings));
    }
}

impl Forecaster for Contexts {
    fn observe(&mut self, seen: &Observation<'_>) {
        Lanes::widest().run(Quantum { forecaster: self, seen });
    }

    fn forecast(&self, quanta: u32) -> Option<Forecast> {
        let last = self.run?.phase;
        let widened = |shares: &[f32]| shares.iter().map(|share| f64::from(*share)).collect();
        if quanta == 0 {
            return Some(Forecast::certain(PhaseId(u32::try_from(last).ok()?), self.phases));
        }
        let weights = match self.outlooks.iter().find(|outlook| outlook.quanta() == quanta as usize) {
            Some(outlook) => widened(outlook.probabilities()),
            None => widened(&self.unlearned(last, quanta)),
        };
        Forecast::from_weights(weights).ok()
    }

    fn memory_bytes(&self) -> usize {
        let outlooks: usize = self.outlooks.iter().map(Outlook::memory_bytes).sum();
        let spaces = self.spaces.as_ref().map_or(0, |spaces| size_of_val(spaces.as_ref()));
        size_of::<Self>() + spaces + self.analogues.memory_bytes() + outlooks
    }
}

#[cfg(test)]
mod tests;
