//! What lies so many quanta ahead: the experts asked about it, and the tables and weights that learn from what came.
//!
//! Owns one horizon ([`Outlook`]). What was said about a quantum is kept until it comes, so one that looks `h` quanta ahead
//! holds the last `h` answers. What the experts speak from, phases and analogues, is handed in and shared by all horizons.

use super::analogues::{Analogues, SIGNALS};
use super::mixer::{LEVELS, Mixer, Opinions};
use super::nearest::NEIGHBOURS;
use super::spaces::{OF_SPACE, OfSpace};
use super::tables::{Context, Tables};
use super::{ASKED, CELL_BITS, COURSES, EXPERTS, EXPERTS_WITH_SPACES, FIRST_VOTE, OF_PHASES, Settings, VOTES};

/// How far ahead the space that ends a quantum is taken to say anything: it begins the next one, and later others have their turns.
const SPACES_AHEAD_MOST: usize = 4;

/// What was asked and said about one quantum.
#[derive(Debug, Clone)]
struct Answer {
    /// The phase when it was asked.
    last: usize,
    contexts: [Context; ASKED + 1],
    /// Those of the address space, where it is known.
    of_space: Option<[Context; OF_SPACE]>,
    opinions: Opinions,
    probabilities: Vec<f32>,
}

/// One horizon of one vCPU.
#[derive(Debug, Clone)]
pub(super) struct Outlook {
    /// One for each quantum that is yet to come, up to the one that it looks at.
    answers: Vec<Answer>,
    /// Where the next answer goes, in the place of the oldest.
    place: usize,
    /// Answers given, up to the number of places.
    given: usize,
    /// Whether address spaces are asked about it.
    heeds_spaces: bool,
    tables: Tables,
    mixer: Mixer,
}

impl Outlook {
    /// Looks `quanta` ahead, at least 1, for a model of `phases` phases.
    pub(super) fn new(quanta: usize, phases: usize, settings: &Settings) -> Self {
        let answer = Answer {
            last: 0,
            contexts: [Context::of_kind(0); ASKED + 1],
            of_space: None,
            opinions: Opinions::default(),
            probabilities: vec![1.0 / phases as f32; phases],
        };
        let initial = [settings.initial_weight; EXPERTS_WITH_SPACES];
        let heeds_spaces = settings.by_space && quanta <= SPACES_AHEAD_MOST;
        let experts = if heeds_spaces { EXPERTS_WITH_SPACES } else { EXPERTS };
        Self {
            answers: vec![answer; quanta.max(1)],
            place: 0,
            given: 0,
            heeds_spaces,
            tables: Tables::new(settings.table_bits),
            mixer: Mixer::new(phases, &initial[..experts], settings.rate),
        }
    }

    /// How many quanta ahead it looks.
    pub(super) const fn quanta(&self) -> usize {
        self.answers.len()
    }

    pub(super) const fn mixer(&self) -> &Mixer {
        &self.mixer
    }

    /// The distribution so many quanta from now.
    pub(super) fn probabilities(&self) -> &[f32] {
        let newest = self.place.checked_sub(1).unwrap_or(self.answers.len() - 1);
        &self.answers[newest].probabilities
    }

    /// Takes in that `came` came.
    #[inline(always)]
    pub(super) fn learn(&mut self, came: usize, settings: &Settings) {
        if self.given < self.answers.len() {
            return;
        }
        let Answer { last, contexts, of_space, opinions, probabilities } = &self.answers[self.place];
        self.mixer.learn(opinions, *last, probabilities, came);
        self.tables.tick();
        for (place, context) in contexts.iter().enumerate() {
            let keep = if place < OF_PHASES { settings.count_keep } else { settings.value_keep };
            self.tables.count(*context, came, keep);
        }
        for context in of_space.iter().flatten() {
            self.tables.count(*context, came, settings.count_keep);
        }
    }

    /// Asks all experts in a quantum of phase `last`, and mixes what they say.
    #[inline(always)]
    pub(super) fn ask(
        &mut self,
        last: usize,
        of_phases: &[Context; OF_PHASES],
        of_space: Option<&OfSpace>,
        analogues: &Analogues,
        settings: &Settings,
    ) {
        let quanta = self.quanta();
        let of_space = of_space.filter(|_| self.heeds_spaces);
        let answer = &mut self.answers[self.place];
        answer.last = last;
        answer.contexts[..OF_PHASES].copy_from_slice(of_phases);
        value_contexts(&mut answer.contexts, analogues, quanta);
        let Answer { contexts, opinions, probabilities, .. } = answer;
        opinions.clear();
        let per_count = probabilities.len() as f32 / settings.pseudo;
        opinions.say(0, 0, [(short(last), per_count)].into_iter());
        let named = say_votes(analogues, settings, per_count, quanta, opinions);
        let widest = named.map(|votes| votes[VOTES - 1].map_or(u64::MAX, u64::from));
        let nearest = named[COURSES - 1][0].map_or(u64::MAX, u64::from);
        let verdict = widest.into_iter().fold(Context::of_kind(100).with(last as u64), Context::with);
        contexts[ASKED] = verdict.with(nearest);
        for (place, context) in contexts.iter().enumerate() {
            if let Some(slot) = self.tables.get(*context) {
                let evidence = slot.followers().map(|(phase, count)| (phase, count * per_count));
                opinions.say(1 + place, level_of_visits(slot.visits), evidence);
            }
        }
        answer.of_space = of_space.map(|of| of.contexts);
        if let Some(of) = of_space {
            let level = if of.is_own { 0 } else { 1 };
            opinions.say(EXPERTS, level, of.resumes.map(|phase| (phase, per_count)).into_iter());
            for (place, context) in of.contexts.iter().enumerate() {
                if let Some(slot) = self.tables.get(*context) {
                    let evidence = slot.followers().map(|(phase, count)| (phase, count * per_count));
                    opinions.say(EXPERTS + 1 + place, level_of_visits(slot.visits), evidence);
                }
            }
        }
        opinions.score();
        self.mixer.mix(opinions, last, 1.0, probabilities);
        self.place = if self.place + 1 < quanta { self.place + 1 } else { 0 };
        self.given = (self.given + 1).min(quanta);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let answer = |answer: &Answer| size_of::<Answer>() + size_of_val(answer.probabilities.as_slice());
        let answers: usize = self.answers.iter().map(answer).sum();
        size_of::<Self>() + answers + self.tables.memory_bytes() + self.mixer.memory_bytes()
    }
}

/// The contexts of values: the cell that each signal is in, and those that the analogues say it will be in.
#[inline(always)]
fn value_contexts(contexts: &mut [Context; ASKED + 1], analogues: &Analogues, quanta: usize) {
    let mut place = OF_PHASES;
    for signal in 0..SIGNALS {
        let exponent = analogues.deviation_exponent(signal) - CELL_BITS;
        let now = analogues.value(signal);
        let [short, long] = [0, 1].map(|course| analogues.coming_value(course, signal, quanta));
        for value in [now, short, long] {
            let context = Context::of_kind(2 + place as u64).with(u64::from(exponent.unsigned_abs()));
            contexts[place] = value.map_or(context, |value| context.with(cell(value, exponent)));
            place += 1;
        }
    }
}

/// Lets every vote among the analogues speak for what followed them after `quanta`; answers what each names.
#[inline(always)]
pub(super) fn say_votes(
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
pub(super) fn short(phase: usize) -> u16 {
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
