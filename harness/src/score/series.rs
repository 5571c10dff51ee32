//! What is scored: recordings as series of intervals, each with what phases and forecasters may see.
//!
//! Intervals without instructions, and idle ones, are left out: a run of phases goes on across them. So is the last interval
//! of a recording that ended in its middle. Every other keeps its row, by which predictions name it.

use std::path::Path;

use predictor::counters::{Event, Sample};
use predictor::features::IDLE_SHARE_BOUND;

use crate::import::recorded::{self, Recorded};
use crate::import::table::Layout;
use crate::import::{self, Format, Import, Strictness, to_trace};
use crate::input::InputError;

/// What forecasters see beside phases, in this order; absent where a recording lacks it.
pub const SIGNALS: [&str; 3] =
    ["instructions_per_cycle", "llc_misses_per_kilo_instruction", "memory_lines_per_kilo_instruction"];

/// Bytes of a cache line, where a recording has memory traffic in bytes.
const LINE_BYTES: f64 = 64.0;

/// A last interval shorter than this share of the median one was cut off.
const LEAST_LAST_SHARE: f64 = 0.9;

/// One interval of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// Its row in the recording, from 0.
    pub row: usize,
    /// Retired instructions, at least 1.
    pub instructions: u64,
    /// What [`SIGNALS`] names.
    pub signals: [Option<f64>; SIGNALS.len()],
    /// Its counters.
    pub sample: Sample,
}

impl Interval {
    /// Instructions per cycle.
    #[must_use]
    pub const fn instructions_per_cycle(&self) -> Option<f64> {
        self.signals[0]
    }

    /// LLC misses per instruction, reads and writes.
    #[must_use]
    pub fn llc_misses_per_instruction(&self) -> Option<f64> {
        self.signals[1].map(|misses| misses / 1000.0)
    }

    /// Cycles per instruction.
    #[must_use]
    pub fn cycles_per_instruction(&self) -> Option<f64> {
        self.signals[0].filter(|rate| *rate > 0.0).map(|rate| 1.0 / rate)
    }
}

/// One recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The file's name without endings, with the group's where it holds several.
    pub name: String,
    /// Recordings of one program, in whatever version and with whatever input, are one family.
    pub family: String,
    /// Its intervals.
    pub intervals: Vec<Interval>,
}

/// The series of `file`, each cut to its first intervals if that is wanted.
pub fn read(file: &Path, first: Option<usize>) -> Result<Vec<Series>, InputError> {
    let import = import::read(file, None, Strictness::Strict)?;
    let samples = to_trace::samples(file, &import, 0);
    let recordings = recorded::series(&import.readings);
    let series: Vec<Series> = recordings
        .iter()
        .zip(samples)
        .map(|(recorded, imported)| {
            let mut intervals = intervals(&import, recorded, imported.samples);
            intervals.truncate(first.unwrap_or(usize::MAX));
            let group = recorded.group.as_ref().and_then(|group| import.programs.get(group));
            let family = group.cloned().unwrap_or_else(|| family(&to_trace::stem(file), &import.format));
            Series { name: imported.name, family, intervals }
        })
        .filter(|series| !series.intervals.is_empty())
        .collect();
    if series.is_empty() {
        let remedy =
            "give a recording by intervals that counts instructions, as perf stat -I 100 -x, -e instructions,cycles";
        return Err(InputError::new("has no interval with instructions", remedy).in_file(file));
    }
    Ok(series)
}

fn intervals(import: &Import, recorded: &Recorded, samples: Vec<Sample>) -> Vec<Interval> {
    let rows = recorded.intervals.len() - usize::from(ends_short(import, recorded));
    let signals = Signals::of(&import.format, recorded);
    let at_work = |sample: &Sample| match (sample.count(Event::IdleCycles), sample.count(Event::Cycles)) {
        (Some(idle), Some(cycles)) if cycles > 0 => idle as f64 / cycles as f64 <= IDLE_SHARE_BOUND,
        _ => true,
    };
    let interval = |(row, sample): (usize, Sample)| {
        let instructions = sample.count(Event::Instructions).filter(|count| *count > 0)?;
        at_work(&sample).then(|| Interval { row, instructions, signals: signals.at(row, &sample), sample })
    };
    samples.into_iter().enumerate().take(rows).filter_map(interval).collect()
}

/// Whether the recording ended in the middle of its last interval, or of the last in one of three runs.
fn ends_short(import: &Import, recorded: &Recorded) -> bool {
    let rows = recorded.intervals.len();
    let is_short = |length: &dyn Fn(usize) -> Option<f64>| {
        let mut lengths: Vec<f64> = (0..rows).filter_map(length).collect();
        lengths.sort_by(f64::total_cmp);
        let median = lengths.get(lengths.len() / 2).copied();
        rows > 1 && length(rows - 1).zip(median).is_some_and(|(last, median)| last < LEAST_LAST_SHARE * median)
    };
    match import.format {
        Format::Trace => false,
        Format::Table(Layout::ThreeRuns) => ["instr_run1", "instr_run2", "instr_run3"].into_iter().any(|run| {
            let place = recorded.place(run);
            is_short(&|row| recorded.number(row, place?))
        }),
        _ => is_short(&|row| recorded.elapsed_seconds(row)),
    }
}

/// How the signals of a recording are computed.
enum Signals<'a> {
    /// Counts of three runs, each per instruction of its own.
    ThreeRuns(&'a Recorded),
    /// Memory bandwidth in bytes beside the counters.
    Bandwidth(&'a Recorded),
    /// From our events alone.
    Events,
}

impl<'a> Signals<'a> {
    fn of(format: &Format, recorded: &'a Recorded) -> Self {
        match format {
            Format::Table(Layout::ThreeRuns) => Self::ThreeRuns(recorded),
            Format::Table(Layout::NumaSolo) => Self::Bandwidth(recorded),
            _ => Self::Events,
        }
    }

    fn at(&self, row: usize, sample: &Sample) -> [Option<f64>; SIGNALS.len()] {
        let count = |event| sample.count(event).map(|count| count as f64);
        let ratio = |part: Option<f64>, whole: Option<f64>| {
            part.zip(whole).filter(|(_, whole)| *whole > 0.0).map(|(part, whole)| part / whole)
        };
        let kilo = |rate: Option<f64>| rate.map(|rate| 1000.0 * rate);
        let instructions = count(Event::Instructions);
        let speed = ratio(instructions, count(Event::Cycles));
        let misses = kilo(ratio(count(Event::LlcMisses), instructions));
        match self {
            Signals::ThreeRuns(recorded) => {
                let number = |name: &str| recorded.number(row, recorded.place(name)?);
                let reads = ratio(number("llc_rd_miss_run2"), number("instr_run2"));
                let writes = ratio(number("llc_wr_miss_run1"), number("instr_run1"));
                let misses = reads.zip(writes).map(|(reads, writes)| reads + writes);
                [speed, kilo(misses), kilo(ratio(number("mem_xfers_run3"), number("instr_run3")))]
            }
            Signals::Bandwidth(recorded) => {
                let number = |name: &str| recorded.number(row, recorded.place(name)?);
                let bytes = number("mem_local_bytes").zip(number("mem_remote_bytes")).map(|(near, far)| near + far);
                [speed, misses, kilo(ratio(bytes.map(|bytes| bytes / LINE_BYTES), instructions))]
            }
            Signals::Events => {
                let lines = count(Event::MemoryReadBytes).map(|bytes| bytes / LINE_BYTES);
                [speed, misses, kilo(ratio(lines, instructions))]
            }
        }
    }
}

/// The program behind a file's name, as far as names tell: SPEC programs without number and suite (`403.gcc.7` and
/// `502.gcc_r.1` are both gcc), guests by the last part of the name, all else by what stands before the first point.
fn family(stem: &str, format: &Format) -> String {
    if *format == Format::Table(Layout::KvmGuests) {
        return stem.rsplit('_').next().unwrap_or(stem).to_owned();
    }
    let mut parts = stem.split('.');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let numbered = first.len() == 3 && first.bytes().all(|byte| byte.is_ascii_digit());
    let name = match second {
        Some(program) if numbered => program.trim_end_matches("_r").trim_end_matches("_s"),
        _ => first,
    };
    // The second suite's name of the first one's program.
    if name == "cactuBSSN" { "cactusADM".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_inputs_of_a_program_are_one_family() {
        let of = |stem| family(stem, &Format::Trace);
        assert_eq!([of("403.gcc.7"), of("502.gcc_r.1")], ["gcc", "gcc"]);
        assert_eq!([of("436.cactusADM.1"), of("507.cactuBSSN_r.1")], ["cactusADM", "cactusADM"]);
        assert_eq!([of("npb-BT.8threads"), of("npb-BT.16threads.rep2")], ["npb-BT", "npb-BT"]);
        assert_eq!(family("limit_start_stop_f_sdag", &Format::Table(Layout::KvmGuests)), "sdag");
    }
}
