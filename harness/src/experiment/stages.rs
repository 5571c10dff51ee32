//! The stages of an experiment: guests alone, training, the mix under each policy.

use std::collections::BTreeSet;

use predictor::counters::Sample;
use predictor::features::Observed;
use predictor::forecast::Forecast;
use predictor::model::Model;
use predictor::phases::PhaseId;
use predictor::policy::{Policy, PolicyKind};
use predictor::train;

use super::description::Experiment;
use super::folder::ResultsFolder;
use super::{ExperimentError, Surroundings, write_json};
use crate::control::{self, RunLength};
use crate::journal::{JournalWriter, Turn};
use crate::mix::{Mix, MixGuest};
use crate::report::collected::{Collected, Guest, MachineFacts, ModelFacts, Run, Series, VERSION};
use crate::testbed::TestBed;
use crate::trace::TraceWriter;
use crate::workers::{self, side_by_side};

/// Everything the stages work with.
pub(super) struct Stages<'a> {
    pub(super) experiment: &'a Experiment,
    pub(super) bed: &'a TestBed,
    pub(super) folder: &'a ResultsFolder,
    pub(super) around: &'a Surroundings<'a>,
}

/// One run to do.
struct Plan<'a> {
    /// What it is called in file names and messages.
    name: String,
    /// What it is for, as journals say.
    purpose: &'static str,
    mix: &'a Mix,
    policy: Policy,
}

impl Stages<'_> {
    /// Runs all stages.
    pub(super) fn run(&self) -> Result<Collected, ExperimentError> {
        let alone = self.everyone_alone()?;
        self.before("training")?;
        let model = self.train(&alone)?;
        let solo = self.label(&alone, &model);
        let plans: Vec<(PolicyKind, u32)> = self
            .experiment
            .policies
            .iter()
            .flat_map(|policy| {
                let repeats = if *policy == PolicyKind::StayPut { 1 } else { self.experiment.repeats };
                (1..=repeats).map(|repeat| (*policy, repeat))
            })
            .collect();
        let runs = side_by_side(plans.len(), self.workers(self.experiment.mix.guests.len()), &|run| {
            let (policy, repeat) = plans[run];
            self.mix_under(policy, repeat, &model)
        })?;
        Ok(self.collect(&model, solo, runs))
    }

    fn before(&self, what: &str) -> Result<(), ExperimentError> {
        let what = what.to_owned();
        self.around.interrupt.check().map_err(|source| ExperimentError::Interrupted { what, source })
    }

    /// The samples of each guest alone.
    fn everyone_alone(&self) -> Result<Vec<Vec<Sample>>, ExperimentError> {
        side_by_side(self.experiment.mix.guests.len(), self.workers(1), &|guest| self.alone(guest))
    }

    fn workers(&self, guests: usize) -> usize {
        let largest = self.experiment.mix.guests.iter().map(|guest| guest.memory_mib).max().unwrap_or(0);
        workers::at_once(guests, largest)
    }

    fn alone(&self, guest: usize) -> Result<Vec<Sample>, ExperimentError> {
        let name = format!("solo-{}", self.experiment.mix.guests[guest].name);
        self.before(&name)?;
        let mix = self.experiment.mix.alone(guest).expect("the guest is one of the mix");
        let policy = Policy::stay_put(mix.topology());
        let mut samples = Vec::new();
        let plan = Plan { name, purpose: "solo", mix: &mix, policy };
        self.play(plan, &mut |turn| samples.extend(turn.observation.samples.iter().cloned()))?;
        Ok(samples)
    }

    fn train(&self, alone: &[Vec<Sample>]) -> Result<Model, ExperimentError> {
        let mix = &self.experiment.mix;
        let series: Vec<_> = mix
            .guests
            .iter()
            .zip(alone)
            .map(|(guest, samples)| train::Series { name: guest.name.clone(), samples: samples.clone() })
            .collect();
        let machine = mix.describe("train", self.bed.kind().name(), "", &BTreeSet::new()).model_machine();
        let model = train::train(&series, &machine, &self.experiment.training)?;
        write_json(&self.folder.partial().join("model.json"), &model)?;
        let phases = model.parts().phases.len();
        self.around.progress.note(&format!("trained: {phases} phases from {} runs alone", series.len()));
        Ok(model)
    }

    /// The solo runs as series, each quantum with the phase that the model sees in it.
    fn label(&self, alone: &[Vec<Sample>], model: &Model) -> Vec<Series> {
        let guests = &self.experiment.mix.guests;
        guests
            .iter()
            .zip(alone)
            .map(|(guest, samples)| {
                let mut series = Series::of(&guest.name);
                samples.iter().for_each(|sample| series.push(sample, phase_of(model, sample), None));
                series
            })
            .collect()
    }

    fn mix_under(&self, kind: PolicyKind, repeat: u32, model: &Model) -> Result<Run, ExperimentError> {
        let mix = &self.experiment.mix;
        let policy = Policy::new(kind, self.experiment.settings, mix.topology(), model.clone());
        self.before(&format!("run {repeat} under {kind}"))?;
        let mut series: Vec<_> = mix.guests.iter().map(|guest| Series::of(&guest.name)).collect();
        let mut forecasts: Vec<Option<PhaseId>> = vec![None; series.len()];
        let (mut moves, mut refusals) = (0, 0);
        let plan = Plan { name: format!("mix-{kind}-{repeat}"), purpose: "mix", mix, policy };
        self.play(plan, &mut |turn| {
            let of = |index: usize| {
                let found = turn.decision.forecasts.iter().find(|forecast| forecast.vcpu.guest.0 as usize == index);
                found.map(|forecast| (forecast.current, Forecast::most_likely(&forecast.next)))
            };
            for sample in &turn.observation.samples {
                let guest = sample.vcpu.guest.0 as usize;
                if let Some(series) = series.get_mut(guest) {
                    series.push(sample, of(guest).map(|(current, _)| current), forecasts[guest]);
                    forecasts[guest] = of(guest).map(|(_, next)| next);
                }
            }
            let refused = turn.outcomes.iter().filter(|outcome| outcome.refusal.is_some()).count() as u64;
            moves += turn.outcomes.len() as u64 - refused;
            refusals += refused;
        })?;
        Ok(Run { policy: kind.name().to_owned(), repeat, moves, refusals, series })
    }

    /// Launches the guests, takes all turns, and keeps journal and trace; both are whole whatever ends the run.
    fn play(&self, mut plan: Plan<'_>, see: &mut dyn FnMut(&Turn)) -> Result<(), ExperimentError> {
        let quanta = self.experiment.quanta;
        let bar = self.around.progress.run(&plan.name, quanta);
        let consoles = self.folder.partial().join("consoles");
        let mut host = self
            .bed
            .launch(plan.mix, quanta, Some(&consoles), self.around.interrupt, &|line| bar.preparing(line))
            .map_err(|source| ExperimentError::Bed { what: plan.name.clone(), source: Box::new(source) })?;
        let description =
            plan.mix.describe(plan.purpose, self.bed.kind().name(), plan.policy.kind().name(), host.events());
        let journal = JournalWriter::create(&self.folder.raw(&plan.name, "jsonl"), &description)?;
        let mut trace = TraceWriter::create(&self.folder.raw(&plan.name, "parquet"), &description)?;
        let length = RunLength { quanta, quantum: plan.mix.quantum() };
        let outcome = control::run(&mut *host, &mut plan.policy, journal, length, self.around.interrupt, &mut |turn| {
            see(turn);
            bar.quantum();
            Ok(trace.add_quantum(turn.quantum, &turn.observation.samples)?)
        });
        drop(host);
        bar.done();
        let traced = trace.finish();
        // What stopped the run says more than a trace that cannot be completed after it.
        outcome.map_err(|source| ExperimentError::Run { what: plan.name, source })?;
        traced?;
        Ok(())
    }

    fn collect(&self, model: &Model, solo: Vec<Series>, runs: Vec<Run>) -> Collected {
        let Experiment { name, mix, demonstration, abouts, .. } = self.experiment;
        let guest = |(guest, about): (&MixGuest, &String)| Guest {
            name: guest.name.clone(),
            program: guest.program.clone(),
            input: guest.input.clone(),
            about: about.clone(),
        };
        let features = model.parts().phases.features.features();
        Collected {
            version: VERSION,
            experiment: name.clone(),
            host: self.bed.kind().name().to_owned(),
            demonstration: demonstration.clone(),
            machine: MachineFacts::of(&mix.machine),
            quantum_cycles: mix.quantum_cycles,
            seed: mix.seed,
            guests: mix.guests.iter().zip(abouts).map(guest).collect(),
            model: ModelFacts {
                phases: model.parts().phases.len(),
                features: features.iter().map(|feature| feature.event().name().to_owned()).collect(),
                forecaster: self.experiment.settings.forecaster.name(),
            },
            solo,
            runs,
        }
    }
}

fn phase_of(model: &Model, sample: &Sample) -> Option<PhaseId> {
    let phases = &model.parts().phases;
    match phases.features.observe(sample) {
        Observed::Active(vector) => Some(phases.classify(&vector).phase),
        _ => None,
    }
}
