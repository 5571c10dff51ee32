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
//! forecast(h > 1):  last value and analogues, by what followed these h quanta later, mixed by the same weights
//! ```
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

mod tables;

use self::analogues::{Analogues, SIGNALS};
use self::mixer::{LEVELS, Mixer, Opinions};
use self::nearest::NEIGHBOURS;
use self::tables::{Context, Tables};
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

/// Contexts that are known before the analogues vote; the verdict is one more.
const ASKED: usize = LENGTHS.len() + 2 + SIGNALS * (COURSES + 1);

/// Experts: the last value, then contexts, then the verdict, then votes.
const EXPERTS: usize = FIRST_VOTE + COURSES * VOTES;

/// Several quanta ahead a third of the experts speak, for all: their opinions count so many times.
const AHEAD_FACTOR: f32 = 2.0;

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
    tables: Tables,
    /// What the coming quantum follows.
    contexts: [Context; ASKED + 1],
    opinions: Opinions,
    mixer: Mixer,
    probabilities: Vec<f32>,
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
            tables: Tables::new(settings.table_bits),
            contexts: [Context::of_kind(0); ASKED + 1],
            opinions: Opinions::default(),
            mixer: Mixer::new(phases, &[settings.initial_weight; EXPERTS], settings.rate),
            probabilities: vec![1.0 / phases as f32; phases],
        }
    }

    /// How much of its counts the context at `place` keeps.
    const fn keep(&self, place: usize) -> f32 {
        if place < LENGTHS.len() + 2 { self.settings.count_keep } else { self.settings.value_keep }
    }

    /// Takes in that `came` came after `last`.
    #[inline(always)]
    fn learn(&mut self, last: usize, came: usize) {
        self.mixer.learn(&self.opinions, last, &self.probabilities, came);
        self.tables.tick();
        for place in 0..self.contexts.len() {
            self.tables.count(self.contexts[place], came, self.keep(place));
        }
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

    /// Forms all contexts of the coming quantum but the verdict.
    #[inline(always)]
    fn form_contexts(&mut self, run: Run) {
        let mut context = Context::of_kind(0);
        let mut hashed = 0;
        for (place, length) in LENGTHS.into_iter().enumerate() {
            for symbol in &self.recent[hashed..length] {
                context = context.with(*symbol);
            }
            hashed = length;
            self.contexts[place] = context.with(length as u64);
        }
        let lasted = Context::of_kind(1).with(run.phase as u64).with(run.quanta);
        self.contexts[LENGTHS.len()] = lasted;
        self.contexts[LENGTHS.len() + 1] = lasted.with(run.before.map_or(u64::MAX, |phase| phase as u64));
        let mut place = LENGTHS.len() + 2;
        for signal in 0..SIGNALS {
            let exponent = self.analogues.deviation_exponent(signal) - CELL_BITS;
            let now = self.analogues.value(signal);
            let [short, long] = [0, 1].map(|course| self.analogues.coming_value(course, signal));
            for value in [now, short, long] {
                let context = Context::of_kind(2 + place as u64).with(u64::from(exponent.unsigned_abs()));
                self.contexts[place] = value.map_or(context, |value| context.with(cell(value, exponent)));
                place += 1;
            }
        }
    }

    /// Asks all experts, and mixes what they say.
    #[inline(always)]
    fn ask(&mut self, last: usize) {
        self.opinions.clear();
        let per_count = self.phases as f32 / self.settings.pseudo;
        self.opinions.say(0, 0, [(short(last), per_count)].into_iter());
        let named = say_votes(&self.analogues, &self.settings, per_count, 1, &mut self.opinions);
        let widest = named.map(|votes| votes[VOTES - 1].map_or(u64::MAX, u64::from));
        let nearest = named[COURSES - 1][0].map_or(u64::MAX, u64::from);
        let verdict = widest.into_iter().fold(Context::of_kind(100).with(last as u64), Context::with);
        self.contexts[ASKED] = verdict.with(nearest);
        for (place, context) in self.contexts.iter().enumerate() {
            if let Some(slot) = self.tables.get(*context) {
                let evidence = slot.followers().map(|(phase, count)| (phase, count * per_count));
                self.opinions.say(1 + place, level_of_visits(slot.visits), evidence);
            }
        }
        self.opinions.score();
        self.mixer.mix(&self.opinions, last, 1.0, &mut self.probabilities);
    }

    /// The mixture of those who can look several quanta ahead.
    fn ahead(&self, last: usize, quanta: u32) -> Vec<f32> {
        let mut opinions = Opinions::default();
        let per_count = self.phases as f32 / self.settings.pseudo;
        opinions.say(0, 0, [(short(last), per_count)].into_iter());
        say_votes(&self.analogues, &self.settings, per_count, quanta as usize, &mut opinions);
        opinions.score();
        let mut probabilities = vec![0.0; self.phases];
        self.mixer.mix(&opinions, last, AHEAD_FACTOR, &mut probabilities);
        probabilities
    }
}

/// Lets every vote among the analogues speak for what followed them after `quanta`; answers what each names.
#[inline(always)]
fn say_votes(
    analogues: &Analogues,
    settings: &Settings,
    per_count: f32,
    quanta: usize,
    opinions: &mut Opinions,
) -> [[Option<u16>; VOTES]; COURSES] {
    let mut named = [[None; VOTES]; COURSES];
    for (course, named) in named.iter_mut().enumerate() {
        let neighbours = analogues.neighbours(course);
        let Some(nearest) = neighbours.iter().next().map(|neighbour| neighbour.distance) else { continue };
        let mut tally = [(0u16, 0.0f32); NEIGHBOURS];
        let (mut different, mut counted, mut total) = (0, 0, 0.0);
        for (place, named) in named.iter_mut().enumerate() {
            let voters = settings.votes[place];
            for neighbour in neighbours.iter().take(voters).skip(counted) {
                let phase = analogues.phase_after(neighbour.lag, quanta);
                let weight = neighbour.weight;
                total += weight;
                match tally[..different].iter_mut().find(|(known, _)| *known == phase) {
                    Some((_, votes)) => *votes += weight,
                    None => {
                        tally[different] = (phase, weight);
                        different += 1;
                    }
                }
            }
            counted = counted.max(voters);
            let factor = voters as f32 / total * per_count;
            let evidence = tally[..different].iter().map(|(phase, votes)| (*phase, votes * factor));
            opinions.say(FIRST_VOTE + course * VOTES + place, level_of_distance(nearest), evidence);
            let leads = |best: (u16, f32), other: &(u16, f32)| if other.1 > best.1 { *other } else { best };
            *named = Some(tally[1..different.max(1)].iter().fold(tally[0], leads).0);
        }
    }
    named
}

/// A phase as tables and votes keep it.
fn short(phase: usize) -> u16 {
    u16::try_from(phase).unwrap_or(u16::MAX)
}

fn level_of_visits(visits: u16) -> usize {
    match visits {
        0..=3 => usize::from(visits),
        4..=6 => 4,
        7..=12 => 5,
        13..=30 => 6,
        _ => 7,
    }
}

/// 0 for a twin, a level more with each doubling of the distance.
fn level_of_distance(distance: f32) -> usize {
    let exponent = (distance.max(f32::MIN_POSITIVE).to_bits() >> 23) as i32 - 127;
    usize::try_from(exponent + 6).unwrap_or(0).min(LEVELS - 1)
}

/// Which cell of width 2 to the `exponent` a value lies in.
fn cell(value: f32, exponent: i32) -> u64 {
    // 2 to the -exponent, put together from its parts: deviations are single precision, so it is an ordinary number.
    let per_cell = f64::from_bits(((1023 - i64::from(exponent)) as u64) << 52);
    let cells = f64::from(value) * per_cell;
    // The floor; `floor` would be a call. The bits of a negative number are as good a name of a cell as any.
    let whole = cells as i64;
    whole.saturating_sub(i64::from(whole as f64 > cells)) as u64
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
        let forecaster = self.forecaster;
        if let Some(run) = forecaster.run {
            forecaster.learn(run.phase, came);
        }
        let run = forecaster.remember(came, self.seen.signals);
        forecaster.form_contexts(run);
        forecaster.ask(came);
    }
}

impl Forecaster for Contexts {
    fn observe(&mut self, seen: &Observation<'_>) {
        Lanes::widest().run(Quantum { forecaster: self, seen });
    }

    fn forecast(&self, quanta: u32) -> Option<Forecast> {
        let last = self.run?.phase;
        let widened = |shares: &[f32]| shares.iter().map(|share| f64::from(*share)).collect();
        match quanta {
            0 => Some(Forecast::certain(PhaseId(u32::try_from(last).ok()?), self.phases)),
            1 => Forecast::from_weights(widened(&self.probabilities)).ok(),
            _ => Forecast::from_weights(widened(&self.ahead(last, quanta))).ok(),
        }
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.analogues.memory_bytes()
            + self.tables.memory_bytes()
            + self.mixer.memory_bytes()
            + size_of_val(self.probabilities.as_slice())
    }
}

#[cfg(test)]
mod tests;
