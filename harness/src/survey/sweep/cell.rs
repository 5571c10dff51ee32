//! One mix at one value under every policy: the guests alone for a model, then the mix, each policy from the same start.
//!
//! The model is trained on the mix's own guests, alone, as `phasecast experiment` does it: what is asked is what foresight is
//! worth to a policy that knows its programs. Throughput is told at equal work: the host says how long what a guest did would
//! have taken alone.

use std::io::Sink;
use std::time::Duration;

use predictor::counters::Event;
use predictor::model::{Machine, Model};
use predictor::placement::Move;
use predictor::policy::{Policy, PolicyKind, Settings};
use predictor::train::{Series, TrainSettings, train};

use super::mixes::{alone, draw};
use super::oracle::{Oracle, enlightened};
use super::{Cell, Over, Request, Run};
use crate::control::{self, ControlError, RunLength};
use crate::host::Host;
use crate::host::foretold::{Foresight, ForetoldHost};
use crate::host::simulated::SimulatedHost;
use crate::host::simulated::script::Script;
use crate::interrupt::Interrupt;
use crate::journal::run::RunDescription;
use crate::journal::{JournalWriter, Turn};
use crate::survey::SurveyError;
use crate::testbed::BedError;

/// The name of the policy that all are compared with.
pub(super) const STAY_PUT: &str = "stay-put";

/// The middle of phase lengths where they are not what is varied.
const PHASE_QUANTA: f64 = 8.0;

/// Quanta of each guest alone that the model is trained on.
const TRAINING_QUANTA: u64 = 150;

/// What somebody who decides is told of the future.
#[derive(Debug, Clone, Copy)]
enum Told {
    /// Nothing.
    Nothing,
    /// The coming quantum, more or less rightly.
    Quantum(Foresight),
    /// The whole horizon.
    Horizon,
}

/// Somebody who decides.
struct Contender {
    name: &'static str,
    kind: PolicyKind,
    told: Told,
}

fn contenders(over: Over, value: f64) -> Vec<Contender> {
    let of = |name, kind, told| Contender { name, kind, told };
    let mut all = vec![
        of(STAY_PUT, PolicyKind::StayPut, Told::Nothing),
        of("reactive", PolicyKind::Reactive, Told::Nothing),
        of("predictive", PolicyKind::Predictive, Told::Nothing),
    ];
    if over == Over::ForecastQuality {
        all.push(of("foretold, wrong", PolicyKind::Reactive, Told::Quantum(Foresight::Wrong(value))));
        all.push(of("foretold, late", PolicyKind::Reactive, Told::Quantum(Foresight::Late(value))));
    } else {
        all.push(of("foretold", PolicyKind::Reactive, Told::Quantum(Foresight::PERFECT)));
    }
    all.push(of("oracle", PolicyKind::Oracle, Told::Horizon));
    all
}

/// Runs everything that one finding needs.
pub(super) fn run(request: &Request, over: Over, value: f64, mix: u64, label: &str) -> Result<Cell, SurveyError> {
    let phase_quanta = if over == Over::PhaseLength { value } else { PHASE_QUANTA };
    let mut script = draw(&request.setting(phase_quanta), mix);
    if over == Over::MigrationCost {
        script.hardware.refill_cycles = (value * request.quantum_cycles as f64) as u64;
    }
    // Everybody is told what a move costs.
    let migration_cost_quanta = script.hardware.refill_cycles as f64 / request.quantum_cycles as f64;
    let mut settings = Settings { migration_cost_quanta, ..request.settings };
    if over == Over::Budget {
        settings.moves_per_vcpu_quantum = value;
    }
    let seed = request.seed.wrapping_add(mix);
    let model = model_of(request, &script, seed, label)?;
    let description = describe(request, &script);
    let runs = contenders(over, value).into_iter().map(|contender| {
        let model = match contender.told {
            Told::Horizon => enlightened(&model, &script),
            Told::Nothing | Told::Quantum(_) => model.clone(),
        };
        let policy = Policy::new(contender.kind, settings, script.hardware.topology.clone(), model);
        let mut host = launch(&script, seed, label)?;
        let game = Game { request, description: &description, label };
        let moves = match contender.told {
            Told::Nothing => game.play(&mut host, policy)?,
            Told::Horizon => game.play_oracle(&mut host, policy, &Oracle::new(&settings, &script))?,
            Told::Quantum(foresight) => {
                let mut foretold = ForetoldHost::new(host, foresight, seed);
                let moves = game.play(&mut foretold, policy)?;
                host = foretold.into_host();
                moves
            }
        };
        Ok(scored(request, contender.name, &host, moves))
    });
    let runs = runs.collect::<Result<Vec<_>, SurveyError>>()?;
    Ok(Cell { over, value, mix, runs })
}

fn launch(script: &Script, seed: u64, label: &str) -> Result<SimulatedHost, SurveyError> {
    SimulatedHost::new(script.clone(), seed)
        .map_err(|error| SurveyError::Bed { what: label.to_owned(), source: Box::new(BedError::from(error)) })
}

fn scored(request: &Request, contender: &str, host: &SimulatedHost, moves: u64) -> Run {
    let took = request.quantum().as_secs_f64() * request.quanta as f64;
    let speeds: Vec<f64> = host.alone_times().map(|(_, alone)| alone.as_secs_f64() / took).collect();
    let slowest = speeds.iter().copied().fold(f64::MAX, f64::min);
    Run { contender: contender.to_owned(), stp: speeds.iter().sum(), worst_slowdown: 1.0 / slowest, moves }
}

/// What the runs of a cell share.
struct Game<'a> {
    request: &'a Request,
    description: &'a RunDescription,
    label: &'a str,
}

impl Game<'_> {
    fn failed(&self, source: ControlError) -> SurveyError {
        SurveyError::Run { what: self.label.to_owned(), source }
    }

    fn journal(&self) -> Result<JournalWriter<Sink>, SurveyError> {
        JournalWriter::new(std::io::sink(), self.description).map_err(|error| self.failed(error.into()))
    }

    /// Takes all turns; answers how many vCPUs moved.
    fn play(&self, host: &mut dyn Host, mut policy: Policy) -> Result<u64, SurveyError> {
        let mut moves = 0;
        let length = RunLength { quanta: self.request.quanta, quantum: self.request.quantum() };
        control::run(host, &mut policy, self.journal()?, length, &Interrupt::default(), &mut |turn| {
            moves += done(turn).count() as u64;
            Ok(())
        })
        .map_err(|source| self.failed(source))?;
        Ok(moves)
    }

    /// The same for a policy that is told the horizon.
    fn play_oracle(&self, host: &mut SimulatedHost, mut policy: Policy, oracle: &Oracle) -> Result<u64, SurveyError> {
        let (mut moves, quantum, mut journal) = (0, self.request.quantum(), self.journal()?);
        for number in 0..self.request.quanta {
            // What is decided after the coming quantum is decided for the ones behind it.
            let mut coming = host.clone();
            let ended =
                coming.advance(quantum).map_err(|cause| self.failed(ControlError::Host { quantum: number, cause }));
            ended?;
            policy.foretell(oracle.outlook(&coming, quantum));
            let turn = control::turn(host, &mut policy, &mut journal, number, quantum);
            let turn = turn.map_err(|source| self.failed(source))?;
            moves += done(&turn).count() as u64;
        }
        Ok(moves)
    }
}

fn done(turn: &Turn) -> impl Iterator<Item = Move> + '_ {
    turn.outcomes.iter().filter(|outcome| outcome.refusal.is_none()).map(|outcome| outcome.requested)
}

fn model_of(request: &Request, script: &Script, seed: u64, label: &str) -> Result<Model, SurveyError> {
    let series = (0..script.guests.len()).map(|place| {
        let mut host = launch(&alone(script, place), seed.wrapping_add(place as u64), label)?;
        let mut samples = Vec::new();
        for _ in 0..TRAINING_QUANTA {
            let seen = host.advance(request.quantum()).map_err(|cause| SurveyError::Run {
                what: label.to_owned(),
                source: ControlError::Host { quantum: 0, cause },
            })?;
            samples.extend(seen.samples);
        }
        Ok(Series { name: script.guests[place].name.clone(), samples })
    });
    let series = series.collect::<Result<Vec<_>, SurveyError>>()?;
    let settings = TrainSettings { restarts: 3, seed, ..TrainSettings::default() };
    let told = describe(request, script).model_machine();
    let machine = Machine { miss_per_hit_time: Some(script.hardware.contention.miss_per_hit_time), ..told };
    train(&series, &machine, &settings).map_err(|source| SurveyError::Phases { what: label.to_owned(), source })
}

fn describe(request: &Request, script: &Script) -> RunDescription {
    let contention = script.hardware.contention;
    RunDescription {
        purpose: "survey-sweep".to_owned(),
        host: "simulated".to_owned(),
        machine: request.machine.clone(),
        mix: "drawn".to_owned(),
        policy: String::new(),
        seed: request.seed,
        quantum: Duration::from_nanos(request.quantum().as_nanos() as u64),
        frequency_hz: Some(script.hardware.frequency_hz),
        llc_latency_cycles: None,
        memory_latency_cycles: None,
        memory_bytes_per_cycle: contention.memory_bytes_per_cycle,
        topology: script.hardware.topology.clone(),
        events: Event::ALL.into(),
        guests: [].into(),
        revision: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
