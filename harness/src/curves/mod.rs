//! Miss-ratio curves of recorded guests: how often each phase would miss in an LLC of this size or that, alone.
//!
//! The algorithm is [`predictor::miss_ratio`]; this file feeds it a stream's references and says which phase each belongs
//! to: the one that the program marked, or the one that training finds in a replay of the guest alone. Curves are of
//! a fully associative LLC with least-recently-used replacement, which is what the real one comes close to.

pub mod figure;
pub mod profile;

use machine::spec::{LINE_BYTES, Machine};
use machine::stream::{Reference, ReferenceKind, Stream, StreamError};
use predictor::counters::Event;
use predictor::features::Observed;
use predictor::miss_ratio::{Curve, MissRatios, Sampling};
use predictor::phases::PhaseId;
use predictor::train::{self, TrainError, TrainSettings};
use serde::Serialize;

use crate::host::HostError;
use crate::interrupt::{Interrupt, Interrupted};
use crate::mix::Mix;
use crate::testbed::{BedError, TestBed};

/// Sizes for each doubling.
const STEPS: u32 = 4;
/// Doublings of the LLC's size that are covered, downwards and upwards.
const OCTAVES: u32 = 4;

/// Where the phases of a guest come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// All references together.
    Whole,
    /// The program marks its phases.
    Marked,
    /// Training finds them in a replay of the guest alone.
    Learned,
}

/// The curve of one phase of a guest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseCurve {
    /// Its number; absent for what is no phase's: all references together, or those outside every phase.
    pub phase: Option<u32>,
    /// The curve.
    pub curve: Curve,
    /// Mean distance from the exact miss ratio over all sizes, if that was asked.
    pub mean_error: Option<f64>,
}

/// The curves of a guest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GuestCurves {
    /// Its name, or its program's.
    pub name: String,
    /// Where its phases come from.
    pub source: Source,
    /// The sizes, ascending.
    pub sizes_bytes: Vec<u64>,
    /// By phase.
    pub phases: Vec<PhaseCurve>,
}

/// How curves are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Which lines are followed.
    pub sampling: Sampling,
    /// Whether exact curves are made as well, to tell the error.
    pub check: bool,
}

/// Why there are no curves.
#[derive(Debug, thiserror::Error)]
pub enum CurvesError {
    /// The stream cannot be read.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// There is no stream, or it does not play.
    #[error(transparent)]
    Bed(#[from] BedError),
    /// The replay in which phases are looked for stopped.
    #[error("failed to look for phases")]
    Host(#[from] HostError),
    /// No phases can be found in it.
    #[error("failed to find phases in the replay of \"{guest}\"")]
    Train {
        /// Whose replay.
        guest: String,
        /// Why not.
        source: TrainError,
    },
    /// Somebody asked to stop.
    #[error("failed to make miss-ratio curves")]
    Interrupted(#[from] Interrupted),
}

/// Phases by instructions: each piece ends before this position and belongs to this phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pieces(Vec<(u64, Option<PhaseId>)>);

impl Pieces {
    /// Pieces that end at these instructions, ascending.
    #[must_use]
    pub const fn new(pieces: Vec<(u64, Option<PhaseId>)>) -> Self {
        Self(pieces)
    }
}

/// Which phase a reference belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phases<'a> {
    /// None: all together.
    Whole,
    /// The one that the program marked.
    Marked,
    /// The one that was learned.
    Learned(&'a Pieces),
}

/// The sizes of curves for guests of `machine`: from a sixteenth of its LLC to sixteen times that.
#[must_use]
pub fn sizes_bytes(machine: &Machine) -> Vec<u64> {
    let llc = machine.llc().bytes() as f64;
    let octave = |step: u32| f64::from(step) / f64::from(STEPS) - f64::from(OCTAVES);
    let bytes = |step: u32| (llc * octave(step).exp2() / LINE_BYTES as f64).round() as u64 * LINE_BYTES;
    (0..=2 * OCTAVES * STEPS).map(bytes).collect()
}

/// The curves of the guest whose stream this is.
pub fn curves(
    name: &str,
    stream: &Stream,
    phases: Phases<'_>,
    sizes_bytes: &[u64],
    settings: Settings,
) -> Result<GuestCurves, CurvesError> {
    let sampled = follow(stream, phases, sizes_bytes, settings.sampling)?;
    let exact = settings.check.then(|| follow(stream, phases, sizes_bytes, Sampling::EVERYTHING)).transpose()?;
    let by_phase = sampled.phases().filter_map(|key| {
        let (curve, exact) = (sampled.curve(key)?, exact.as_ref().and_then(|exact| exact.curve(key)));
        let mean_error = exact.map(|exact| mean_difference(&curve, &exact));
        Some(PhaseCurve { phase: key.checked_sub(1), curve, mean_error })
    });
    let source = match phases {
        Phases::Whole => Source::Whole,
        Phases::Marked => Source::Marked,
        Phases::Learned(_) => Source::Learned,
    };
    Ok(GuestCurves { name: name.to_owned(), source, sizes_bytes: sizes_bytes.to_vec(), phases: by_phase.collect() })
}

/// Feeds the stream in. Phase `p` has the key `p + 1`; what is in none has 0.
fn follow(
    stream: &Stream,
    phases: Phases<'_>,
    sizes_bytes: &[u64],
    sampling: Sampling,
) -> Result<MissRatios, StreamError> {
    let lines = sizes_bytes.iter().map(|bytes| bytes / LINE_BYTES).collect();
    let mut ratios = MissRatios::new(sampling, lines);
    let mut piece = 0;
    stream.each_reference(|Reference { position, line, kind, phase }| {
        if kind == ReferenceKind::WriteOut {
            return ratios.touch(line.0);
        }
        let phase = match phases {
            Phases::Whole => None,
            Phases::Marked => phase.map(u32::from),
            Phases::Learned(Pieces(pieces)) => {
                while pieces.get(piece).is_some_and(|(end, _)| *end <= position) {
                    piece += 1;
                }
                pieces.get(piece).and_then(|(_, phase)| phase.map(|phase| phase.0))
            }
        };
        ratios.reference(line.0, phase.map_or(0, |phase| phase + 1));
    })?;
    Ok(ratios)
}

fn mean_difference(one: &Curve, other: &Curve) -> f64 {
    let differences = one.miss_ratios.iter().zip(&other.miss_ratios).map(|(one, other)| (one - other).abs());
    differences.sum::<f64>() / one.miss_ratios.len() as f64
}

/// Looks for phases in a replay of guest `index` of `mix` alone, as training does.
pub fn learn(
    bed: &TestBed,
    mix: &Mix,
    index: usize,
    quanta: u64,
    interrupt: &Interrupt,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Pieces, CurvesError> {
    let alone = mix.alone(index).expect("one of its guests");
    let mut host = bed.launch(&alone, quanta, None, interrupt, progress)?;
    let mut samples = Vec::new();
    for _ in 0..quanta {
        interrupt.check()?;
        samples.extend(host.advance(alone.quantum())?.samples);
    }
    let guest = &mix.guests[index].name;
    let series = train::Series { name: guest.clone(), samples: samples.clone() };
    let machine = alone.describe("curves", bed.kind().name(), "", host.events()).model_machine();
    let settings = TrainSettings { seed: mix.seed, ..TrainSettings::default() };
    let model = train::train(&[series], &machine, &settings)
        .map_err(|source| CurvesError::Train { guest: guest.clone(), source })?;
    let phases = &model.parts().phases;
    let mut position = 0;
    let mut pieces = Vec::new();
    for sample in &samples {
        position += sample.count(Event::Instructions).ok_or_else(|| HostError {
            action: format!("look for phases of \"{guest}\""),
            reason: "its host did not count instructions".to_owned(),
        })?;
        let phase = match phases.features.observe(sample) {
            Observed::Active(vector) => Some(phases.classify(&vector).phase),
            Observed::Idle | Observed::Missing(_) => None,
        };
        pieces.push((position, phase));
    }
    Ok(Pieces(pieces))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_from_a_sixteenth_of_the_llc_to_sixteen_times_it() {
        let machine = Machine::preset("small-2x2").expect("it comes with the program");
        let sizes = sizes_bytes(&machine);
        assert_eq!((sizes.len(), sizes[0], sizes[16], sizes[32]), (33, 64 << 10, 1 << 20, 16 << 20));
        assert!(sizes.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
