//! How fast vCPUs got on in a block of quanta, and how two blocks compare.
//!
//! # What counts as progress
//!
//! Instructions for each second in which the vCPU was at work. Where a host counts no instructions, the share of these
//! seconds in which the vCPU had a CPU stands in: it tells of waiting for a CPU, and nothing of caches. Seconds of idleness
//! are left out, so that a guest that had less to do is not taken for a slower one.
//!
//! A vCPU has a say in a comparison where it was at work for at least a quarter of both blocks, measured alike. Each counts the
//! same, as the logarithm of its ratio: twice as fast and half as fast cancel out.

use std::collections::BTreeMap;

use predictor::counters::{Event, Sample, VcpuId};
use predictor::features::is_idle;
use serde::{Deserialize, Serialize};

/// The share of a block for which a vCPU has to be at work to be compared.
const AT_WORK: f64 = 0.25;

/// What progress was measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Instructions for each second at work.
    Instructions,
    /// The share of seconds at work in which it had a CPU.
    CpuTime,
}

/// One vCPU's work in a block.
#[derive(Debug, Clone, Copy, Default)]
struct Work {
    quanta: u32,
    instructions: f64,
    instruction_seconds: f64,
    cpu_seconds: f64,
    cpu_counted_seconds: f64,
}

/// Everybody's work in a block.
#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    quanta: u32,
    work: BTreeMap<VcpuId, Work>,
}

/// How two blocks compare.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Comparison {
    /// The mean over vCPUs of the logarithm of the first block's rate over the second's.
    pub(super) difference: f64,
    /// How many vCPUs had a say.
    pub(super) vcpus: usize,
    pub(super) measure: Measure,
}

impl Block {
    pub(super) fn add(&mut self, samples: &[Sample]) {
        self.quanta += 1;
        for sample in samples.iter().filter(|sample| !is_idle(sample)) {
            let seconds = sample.elapsed.as_secs_f64();
            let work = self.work.entry(sample.vcpu).or_default();
            work.quanta += 1;
            if let Some(instructions) = sample.count(Event::Instructions) {
                work.instructions += instructions as f64;
                work.instruction_seconds += seconds;
            }
            if let Some(running) = running_seconds(sample) {
                work.cpu_seconds += running;
                work.cpu_counted_seconds += seconds;
            }
        }
    }

    fn rate(&self, vcpu: VcpuId, measure: Measure) -> Option<f64> {
        let work = self.work.get(&vcpu).filter(|work| f64::from(work.quanta) >= AT_WORK * f64::from(self.quanta))?;
        let (done, seconds) = match measure {
            Measure::Instructions => (work.instructions, work.instruction_seconds),
            Measure::CpuTime => (work.cpu_seconds, work.cpu_counted_seconds),
        };
        (done > 0.0 && seconds > 0.0).then(|| done / seconds)
    }

    /// Compares this block with another; `None` where nobody was at work in both.
    pub(super) fn against(&self, other: &Block) -> Option<Comparison> {
        let by = |measure| {
            let ratio = |vcpu: &VcpuId| Some((self.rate(*vcpu, measure)? / other.rate(*vcpu, measure)?).ln());
            let ratios: Vec<f64> = self.work.keys().filter_map(ratio).collect();
            let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
            (!ratios.is_empty()).then_some(Comparison { difference: mean, vcpus: ratios.len(), measure })
        };
        by(Measure::Instructions).or_else(|| by(Measure::CpuTime))
    }
}

/// For how long it had a CPU, where the host says.
fn running_seconds(sample: &Sample) -> Option<f64> {
    Some(sample.count(Event::RunningNanoseconds)? as f64 / 1e9)
}
