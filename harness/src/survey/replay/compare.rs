//! One mix under one policy on both hosts, and how far they are apart at equal work.
//!
//! The policy decides on the emulated host alone; its moves that were done are then made on the replayed host after the
//! same quanta, so that both machines are asked the same. What the policy would have done on the replayed host is
//! run as well, and counted.

use std::path::Path;

use predictor::counters::{Event, Sample};
use predictor::model::Model;
use predictor::placement::Move;
use predictor::policy::{Policy, PolicyKind, Settings};
use predictor::train::{self, TrainSettings};
use serde::{Deserialize, Serialize};
use workloads::catalogue::Family;

use super::Beds;
use super::divided::{Divided, parts_of};
use crate::control::{self, ControlError, Follower, RunLength};
use crate::experiment::Surroundings;
use crate::host::{Host, HostError};
use crate::journal::{JournalWriter, Turn};
use crate::mix::{Mix, MixGuest};
use crate::survey::SurveyError;
use crate::testbed::{BedError, TestBed};

/// Running sums of one guest on one host, at the ends of equal stretches of time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sums {
    /// Instructions.
    pub instructions: Vec<u64>,
    /// Cycles in which it ran.
    pub cycles: Vec<u64>,
    /// References to the LLC.
    pub llc_references: Vec<u64>,
    /// References that missed it.
    pub llc_misses: Vec<u64>,
}

/// Counts at some amount of work; between two counts a straight line, so not whole.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Cycles in which the guest ran.
    pub cycles: f64,
    /// References to the LLC.
    pub llc_references: f64,
    /// References that missed it.
    pub llc_misses: f64,
}

impl Sums {
    /// Adds what was counted next.
    pub(super) fn add(&mut self, sample: &Sample) -> Result<(), HostError> {
        let columns = [
            (&mut self.instructions, Event::Instructions),
            (&mut self.cycles, Event::Cycles),
            (&mut self.llc_references, Event::LlcReferences),
            (&mut self.llc_misses, Event::LlcMisses),
        ];
        for (column, event) in columns {
            let count = sample.count(event).ok_or_else(|| HostError {
                action: format!("compare {}", sample.vcpu),
                reason: format!("its host did not count {}", event.name()),
            })?;
            column.push(column.last().copied().unwrap_or(0) + count);
        }
        Ok(())
    }

    /// What was counted when so many instructions had been executed.
    fn at(&self, instructions: u64) -> Counts {
        let after = self.instructions.partition_point(|&sum| sum < instructions).min(self.instructions.len() - 1);
        let before = |column: &[u64]| if after == 0 { 0 } else { column[after - 1] };
        let (from, to) = (before(&self.instructions), self.instructions[after]);
        let share = if to > from { (instructions - from) as f64 / (to - from) as f64 } else { 1.0 };
        let between = |column: &[u64]| {
            let from = before(column) as f64;
            from + share * (column[after] as f64 - from)
        };
        Counts {
            cycles: between(&self.cycles),
            llc_references: between(&self.llc_references),
            llc_misses: between(&self.llc_misses),
        }
    }

    /// Every so many of them, so that the last stays.
    fn every(&self, parts: usize) -> Self {
        let thinned = |column: &[u64]| column.iter().skip(parts - 1).step_by(parts).copied().collect();
        Self {
            instructions: thinned(&self.instructions),
            cycles: thinned(&self.cycles),
            llc_references: thinned(&self.llc_references),
            llc_misses: thinned(&self.llc_misses),
        }
    }

    fn total(&self) -> u64 {
        self.instructions.last().copied().unwrap_or(0)
    }
}

/// One guest on both hosts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestAgreement {
    /// Its name.
    pub name: String,
    /// Its program.
    pub program: String,
    /// `kernel`, `phased` or `real`.
    pub family: String,
    /// Instructions that both hosts executed: the work at which they are compared.
    pub work: u64,
    /// Counts at that work, on the emulated host and on the replayed one.
    pub at_work: [Counts; 2],
    /// What was counted on the emulated host, quantum by quantum.
    pub emulated: Sums,
    /// What was counted on the replayed host.
    pub replayed: Sums,
}

impl GuestAgreement {
    /// Whether both hosts have counts, and the same quanta.
    pub(super) fn is_sound(&self) -> bool {
        let columns = |sums: &Sums| {
            [&sums.instructions, &sums.cycles, &sums.llc_references, &sums.llc_misses].map(|column| column.len())
        };
        let lengths = [columns(&self.emulated), columns(&self.replayed)].concat();
        lengths[0] > 0 && lengths.iter().all(|length| *length == lengths[0])
    }

    /// Compares sums that are known `parts` times a quantum.
    fn of(guest: &MixGuest, emulated: &Sums, replayed: &Sums, parts: usize) -> Self {
        let work = emulated.total().min(replayed.total());
        Self {
            name: guest.name.clone(),
            program: guest.program.clone(),
            family: family_name(guest.family).to_owned(),
            work,
            at_work: [emulated, replayed].map(|sums| sums.at(work)),
            emulated: emulated.every(parts),
            replayed: replayed.every(parts),
        }
    }
}

/// How a policy's decisions on the replayed host compare with those on the emulated one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decisions {
    /// Moves that were done on the emulated host.
    pub emulated_moves: u64,
    /// Moves that the same policy did on the replayed host, left to itself.
    pub own_moves: u64,
    /// Quanta after which the two asked for different moves.
    pub differing_quanta: u64,
    /// Quanta that the two spent in different placements.
    pub quanta_placed_otherwise: u64,
}

/// A mix under a policy on both hosts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// The mix's name.
    pub mix: String,
    /// The policy's name.
    pub policy: String,
    /// In the order of the mix.
    pub guests: Vec<GuestAgreement>,
    /// What the policy did on each host.
    pub decisions: Decisions,
}

/// One comparison to make.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) mix: &'a Mix,
    pub(super) policy: PolicyKind,
}

impl Job<'_> {
    pub(super) fn name(&self) -> String {
        format!("{}.{}", self.mix.name, self.policy)
    }
}

/// What each guest did in a run, and what was moved after each quantum.
struct Seen {
    guests: Vec<Sums>,
    moves: Vec<Vec<Move>>,
}

/// Runs the mix on the emulated host, then its moves and the policy itself on the replayed one.
pub(super) fn measure(
    beds: &Beds,
    job: Job<'_>,
    quanta: u64,
    label: &str,
    consoles: &Path,
    around: &Surroundings<'_>,
) -> Result<Agreement, SurveyError> {
    let stage = Stage { mix: job.mix, quanta, label, consoles, around };
    let mix = job.mix;
    let note = |line: &str| around.progress.note(&format!("{label}: {line}"));
    let streams = beds.replayed.record(&[mix], quanta, Some(consoles), around.interrupt, &note);
    streams.map_err(|source| stage.no_bed(source))?;
    let model = match job.policy {
        PolicyKind::StayPut => None,
        _ => Some(stage.learn(&beds.replayed)?),
    };
    let policy = || match &model {
        Some(model) => Policy::new(job.policy, Settings::default(), mix.topology(), model.clone()),
        None => Policy::stay_put(mix.topology()),
    };
    let emulated = stage.watch(&beds.emulated, &mut policy())?;
    let replayed = stage.follow(&beds.replayed, &emulated.moves)?;
    let own = match &model {
        Some(_) => stage.watch(&beds.replayed, &mut policy())?.moves,
        None => emulated.moves.clone(),
    };
    let both = mix.guests.iter().zip(emulated.guests.iter().zip(&replayed));
    let parts = parts_of(mix) as usize;
    let guests = both.map(|(guest, (emulated, replayed))| GuestAgreement::of(guest, emulated, replayed, parts));
    Ok(Agreement {
        mix: mix.name.clone(),
        policy: job.policy.name().to_owned(),
        guests: guests.collect(),
        decisions: decisions(mix, &emulated.moves, &own),
    })
}

/// What all runs of one comparison share.
struct Stage<'a> {
    mix: &'a Mix,
    quanta: u64,
    label: &'a str,
    consoles: &'a Path,
    around: &'a Surroundings<'a>,
}

impl Stage<'_> {
    /// A model of the mix's guests, from replays of each alone.
    fn learn(&self, bed: &TestBed) -> Result<Model, SurveyError> {
        let alone = |index: usize| -> Result<train::Series, SurveyError> {
            let solo = self.mix.alone(index).expect("one of its guests");
            let mut samples = Vec::new();
            let mut policy = Policy::stay_put(solo.topology());
            Stage { mix: &solo, ..*self }.play(bed, &mut policy, &mut |turn| {
                samples.extend(turn.observation.samples.iter().cloned());
                Ok(())
            })?;
            Ok(train::Series { name: self.mix.guests[index].name.clone(), samples })
        };
        let series: Vec<train::Series> = (0..self.mix.guests.len()).map(alone).collect::<Result<_, _>>()?;
        let machine = self.mix.describe("train", bed.kind().name(), "", &Event::ALL.into()).model_machine();
        let settings = TrainSettings { seed: self.mix.seed, ..TrainSettings::default() };
        train::train(&series, &machine, &settings)
            .map_err(|source| SurveyError::Phases { what: self.label.to_owned(), source })
    }

    /// Runs the mix under a policy and keeps each guest's sums and the moves that were done.
    fn watch(&self, bed: &TestBed, policy: &mut Policy) -> Result<Seen, SurveyError> {
        let mut moves = Vec::new();
        let guests = self.play(bed, policy, &mut |turn| {
            let done = turn.outcomes.iter().filter(|outcome| outcome.refusal.is_none());
            moves.push(done.map(|outcome| outcome.requested).collect());
            Ok(())
        })?;
        Ok(Seen { guests, moves })
    }

    fn play(&self, bed: &TestBed, policy: &mut Policy, see: &mut Follower<'_>) -> Result<Vec<Sums>, SurveyError> {
        let Self { mix, quanta, around, .. } = *self;
        let bar = around.progress.run(&format!("{} {}", self.label, bed.kind().name()), quanta);
        let host = bed
            .launch(mix, quanta, Some(self.consoles), around.interrupt, &|line| bar.preparing(line))
            .map_err(|source| self.no_bed(source))?;
        let mut host = Divided::new(host, mix);
        let run = mix.describe("survey-replay", bed.kind().name(), policy.kind().name(), host.events());
        let journal = JournalWriter::new(std::io::sink(), &run).map_err(|error| self.stopped(error.into()))?;
        let length = RunLength { quanta, quantum: mix.quantum() };
        let played = control::run(&mut host, policy, journal, length, around.interrupt, &mut |turn: &Turn| {
            bar.quantum();
            see(turn)
        });
        played.map_err(|error| self.stopped(error))?;
        bar.done();
        Ok(host.into_sums())
    }

    /// Runs the mix with these moves, after these quanta, whatever a policy would think of them.
    fn follow(&self, bed: &TestBed, moves: &[Vec<Move>]) -> Result<Vec<Sums>, SurveyError> {
        let launched = bed.launch(self.mix, self.quanta, Some(self.consoles), self.around.interrupt, &|_| {});
        let mut host = Divided::new(launched.map_err(|source| self.no_bed(source))?, self.mix);
        for (quantum, moves) in (0..).zip(moves) {
            let passed = repeat(&mut host, self.mix, moves);
            passed.map_err(|cause| self.stopped(ControlError::Host { quantum, cause }))?;
        }
        Ok(host.into_sums())
    }

    fn no_bed(&self, source: BedError) -> SurveyError {
        SurveyError::Bed { what: self.label.to_owned(), source: Box::new(source) }
    }

    fn stopped(&self, source: ControlError) -> SurveyError {
        SurveyError::Run { what: self.label.to_owned(), source }
    }
}

/// One quantum, and the moves that were done after it elsewhere.
fn repeat(host: &mut dyn Host, mix: &Mix, moves: &[Move]) -> Result<(), HostError> {
    host.advance(mix.quantum())?;
    if moves.is_empty() {
        return Ok(());
    }
    match host.apply(moves)?.into_iter().find(|outcome| outcome.refusal.is_some()) {
        Some(refused) => Err(HostError {
            action: format!("repeat the move of {}", refused.requested.vcpu),
            reason: refused.refusal.unwrap_or_default(),
        }),
        None => Ok(()),
    }
}

fn decisions(mix: &Mix, emulated: &[Vec<Move>], own: &[Vec<Move>]) -> Decisions {
    let count = |moves: &[Vec<Move>]| moves.iter().map(Vec::len).sum::<usize>() as u64;
    let mut placed = [0; 2].map(|_| mix.guests.iter().map(|guest| guest.domain).collect::<Vec<_>>());
    let (mut differing_quanta, mut quanta_placed_otherwise) = (0, 0);
    for (emulated, own) in emulated.iter().zip(own) {
        quanta_placed_otherwise += u64::from(placed[0] != placed[1]);
        differing_quanta += u64::from(emulated != own);
        for (placed, moves) in placed.iter_mut().zip([emulated, own]) {
            for change in moves {
                placed[change.vcpu.guest.0 as usize] = change.to;
            }
        }
    }
    Decisions { emulated_moves: count(emulated), own_moves: count(own), differing_quanta, quanta_placed_otherwise }
}

const fn family_name(family: Family) -> &'static str {
    match family {
        Family::Kernel => "kernel",
        Family::Phased => "phased",
        Family::Real => "real",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(instructions: &[u64], cycles: &[u64]) -> Sums {
        let nothing = vec![0; instructions.len()];
        Sums {
            instructions: instructions.to_vec(),
            cycles: cycles.to_vec(),
            llc_references: nothing.clone(),
            llc_misses: nothing,
        }
    }

    #[test]
    fn counts_between_two_quanta_lie_on_a_straight_line() {
        let sums = sums(&[100, 300], &[1000, 2000]);
        let at = |work| sums.at(work).cycles;
        assert_eq!([at(50), at(100), at(200), at(300)], [500.0, 1000.0, 1500.0, 2000.0]);
    }

    #[test]
    fn a_quantum_without_work_does_not_divide_by_it() {
        assert_eq!(sums(&[100, 100, 300], &[10, 20, 40]).at(100).cycles, 10.0);
        assert_eq!(sums(&[0, 0], &[0, 0]).at(0).cycles, 0.0);
    }

    #[test]
    fn guests_are_compared_at_the_work_that_both_did() {
        let (emulated, replayed) = (sums(&[100], &[1000]), sums(&[200], &[1000]));
        let work = emulated.total().min(replayed.total());
        assert_eq!([&emulated, &replayed].map(|sums| sums.at(work).cycles), [1000.0, 500.0]);
    }

    #[test]
    fn of_parts_the_ends_of_quanta_are_kept() {
        let quanta = sums(&[1, 2, 3, 4, 5, 6], &[10, 20, 30, 40, 50, 60]).every(3);
        assert_eq!((quanta.instructions, quanta.cycles), (vec![3, 6], vec![30, 60]));
    }
}
