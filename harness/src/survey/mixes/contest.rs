//! One mix under every policy, beside what is best.
//!
//! Slowdowns are at equal work: all guests run for the same time, and a guest's slowdown is that time over the time it took
//! alone for what it did, with the same page colours.

use std::collections::BTreeSet;

use predictor::counters::{Event, GuestId, Sample, VcpuId};
use predictor::model::Model;
use predictor::placement::Placement;
use predictor::policy::{Policy, PolicyKind};
use predictor::train::{self, TrainSettings};
use serde::{Deserialize, Serialize};

use super::{Estimated, Tried, draw};
use crate::control::{self, ControlError, RunLength};
use crate::curves::profile;
use crate::experiment::Surroundings;
use crate::host::Host;
use crate::host::replayed::ReplayedHost;
use crate::input::InputError;
use crate::journal::JournalWriter;
use crate::mix::{DEFAULT_MEMORY_MIB, Mix, MixGuest};
use crate::oracle;
use crate::oracle::arrangements::{self, Arrangement};
use crate::report::collected::Series;
use crate::report::metrics::{Progress, Scores};
use crate::streams::Recording;
use crate::survey::SurveyError;
use crate::survey::folder::SurveyFolder;
use crate::testbed::{BedError, BedKind, TestBed, replayed};
use crate::workers::{at_once, side_by_side};

/// More arrangements than this are too many to try each.
const MOST_ARRANGEMENTS: usize = 15;

/// What the policy's model was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Knowledge {
    /// The guests of the mix, each alone.
    Seen,
    /// Programs of other families than those of the mix, each alone.
    Unseen,
}

/// A guest of a mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestFacts {
    /// Its program's name.
    pub program: String,
    /// The program's input.
    pub input: String,
    /// LLC references per thousand cycles, alone.
    pub llc_references_per_kilo_cycle: f64,
}

/// A mix under one policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRun {
    /// The policy's name.
    pub policy: String,
    /// What its model knows.
    pub knowledge: Knowledge,
    /// With which settings: the place in the list of those that were tried.
    pub setting: usize,
    /// In which arrangement it began.
    pub start: usize,
    /// Whether page colours were other ones than those of the rest.
    pub recoloured: bool,
    /// Of each guest.
    pub slowdowns: Vec<f64>,
    /// vCPUs that were moved.
    pub moves: u64,
}

/// The best run that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Yardstick {
    /// Of each guest.
    pub slowdowns: Vec<f64>,
    /// vCPUs that were moved.
    pub moves: u64,
}

/// All about one mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The mix's name.
    pub mix: String,
    /// In the order of their ids.
    pub guests: Vec<GuestFacts>,
    /// How many ways there are to pair the guests up.
    pub starts: usize,
    /// Every run of it.
    pub runs: Vec<PolicyRun>,
    /// What could have been reached; absent for mixes on which settings are chosen.
    pub oracle: Option<Yardstick>,
}

impl Finding {
    /// What is missing or does not fit together, if anything.
    pub(super) fn check(&self, settings: usize) -> Result<(), String> {
        let guests = self.guests.len();
        let fits = |run: &PolicyRun| run.slowdowns.len() == guests && run.start < self.starts && run.setting < settings;
        let sound = |slowdowns: &[f64]| Scores::of(slowdowns).is_some();
        if !self.runs.iter().all(|run| fits(run) && sound(&run.slowdowns)) {
            return Err(format!("{} has a run that does not fit its guests", self.mix));
        }
        let oracle = self.oracle.as_ref();
        if oracle.is_some_and(|oracle| oracle.slowdowns.len() != guests || !sound(&oracle.slowdowns)) {
            return Err(format!("the best run of {} does not fit its guests", self.mix));
        }
        Ok(())
    }
}

/// What every program does alone.
pub(super) struct Known(Vec<(String, Vec<Sample>)>);

impl Known {
    /// Watches each of these mixes, of one guest each.
    pub(super) fn watch(
        bed: &TestBed,
        alone: &[Mix],
        quanta: u64,
        around: &Surroundings<'_>,
    ) -> Result<Self, SurveyError> {
        let mixes: Vec<&Mix> = alone.iter().collect();
        let note = |line: &str| around.progress.note(line);
        let no_bed =
            |source: BedError| SurveyError::Bed { what: "every program alone".to_owned(), source: Box::new(source) };
        let recordings = bed.record(&mixes, quanta, None, around.interrupt, &note).map_err(no_bed)?;
        let bar = around.progress.run("every program alone", alone.len() as u64);
        let watched = side_by_side(alone.len(), at_once(1, DEFAULT_MEMORY_MIB), &|place| {
            let mix = &alone[place];
            let recordings = &recordings[place..=place];
            let stage = Stage { recordings, mix, quanta, label: &mix.name, around };
            let samples = stage.samples(&mut Policy::stay_put(mix.topology()))?.0.swap_remove(0);
            bar.quantum();
            Ok::<_, SurveyError>((mix.guests[0].program.clone(), samples))
        })?;
        bar.done();
        Ok(Self(watched))
    }

    /// LLC references per thousand cycles, in the order in which they were watched.
    pub(super) fn pressures(&self) -> impl Iterator<Item = f64> + '_ {
        self.0.iter().map(|(_, samples)| pressure(samples))
    }

    /// Those of other families of programs than these.
    fn others(&self, guests: &[GuestFacts]) -> Vec<train::Series> {
        let known = |name: &str| guests.iter().any(|guest| family(&guest.program) == family(name));
        let others = self.0.iter().filter(|(name, _)| !known(name));
        others.map(|(name, samples)| train::Series { name: name.clone(), samples: samples.clone() }).collect()
    }
}

/// A program's family: variants of a kernel and all scripts of phases are told apart behind the first hyphen.
fn family(program: &str) -> &str {
    program.split_once('-').map_or(program, |(family, _)| family)
}

fn pressure(samples: &[Sample]) -> f64 {
    let sum = |event: Event| samples.iter().filter_map(|sample| sample.count(event)).sum::<u64>() as f64;
    1000.0 * sum(Event::LlcReferences) / sum(Event::Cycles).max(1.0)
}

/// What all mixes share.
pub(super) struct Contest<'a> {
    pub(super) bed: &'a TestBed,
    pub(super) known: &'a Known,
    pub(super) settings: &'a [Tried],
    pub(super) quanta: u64,
    pub(super) folder: &'a SurveyFolder,
    pub(super) around: &'a Surroundings<'a>,
}

/// Guests and their streams, for as many runs as one likes.
#[derive(Clone, Copy)]
struct Stage<'a> {
    recordings: &'a [Recording],
    mix: &'a Mix,
    quanta: u64,
    label: &'a str,
    around: &'a Surroundings<'a>,
}

/// A mix with what its guests do alone.
struct Scene<'a> {
    stage: Stage<'a>,
    settings: &'a [Tried],
    arrangements: &'a [Arrangement],
    alone: Vec<Progress>,
    samples: Vec<Vec<Sample>>,
}

/// One run to make.
#[derive(Clone, Copy)]
struct Entry<'a> {
    kind: PolicyKind,
    knowledge: Knowledge,
    model: &'a Model,
    setting: usize,
    start: usize,
}

impl Contest<'_> {
    /// Every setting under every policy that it matters to, each from the start whose turn it is.
    pub(super) fn tuning(&self, mix: &Mix, turn: usize, label: &str) -> Result<Finding, SurveyError> {
        let arrangements = arrangements_of(mix)?;
        let recordings = self.recordings(mix, label)?;
        let scene = self.scene(mix, &recordings, &arrangements, label)?;
        let additive = scene.model(None)?;
        let analytic = self.with_curves(&additive, mix)?;
        let start = turn % arrangements.len();
        let mut runs = Vec::new();
        for kind in PolicyKind::ALL {
            for setting in self.matter_to(kind) {
                let model = match self.settings[setting].estimate {
                    Estimated::Additive => &additive,
                    Estimated::Analytic => &analytic,
                };
                let entry = Entry { kind, knowledge: Knowledge::Seen, model, setting, start };
                runs.push(scene.under(entry)?);
            }
        }
        Ok(Finding { mix: mix.name.clone(), guests: scene.guests(), starts: arrangements.len(), runs, oracle: None })
    }

    /// Every policy with the settings chosen for it, and the best run. Policies that look where they go begin at every start,
    /// the others at the one whose turn it is.
    pub(super) fn comparison(
        &self,
        mix: &Mix,
        turn: usize,
        chosen: &dyn Fn(PolicyKind) -> usize,
        label: &str,
    ) -> Result<Finding, SurveyError> {
        let arrangements = arrangements_of(mix)?;
        let recordings = self.recordings(mix, label)?;
        let scene = self.scene(mix, &recordings, &arrangements, label)?;
        let guests = scene.guests();
        let mut seen = scene.model(None)?;
        let others = self.known.others(&guests);
        if others.is_empty() {
            let problem =
                format!("all are of the families that {} has, so that no model can be without them", mix.name);
            return Err(InputError::new(problem, "give programs of more families").at("--program").into());
        }
        let mut unseen = scene.model(Some(others))?;
        if self.settings[chosen(PolicyKind::Reactive)].estimate == Estimated::Analytic {
            seen = self.with_curves(&seen, mix)?;
            // Nobody has curves of programs that were never seen: they are estimated from the phases' counters.
            unseen = profile::without_profiles(&unseen, &mix.machine);
        }
        let mut runs = Vec::new();
        for start in 0..arrangements.len() {
            let is_turn = start == turn % arrangements.len();
            for kind in PolicyKind::ALL.into_iter().filter(|kind| is_turn || begins_everywhere(*kind)) {
                let entry = Entry { kind, knowledge: Knowledge::Seen, model: &seen, setting: chosen(kind), start };
                runs.push(scene.under(entry)?);
                if matches!(kind, PolicyKind::Reactive | PolicyKind::Predictive) {
                    runs.push(scene.under(Entry { knowledge: Knowledge::Unseen, model: &unseen, ..entry })?);
                }
            }
        }
        let recoloured = Mix { seed: mix.seed + 1, ..mix.clone() };
        let again = self.scene(&recoloured, &recordings, &arrangements, label)?;
        let start = turn % arrangements.len();
        for kind in [PolicyKind::StayPut, PolicyKind::Reactive] {
            let entry = Entry { kind, knowledge: Knowledge::Seen, model: &seen, setting: chosen(kind), start };
            runs.push(PolicyRun { recoloured: true, ..again.under(entry)? });
        }
        let oracle = Some(scene.best()?);
        Ok(Finding { mix: mix.name.clone(), guests, starts: arrangements.len(), runs, oracle })
    }

    /// `model` with miss-ratio curves of its phases, from the streams of the mix's guests.
    fn with_curves(&self, model: &Model, mix: &Mix) -> Result<Model, SurveyError> {
        let profiled = profile::with_profiles(self.bed, model, mix, self.quanta, self.around.interrupt);
        profiled.map_err(|source| SurveyError::Profile { what: mix.name.clone(), source: Box::new(source) })
    }

    /// The settings that make a difference to a policy.
    fn matter_to(&self, kind: PolicyKind) -> impl Iterator<Item = usize> + '_ {
        let matters = move |(place, tried): &(usize, &Tried)| match kind {
            PolicyKind::Predictive => true,
            PolicyKind::Reactive => tried.forecaster == self.settings[0].forecaster,
            _ => *place == 0,
        };
        self.settings.iter().enumerate().filter(matters).map(|(place, _)| place)
    }

    fn recordings(&self, mix: &Mix, label: &str) -> Result<Vec<Recording>, SurveyError> {
        let consoles = self.folder.consoles();
        let note = |line: &str| self.around.progress.note(&format!("{label}: {line}"));
        let recorded = self.bed.record(&[mix], self.quanta, Some(&consoles), self.around.interrupt, &note);
        recorded.map_err(|source| SurveyError::Bed { what: label.to_owned(), source: Box::new(source) })
    }

    fn scene<'a>(
        &'a self,
        mix: &'a Mix,
        recordings: &'a [Recording],
        arrangements: &'a [Arrangement],
        label: &'a str,
    ) -> Result<Scene<'a>, SurveyError> {
        let stage = Stage { recordings, mix, quanta: self.quanta, label, around: self.around };
        let (mut alone, mut samples) = (Vec::new(), Vec::new());
        for (guest, facts) in mix.guests.iter().enumerate() {
            let mix = mix.alone(guest).expect("one of its guests");
            let stage = Stage { mix: &mix, recordings: &recordings[guest..=guest], ..stage };
            let watched = stage.samples(&mut Policy::stay_put(mix.topology()))?.0.swap_remove(0);
            let mut series = Series::of(&facts.name);
            watched.iter().for_each(|sample| series.push(sample, None, None));
            alone.push(Progress::of(&series));
            samples.push(watched);
        }
        Ok(Scene { stage, settings: self.settings, arrangements, alone, samples })
    }
}

impl Stage<'_> {
    /// The samples of each guest under `policy`, and how many vCPUs moved.
    fn samples(&self, policy: &mut Policy) -> Result<(Vec<Vec<Sample>>, u64), SurveyError> {
        let mut host = self.host()?;
        let description =
            self.mix.describe("survey-mix", BedKind::Replayed.name(), policy.kind().name(), host.events());
        let failed = |source: ControlError| SurveyError::Run { what: self.label.to_owned(), source };
        let journal = JournalWriter::new(std::io::sink(), &description).map_err(|error| failed(error.into()))?;
        let mut samples = vec![Vec::new(); self.mix.guests.len()];
        let mut moves = 0;
        let length = RunLength { quanta: self.quanta, quantum: self.mix.quantum() };
        control::run(&mut host, policy, journal, length, self.around.interrupt, &mut |turn| {
            for sample in &turn.observation.samples {
                samples[sample.vcpu.guest.0 as usize].push(sample.clone());
            }
            moves += turn.outcomes.iter().filter(|outcome| outcome.refusal.is_none()).count() as u64;
            Ok(())
        })
        .map_err(failed)?;
        Ok((samples, moves))
    }

    fn host(&self) -> Result<ReplayedHost, SurveyError> {
        let host = replayed(self.mix, self.recordings.to_vec());
        host.map_err(|source| SurveyError::Bed { what: self.label.to_owned(), source: Box::new(source) })
    }
}

impl Scene<'_> {
    fn guests(&self) -> Vec<GuestFacts> {
        let facts = |(guest, samples): (&MixGuest, &Vec<Sample>)| GuestFacts {
            program: guest.program.clone(),
            input: guest.input.clone(),
            llc_references_per_kilo_cycle: pressure(samples),
        };
        self.stage.mix.guests.iter().zip(&self.samples).map(facts).collect()
    }

    /// What is learned of the guests alone, or of `others` in their place.
    fn model(&self, others: Option<Vec<train::Series>>) -> Result<Model, SurveyError> {
        let mix = self.stage.mix;
        let own = || {
            let guests = mix.guests.iter().zip(&self.samples);
            guests
                .map(|(guest, samples)| train::Series { name: guest.name.clone(), samples: samples.clone() })
                .collect()
        };
        let series: Vec<train::Series> = others.unwrap_or_else(own);
        let machine = mix.describe("train", BedKind::Replayed.name(), "", &BTreeSet::new()).model_machine();
        let settings = TrainSettings { seed: mix.seed, ..TrainSettings::default() };
        train::train(&series, &machine, &settings)
            .map_err(|source| SurveyError::Model { what: mix.name.clone(), source })
    }

    fn under(&self, entry: Entry<'_>) -> Result<PolicyRun, SurveyError> {
        let settings = self.settings[entry.setting].settings(self.stage.mix.seed + entry.start as u64);
        let mix = placed(self.stage.mix, self.arrangements[entry.start].first());
        let mut policy = Policy::new(entry.kind, settings, mix.topology(), entry.model.clone());
        let (samples, moves) = Stage { mix: &mix, ..self.stage }.samples(&mut policy)?;
        let done = samples
            .iter()
            .map(|samples| samples.iter().filter_map(|sample| sample.count(Event::Instructions)).sum::<u64>() as f64);
        Ok(PolicyRun {
            policy: entry.kind.name().to_owned(),
            knowledge: entry.knowledge,
            setting: entry.setting,
            start: entry.start,
            recoloured: false,
            slowdowns: self.slowdowns(done)?,
            moves,
        })
    }

    fn best(&self) -> Result<Yardstick, SurveyError> {
        let begin = |placement: &Placement| {
            let mix = placed(self.stage.mix, placement);
            Stage { mix: &mix, ..self.stage }.host()
        };
        let length = (self.stage.quanta, self.stage.mix.quantum());
        let best = oracle::best(self.arrangements, &begin, &self.alone, length, self.stage.around.interrupt)?;
        Ok(Yardstick { slowdowns: self.slowdowns(best.instructions.iter().copied())?, moves: best.moves })
    }

    /// The time that the run took over the time that each guest took alone for as much work.
    fn slowdowns(&self, done: impl Iterator<Item = f64>) -> Result<Vec<f64>, SurveyError> {
        let elapsed =
            (self.stage.mix.quantum() * u32::try_from(self.stage.quanta).unwrap_or(u32::MAX)).as_nanos() as f64;
        let slowdown = |(done, alone): (f64, &Progress)| {
            // A guest that got further than alone, by luck of interrupts, is told at the end of its run alone.
            let share = if done > 0.0 { (alone.instructions() / done).min(1.0) } else { 1.0 };
            alone.nanoseconds_at(done * share).filter(|alone| *alone > 0.0).map(|alone| elapsed * share / alone)
        };
        let slowdowns: Option<Vec<f64>> = done.zip(&self.alone).map(slowdown).collect();
        slowdowns.ok_or_else(|| SurveyError::NoWork { what: self.stage.mix.name.clone() })
    }
}

/// Whether a policy's run depends on its start so much that it has one from each: those with which others are compared, and
/// those that know whom to part.
const fn begins_everywhere(kind: PolicyKind) -> bool {
    matches!(kind, PolicyKind::StayPut | PolicyKind::Di | PolicyKind::Reactive | PolicyKind::Predictive)
}

fn arrangements_of(mix: &Mix) -> Result<Vec<Arrangement>, SurveyError> {
    let vcpus: Vec<VcpuId> =
        (0..mix.guests.len() as u32).map(|guest| VcpuId { guest: GuestId(guest), index: 0 }).collect();
    let topology = mix.topology();
    let all = arrangements::all(&vcpus, &topology, MOST_ARRANGEMENTS);
    Ok(all.ok_or_else(|| {
        let problem = format!("its domains take {} guests in more than {MOST_ARRANGEMENTS} ways", draw::GUESTS);
        InputError::new(problem, "choose a machine of two LLC domains").at("--machine")
    })?)
}

/// The mix with its guests in these domains.
fn placed(mix: &Mix, placement: &Placement) -> Mix {
    let mut mix = mix.clone();
    for (vcpu, domain) in &placement.0 {
        mix.guests[vcpu.guest.0 as usize].domain = *domain;
    }
    mix
}
