//! Whether a recording is long enough for a run.
//!
//! A guest never does more work than alone with the same private caches and the LLC to itself, so a recording that lasts
//! the run's cycles alone lasts it in any company. How long it lasts alone is known where it was recorded on the very
//! machine; on another one it is played alone to find out, which the process remembers. Page colours change conflicts, and
//! so does taking turns: a program that just fits in the LLC may do a quarter more work under other colours than under those
//! of its recording. [`MARGIN`] is for both.

use std::collections::BTreeMap;
use std::sync::Mutex;

use machine::replay::{ReplayError, ReplayedMachine};
use machine::segment::Slot;
use machine::spec::Machine;

use super::about::digest_of;
use super::{Recording, StreamsError};

/// What is demanded beyond the run's own length, as a share of it.
pub(super) const MARGIN: f64 = 0.5;

/// How long recordings were found to last: cycles that they lasted at least, or less than, by stream and machine.
#[derive(Debug, Default)]
pub struct Lengths(Mutex<BTreeMap<(String, u64, String), Found>>);

#[derive(Debug, Clone, Copy, Default)]
struct Found {
    at_least: u64,
    less_than: Option<u64>,
}

/// `cycles` and the margin, in whole epochs.
pub(super) fn with_margin(machine: &Machine, cycles: u64) -> u64 {
    let generous = cycles + (cycles as f64 * MARGIN).ceil() as u64;
    generous.next_multiple_of(machine.epoch_cycles())
}

impl Lengths {
    /// Whether `recording` lasts a run of so many cycles on `machine`, with the margin.
    pub fn lasts(&self, recording: &Recording, machine: &Machine, cycles: u64) -> Result<bool, StreamsError> {
        let needed = with_margin(machine, cycles);
        let about = &recording.about;
        let digest = digest_of(machine);
        if about.machine_digest == digest {
            return Ok(about.cycles >= needed);
        }
        // No machine executes more than its base rate.
        let most = needed as f64 / machine.core().cycles_per_instruction;
        if about.instructions as f64 >= most {
            return Ok(true);
        }
        let key = (recording.stream.path().display().to_string(), about.instructions, digest);
        let found = self.0.lock().expect("no holder panics").get(&key).copied().unwrap_or_default();
        if found.at_least >= needed {
            return Ok(true);
        }
        if found.less_than.is_some_and(|less| less <= needed) {
            return Ok(false);
        }
        let lasts = plays(recording, machine, needed)?;
        let mut known = self.0.lock().expect("no holder panics");
        let found = known.entry(key).or_default();
        if lasts {
            found.at_least = found.at_least.max(needed);
        } else {
            found.less_than = Some(found.less_than.map_or(needed, |less| less.min(needed)));
        }
        Ok(lasts)
    }
}

/// Plays it alone.
fn plays(recording: &Recording, machine: &Machine, cycles: u64) -> Result<bool, StreamsError> {
    let mut alone = ReplayedMachine::new(machine, vec![recording.stream.clone()], 1)?;
    let cpu = machine.domains().first().and_then(|(_, cpus)| cpus.first().copied()).expect("a machine has a CPU");
    alone.place(Slot(0), cpu)?;
    match alone.advance(cycles) {
        Ok(()) => Ok(true),
        Err(ReplayError::Exhausted { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
