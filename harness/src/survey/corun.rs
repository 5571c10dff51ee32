//! Two programs in one LLC domain, each compared with itself alone at equal work.
//!
//! A co-run needs three runs: both guests together, and each of them alone with the page colours that it has in the pair.
//! Runs alone are shared by all pairs that need the same one. Slowdown is the time that the pair took for a span of a
//! guest's work over the time the guest took alone for it; the span is the longest that both runs completed, counted in
//! instructions from the program's start.

use machine::spec::Machine;
use serde::{Deserialize, Serialize};

use super::SurveyError;
use super::folder::SurveyFolder;
use super::play::{Played, Run, Work, mix_of, play};
use crate::experiment::Surroundings;
use crate::input::InputError;
use crate::mix::{DEFAULT_MEMORY_MIB, Mix};
use crate::report::collected::Series;
use crate::testbed::TestBed;
use crate::workers::at_once;

/// Where co-runs take place.
#[derive(Debug, Clone)]
pub struct Setting<'a> {
    /// What tells it apart in the names of runs: letters, digits, `-`; empty if there is only one.
    pub name: String,
    /// Whose guests.
    pub bed: &'a TestBed,
    /// On what machine.
    pub machine: Machine,
    /// With which page colours.
    pub seed: u64,
}

/// Two programs to run together.
#[derive(Debug, Clone, Copy)]
pub struct CoRun<'a> {
    /// Where: the place of a [`Setting`] in the list.
    pub setting: usize,
    /// Who; the first gets slot 0.
    pub works: [Work<'a>; 2],
}

/// These works together, each two at the same place.
pub fn all_at<'a>(setting: usize, works: &[[Work<'a>; 2]]) -> impl Iterator<Item = CoRun<'a>> {
    works.iter().map(move |works| CoRun { setting, works: *works })
}

/// One guest of a pair, over the longest span of its work that it completed both alone and in the pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Side {
    /// The program's name.
    pub program: String,
    /// The name of its input.
    pub input: String,
    /// The span of work.
    pub instructions: f64,
    /// Time it took alone.
    pub nanoseconds_alone: f64,
    /// Time it took in the pair.
    pub nanoseconds_together: f64,
    /// LLC misses alone, where they were counted.
    pub llc_misses_alone: Option<f64>,
    /// LLC misses in the pair, where they were counted.
    pub llc_misses_together: Option<f64>,
}

impl Side {
    /// How many times as long as alone the work took.
    #[must_use]
    pub fn slowdown(&self) -> f64 {
        self.nanoseconds_together / self.nanoseconds_alone
    }

    /// LLC misses per thousand instructions alone.
    #[must_use]
    pub fn misses_alone_per_kilo_instruction(&self) -> Option<f64> {
        Some(1000.0 * self.llc_misses_alone? / self.instructions)
    }

    /// LLC misses per thousand instructions in the pair.
    #[must_use]
    pub fn misses_together_per_kilo_instruction(&self) -> Option<f64> {
        Some(1000.0 * self.llc_misses_together? / self.instructions)
    }
}

/// Two programs that ran together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The seed of the page colours.
    pub seed: u64,
    /// The guests, the first in slot 0.
    pub sides: [Side; 2],
}

/// A side that is slowed down by more than this suffers.
pub const SUFFERS: f64 = 1.2;

impl Pair {
    /// Whether one side suffers.
    #[must_use]
    pub fn suffers(&self) -> bool {
        self.worst() > SUFFERS
    }

    /// Slowdown of the side that suffers more.
    #[must_use]
    pub fn worst(&self) -> f64 {
        self.sides[0].slowdown().max(self.sides[1].slowdown())
    }
}

/// Co-runs with the runs alone that they need.
pub struct CoRuns<'a> {
    settings: Vec<Setting<'a>>,
    pairs: Vec<(String, CoRun<'a>, Mix)>,
    alone: Vec<(String, usize, Mix)>,
}

impl<'a> CoRuns<'a> {
    /// The runs of these pairs, each run alone once.
    pub fn new(
        settings: Vec<Setting<'a>>,
        pairs: impl IntoIterator<Item = CoRun<'a>>,
        quantum_cycles: u64,
    ) -> Result<Self, InputError> {
        let mut all = Self { settings, pairs: Vec::new(), alone: Vec::new() };
        for pair in pairs {
            let setting = &all.settings[pair.setting];
            let mix = mix_of(&pair.works, &setting.machine, quantum_cycles, setting.seed)?;
            setting.bed.kind().check(&mix)?;
            let name = name_of(setting, &format!("{}+{}", pair.works[0].name(), pair.works[1].name()));
            for slot in 0..2 {
                let name = all.alone_name(&pair, slot);
                if all.alone.iter().all(|(known, _, _)| *known != name) {
                    let alone = mix.alone(slot).expect("a pair has two guests");
                    all.alone.push((name, pair.setting, alone));
                }
            }
            all.pairs.push((name, pair, mix));
        }
        Ok(all)
    }

    fn alone_name(&self, pair: &CoRun<'_>, slot: usize) -> String {
        name_of(&self.settings[pair.setting], &format!("{}.alone-in-slot-{slot}", pair.works[slot].name()))
    }

    /// The names of all runs, for a survey's plan.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let alone = self.alone.iter().map(|(name, _, _)| name.clone());
        alone.chain(self.pairs.iter().map(|(name, _, _)| name.clone())).collect()
    }

    /// Does all runs that `folder` lacks; answers the pairs in their order.
    pub fn measure(
        &self,
        folder: &SurveyFolder,
        quanta: u64,
        around: &Surroundings<'_>,
    ) -> Result<Vec<Pair>, SurveyError> {
        let run = |label: &str, setting: usize, mix: &Mix| -> Result<Vec<Played>, SurveyError> {
            let consoles = folder.consoles();
            let run = Run { label, purpose: "survey-pair", mix, quanta, trace: None, consoles: &consoles };
            play(self.settings[setting].bed, &run, around)
        };
        let names: Vec<String> = self.alone.iter().map(|(name, _, _)| name.clone()).collect();
        let alone = folder.findings(&names, at_once(1, DEFAULT_MEMORY_MIB), around, &|place, label| {
            let (name, setting, mix) = &self.alone[place];
            let bed = self.settings[*setting].bed;
            bed.record(&[mix], quanta, Some(&folder.consoles()), around.interrupt, &|_| ())
                .map_err(|source| SurveyError::Bed { what: label.to_owned(), source: Box::new(source) })?;
            Ok(series(name, &run(label, *setting, mix)?[0]))
        })?;
        let names: Vec<String> = self.pairs.iter().map(|(name, _, _)| name.clone()).collect();
        folder.findings(&names, at_once(2, DEFAULT_MEMORY_MIB), around, &|place, label| {
            let (name, pair, mix) = &self.pairs[place];
            let played = run(label, pair.setting, mix)?;
            let side = |slot: usize| -> Result<Side, SurveyError> {
                let alone_name = self.alone_name(pair, slot);
                let known = self.alone.iter().position(|(name, _, _)| *name == alone_name);
                let alone: &Series = &alone[known.expect("every pair's runs alone are in the list")];
                compare(&pair.works[slot], alone, &series(name, &played[slot]))
                    .ok_or_else(|| SurveyError::NoWork { what: name.clone() })
            };
            Ok(Pair { seed: self.settings[pair.setting].seed, sides: [side(0)?, side(1)?] })
        })
    }
}

fn name_of(setting: &Setting<'_>, run: &str) -> String {
    if setting.name.is_empty() { run.to_owned() } else { format!("{}.{run}", setting.name) }
}

pub(super) fn series(name: &str, played: &Played) -> Series {
    let mut series = Series::of(name);
    played.samples.iter().for_each(|sample| series.push(sample, None, None));
    series
}

/// The comparison at equal work; `None` if one of the runs retired nothing, or nothing was counted.
pub(super) fn compare(work: &Work<'_>, alone: &Series, together: &Series) -> Option<Side> {
    let (alone, together) = (Path::of(alone), Path::of(together));
    let span = alone.instructions().min(together.instructions());
    if span <= 0.0 {
        return None;
    }
    let (before, after) = (alone.at(span)?, together.at(span)?);
    Some(Side {
        program: work.program.name.clone(),
        input: work.input.to_owned(),
        instructions: span,
        nanoseconds_alone: before.nanoseconds,
        nanoseconds_together: after.nanoseconds,
        llc_misses_alone: before.llc_misses,
        llc_misses_together: after.llc_misses,
    })
}

/// What a guest had done and taken at the end of each quantum, after a first point at zero, up to the first quantum
/// whose instructions were not counted.
struct Path(Vec<Point>);

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Point {
    instructions: f64,
    nanoseconds: f64,
    llc_misses: Option<f64>,
}

impl Path {
    fn of(series: &Series) -> Self {
        let mut point = Point { llc_misses: Some(0.0), ..Point::default() };
        let mut points = vec![point];
        let quanta = series.instructions.iter().zip(&series.elapsed_ns).zip(&series.llc_misses);
        for ((instructions, nanoseconds), misses) in quanta {
            let Some(instructions) = instructions else { break };
            point.instructions += *instructions as f64;
            point.nanoseconds += *nanoseconds as f64;
            point.llc_misses = point.llc_misses.zip(*misses).map(|(sum, more)| sum + more as f64);
            points.push(point);
        }
        Self(points)
    }

    fn instructions(&self) -> f64 {
        self.0.last().map_or(0.0, |point| point.instructions)
    }

    /// The way up to this much work, linear within a quantum; `None` beyond the end.
    fn at(&self, instructions: f64) -> Option<Point> {
        let next = self.0.partition_point(|point| point.instructions < instructions);
        let right = *self.0.get(next)?;
        let Some(left) = next.checked_sub(1).map(|before| self.0[before]) else { return Some(right) };
        let share = (instructions - left.instructions) / (right.instructions - left.instructions);
        let between = |left: f64, right: f64| left + share * (right - left);
        Some(Point {
            instructions,
            nanoseconds: between(left.nanoseconds, right.nanoseconds),
            llc_misses: left.llc_misses.zip(right.llc_misses).map(|(left, right)| between(left, right)),
        })
    }
}

#[cfg(test)]
mod tests {
    use workloads::catalogue::Catalogue;

    use super::*;
    use crate::report::metrics::slowdown;

    fn series(quanta: &[(u64, u64)]) -> Series {
        Series {
            elapsed_ns: vec![1000; quanta.len()],
            instructions: quanta.iter().map(|(instructions, _)| Some(*instructions)).collect(),
            llc_misses: quanta.iter().map(|(_, misses)| Some(*misses)).collect(),
            ..Series::default()
        }
    }

    fn compared(alone: &Series, together: &Series) -> Option<Side> {
        let catalogue = Catalogue::builtin();
        compare(&Work::first(&catalogue.programs()[0]), alone, together)
    }

    #[test]
    fn time_and_misses_are_compared_over_the_same_work() {
        // Alone: 200 instructions with 10 misses in each of two quanta, then a slow phase that the pair never reached.
        let alone = series(&[(200, 10), (200, 10), (50, 90)]);
        let together = series(&[(100, 20), (100, 20), (100, 20), (50, 10)]);
        let side = compared(&alone, &together).expect("both worked");
        assert_eq!(side.instructions, 350.0);
        assert_eq!((side.nanoseconds_alone, side.nanoseconds_together), (1750.0, 4000.0));
        assert_eq!((side.llc_misses_alone, side.llc_misses_together), (Some(17.5), Some(70.0)));
    }

    #[test]
    fn it_is_the_slowdown_that_reports_of_experiments_tell() {
        let (alone, together) =
            (series(&[(200, 1), (170, 3), (50, 0)]), series(&[(90, 5), (110, 7), (3, 0), (190, 9)]));
        let side = compared(&alone, &together).expect("both worked");
        assert_eq!(Some(side.slowdown()), slowdown(&alone, &together));
    }

    #[test]
    fn a_guest_that_did_nothing_has_no_slowdown() {
        assert_eq!(compared(&series(&[(0, 0)]), &series(&[(10, 0)])), None);
    }
}
