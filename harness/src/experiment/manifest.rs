//! Where results come from: enough to run the experiment again, and to know on what it ran.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use super::description::Experiment;
use crate::provenance::{ThisMachine, revision, time_of};
use crate::report::collected::Collected;
use crate::testbed::TestBed;

/// The manifest of a results folder.
#[derive(Debug, Serialize)]
pub(super) struct Manifest<'a> {
    experiment: &'a str,
    command: &'a [String],
    /// The commit that the program's source is at, where it runs inside a checkout; `+changes` if files differ.
    revision: Option<String>,
    version: &'static str,
    began: String,
    seconds: u64,
    seed: u64,
    quanta: u64,
    repeats: u32,
    /// The machine that all ran on.
    host: ThisMachine,
    qemu: Option<String>,
    image_digest: Option<&'a str>,
    guest_kernel: Option<&'a str>,
    machine: &'a str,
    quantum_cycles: u64,
    refill_cycles_per_quantum_cycle: f64,
    /// Mean length of a stay in a phase, alone, in quanta, by guest: as the model sees it.
    phase_quanta: BTreeMap<&'a str, Option<f64>>,
    /// The same as the program marks it.
    marked_phase_quanta: BTreeMap<&'a str, Option<f64>>,
}

impl<'a> Manifest<'a> {
    /// The manifest of an experiment that `began` then and ends now.
    pub(super) fn of(
        experiment: &'a Experiment,
        bed: &'a TestBed,
        collected: &'a Collected,
        command: &'a [String],
        began: SystemTime,
    ) -> Self {
        let image = bed.image();
        let phases = collected.solo.iter();
        Self {
            experiment: &experiment.name,
            command,
            revision: revision(),
            version: env!("CARGO_PKG_VERSION"),
            began: time_of(began),
            seconds: began.elapsed().map_or(0, |elapsed| elapsed.as_secs()),
            seed: experiment.mix.seed,
            quanta: experiment.quanta,
            repeats: experiment.repeats,
            host: ThisMachine::look(),
            qemu: bed.qemu().map(|program| format!("QEMU emulator version {}", program.version())),
            image_digest: image.map(|image| image.digest.as_str()),
            guest_kernel: image.map(|image| image.manifest.kernel_release.as_str()),
            machine: experiment.mix.machine.name(),
            quantum_cycles: experiment.mix.quantum_cycles,
            refill_cycles_per_quantum_cycle: experiment.mix.machine.refill_cycles() as f64
                / experiment.mix.quantum_cycles as f64,
            phase_quanta: phases.clone().map(|solo| (solo.guest.as_str(), solo.mean_phase_quanta())).collect(),
            marked_phase_quanta: phases.map(|solo| (solo.guest.as_str(), solo.mean_mark_quanta())).collect(),
        }
    }
}
