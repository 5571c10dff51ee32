//! A mix for the simulated host, models trained on its guests alone, and runs of it: the loop without a guest.

use std::path::Path;

use harness::control::{self, ControlError, RunLength};
use harness::host::Host;
use harness::interrupt::Interrupt;
use harness::journal::run::RunDescription;
use harness::journal::{JournalWriter, Turn};
use harness::mix::Mix;
use harness::testbed::{BedKind, TestBed};
use predictor::model::Model;
use predictor::policy::{Policy, PolicyKind, Settings};
use predictor::train::{Series, TrainSettings, train};
use workloads::catalogue::Catalogue;

const CATALOGUE: &str = r#"
[[program]]
name = "press-then-compute"
family = "phased"
stresses = "the LLC, then nothing"
truth = true
command = ["/usr/bin/kernels", "phased"]
[[program.input]]
name = "ref"
arguments = ["gather:768KiB:40M blackscholes:64KiB:200M"]

[[program]]
name = "compute-then-press"
family = "phased"
stresses = "nothing, then the LLC"
truth = true
command = ["/usr/bin/kernels", "phased"]
[[program.input]]
name = "ref"
arguments = ["blackscholes:64KiB:200M gather:768KiB:40M"]

[[program]]
name = "chase"
family = "kernel"
stresses = "the LLC"
truth = false
command = ["/usr/bin/kernels", "chase"]
[[program.input]]
name = "ref"
arguments = ["--size", "768KiB"]

[[program]]
name = "stream"
family = "kernel"
stresses = "memory"
truth = false
command = ["/usr/bin/kernels", "stream"]
[[program.input]]
name = "ref"
arguments = ["--size", "8MiB"]
"#;

const MIX: &str = r#"
machine = "small-2x2"
quantum_cycles = 10_000_000
seed = 1
[[guest]]
name = "alpha"
program = "press-then-compute"
[[guest]]
name = "beta"
program = "stream"
[[guest]]
name = "gamma"
program = "compute-then-press"
[[guest]]
name = "delta"
program = "chase"
"#;

/// Two phased guests, with phases of about 15 quanta and opposite to each other, and two steady ones, on two LLC domains
/// of two CPUs; the worst neighbours are together at first.
///
/// # Panics
/// Never: the mix is sound.
#[must_use]
pub fn mix() -> Mix {
    let catalogue = Catalogue::parse(CATALOGUE).expect("a sound catalogue");
    Mix::parse(Path::new("fixture.toml"), MIX, &catalogue).expect("a sound mix")
}

/// A simulated host with the guests of `mix`.
///
/// # Panics
/// If the mix cannot be simulated.
#[must_use]
pub fn launch(mix: &Mix) -> Box<dyn Host> {
    let (interrupt, silent) = (Interrupt::default(), |_: &str| {});
    let bed = TestBed::prepare(BedKind::Simulated, None, &interrupt, &silent).expect("nothing to prepare");
    bed.launch(mix, 1000, None, &interrupt, &silent).expect("a sound mix")
}

/// A model of the guests of `mix`, trained on 120 quanta of each alone.
///
/// # Panics
/// If the host fails or nothing can be learned.
#[must_use]
pub fn model_of(mix: &Mix) -> Model {
    let alone = |index: usize| {
        let mix = mix.alone(index).expect("one of its guests");
        let mut host = launch(&mix);
        let mut samples = Vec::new();
        for _ in 0..120 {
            samples.extend(host.advance(mix.quantum()).expect("no fault").samples);
        }
        Series { name: format!("{} ({})", mix.guests[0].program, mix.guests[0].input), samples }
    };
    let series: Vec<Series> = (0..mix.guests.len()).map(alone).collect();
    let run = describe(mix, launch(mix).as_ref(), PolicyKind::StayPut);
    train(&series, &run.model_machine(), &TrainSettings::default()).expect("plain data")
}

/// The head of a journal of `mix` on `host`.
#[must_use]
pub fn describe(mix: &Mix, host: &dyn Host, policy: PolicyKind) -> RunDescription {
    mix.describe("mix", "simulated", policy.name(), host.events())
}

/// Runs `quanta` quanta of `mix` on `host` under the policy, and answers the journal's bytes and every turn.
pub fn run(
    mix: &Mix,
    host: &mut dyn Host,
    kind: PolicyKind,
    model: &Model,
    quanta: u64,
) -> (Vec<Turn>, Result<Vec<u8>, ControlError>) {
    let description = describe(mix, host, kind);
    let journal = JournalWriter::new(Vec::new(), &description).expect("memory");
    let mut policy = Policy::new(kind, Settings::default(), host.topology().clone(), model.clone());
    let length = RunLength { quanta, quantum: mix.quantum() };
    let mut turns = Vec::new();
    let ended = control::run(host, &mut policy, journal, length, &Interrupt::default(), &mut |turn| {
        turns.push(turn.clone());
        Ok(())
    });
    (turns, ended)
}
