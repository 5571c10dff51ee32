//! What a replay costs: CPU time of one core against the number of guests and of references to the LLC.
//!
//! Two guests to an LLC domain, on a machine with as many domains as that takes; programs of the survey's mixes in turn,
//! each as often as it takes. Time is the CPU time of the thread that replays, decoding and reading included; of several
//! equal replays the quickest counts, since everything else on the machine can only add.

use std::sync::Arc;

use machine::replay::{ReplayError, ReplayedMachine};
use machine::segment::Slot;
use machine::spec::Machine;
use machine::stream::Stream;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::Request;
use crate::experiment::Surroundings;
use crate::input::InputError;
use crate::mix::Mix;
use crate::streams::StreamsError;
use crate::survey::SurveyError;
use crate::testbed::{BedError, TestBed};

/// Numbers of guests that are timed.
const GUESTS: [usize; 4] = [1, 2, 4, 8];
/// Lengths that are timed, as parts of the longest.
const PARTS: [u64; 3] = [4, 2, 1];
/// Equal replays of which the quickest counts.
const REPEATS: usize = 3;

/// One replay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Guests on the machine.
    pub guests: usize,
    /// How long it was, in quanta.
    pub quanta: u64,
    /// References to the LLC of all guests.
    pub references: u64,
    /// Instructions that all guests stood for.
    pub instructions: u64,
    /// CPU time of the quickest of several.
    pub cpu_seconds: f64,
}

/// The cost of replays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speed {
    /// Programs whose streams were played, guest by guest.
    pub programs: Vec<String>,
    /// By guests, then by length.
    pub timings: Vec<Timing>,
}

/// Times every number of guests at every length.
pub(super) fn measure(
    bed: &TestBed,
    mixes: &[Mix],
    request: &Request,
    label: &str,
    around: &Surroundings<'_>,
) -> Result<Speed, SurveyError> {
    let most = GUESTS[GUESTS.len() - 1];
    let no_bed = |source: BedError| SurveyError::Bed { what: label.to_owned(), source: Box::new(source) };
    let refused = |error: ReplayError| no_bed(StreamsError::from(error).into());
    let machine = wide(&request.machine, most)?;
    let note = |line: &str| around.progress.note(&format!("{label}: {line}"));
    let all: Vec<&Mix> = mixes.iter().collect();
    let recorded = bed.record(&all, request.timed_quanta, None, around.interrupt, &note).map_err(no_bed)?;
    let programs: Vec<String> =
        mixes.iter().flat_map(|mix| &mix.guests).map(|guest| guest.program.clone()).cycle().take(most).collect();
    let streams: Vec<Arc<Stream>> =
        recorded.iter().map(|recording| Arc::clone(&recording.stream)).cycle().take(most).collect();
    let mut timings = Vec::new();
    for guests in GUESTS {
        for part in PARTS {
            let quanta = (request.timed_quanta / part).max(1);
            let cycles = quanta * request.quantum_cycles;
            let mut best: Option<Timing> = None;
            for _ in 0..REPEATS {
                around.interrupt.check().map_err(|error| no_bed(StreamsError::from(error).into()))?;
                let timing = time(&machine, &streams[..guests], cycles, request.seed).map_err(refused)?;
                let timing = Timing { quanta, ..timing };
                best = best.filter(|best| best.cpu_seconds <= timing.cpu_seconds).or(Some(timing));
            }
            timings.extend(best);
        }
    }
    Ok(Speed { programs, timings })
}

fn time(machine: &Machine, streams: &[Arc<Stream>], cycles: u64, seed: u64) -> Result<Timing, ReplayError> {
    let mut replay = ReplayedMachine::new(machine, streams.to_vec(), seed)?;
    let slots = (0..).map(Slot).take(streams.len());
    for (slot, cpu) in slots.clone().zip(machine.domains().into_iter().flat_map(|(_, cpus)| cpus)) {
        replay.place(slot, cpu)?;
    }
    let began = cpu_seconds();
    replay.advance(cycles)?;
    let cpu_seconds = cpu_seconds() - began;
    let counters = slots.map(|slot| replay.counters(slot));
    let (references, instructions) = counters.fold((0, 0), |(references, instructions), counters| {
        (references + counters.llc_references, instructions + counters.instructions)
    });
    Ok(Timing { guests: streams.len(), quanta: 0, references, instructions, cpu_seconds })
}

/// CPU time of this thread.
fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// `machine` with its LLC domains repeated until it has so many CPUs.
fn wide(machine: &Machine, cpus: usize) -> Result<Machine, InputError> {
    let broken = |problem: String| {
        InputError::new(format!("a wider \"{}\" is no machine: {problem}", machine.name()), "choose another")
            .at("--machine")
    };
    let mut description: toml::Table =
        machine.text().parse().map_err(|error: toml::de::Error| broken(error.to_string()))?;
    let has: usize = machine.domains().iter().map(|(_, cpus)| cpus.len()).sum();
    if let Some(toml::Value::Array(domains)) = description.get_mut("domain") {
        *domains = std::iter::repeat_n(domains.clone(), cpus.div_ceil(has.max(1))).flatten().collect();
    }
    Machine::from_toml(&description.to_string()).map_err(|error| broken(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_machine_has_more_domains_of_the_same_kind() {
        let small = Machine::preset("small-2x2").expect("it comes with the program");
        let wide = wide(&small, 8).expect("a machine");
        assert_eq!(wide.domains().iter().map(|(_, cpus)| cpus.len()).collect::<Vec<_>>(), [2; 4]);
        assert_eq!((wide.llc(), wide.private_digest()), (small.llc(), small.private_digest()));
    }
}
