//! What one run alone comes to, as numbers.

use predictor::counters::{Event, Readings};

use super::{Finding, Solo};
use crate::report::collected::Series;
use crate::report::metrics::truth_agreement;

/// Bytes of a cache line.
const LINE_BYTES: f64 = 64.0;

/// One run's figures; absent where a counter was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    pub(super) cycles_per_instruction: Option<f64>,
    pub(super) instructions_per_cycle: Option<f64>,
    pub(super) l1_misses_per_kilo_instruction: Option<f64>,
    pub(super) llc_references_per_kilo_instruction: Option<f64>,
    pub(super) llc_misses_per_kilo_instruction: Option<f64>,
    pub(super) write_backs_per_kilo_instruction: Option<f64>,
    /// Of the bytes that one domain's channel can carry in the time of the run.
    pub(super) channel_share: Option<f64>,
    /// Kernel instructions of all instructions.
    pub(super) kernel_share: Option<f64>,
    /// Idle cycles of all cycles.
    pub(super) idle_share: Option<f64>,
    /// Mean length of a stay in a phase that was found.
    pub(super) phase_quanta: Option<f64>,
    /// Mean length of a stay in a phase that the program marks.
    pub(super) marked_quanta: Option<f64>,
    /// Lag-1 autocorrelation of cycles per instruction over quanta.
    pub(super) lag1_cycles_per_instruction: Option<f64>,
    /// Lag-1 autocorrelation of LLC references per kilo-instruction over quanta.
    pub(super) lag1_llc_references: Option<f64>,
    /// Quanta whose phase is the one marked.
    pub(super) truth_agreement: Option<f64>,
}

impl Figures {
    /// Of `finding`, on the machine of `solo`.
    pub(super) fn of(finding: &Finding, solo: &Solo) -> Self {
        let Finding { sums, series, .. } = finding;
        let count = |event: Event| sums.get(event).count().map(|count| count as f64);
        let ratio =
            |part: Option<f64>, of: Option<f64>| part.zip(of).filter(|(_, of)| *of > 0.0).map(|(part, of)| part / of);
        let instructions = count(Event::Instructions);
        let per_kilo = |event: Event| ratio(count(event).map(|count| 1000.0 * count), instructions);
        let cycles = count(Event::Cycles);
        let all_cycles = cycles.zip(count(Event::IdleCycles)).map(|(busy, idle)| busy + idle);
        let references = references_per_kilo_instruction(series);
        Self {
            cycles_per_instruction: ratio(cycles, instructions),
            instructions_per_cycle: ratio(instructions, cycles),
            l1_misses_per_kilo_instruction: per_kilo(Event::L1Misses),
            llc_references_per_kilo_instruction: per_kilo(Event::LlcReferences),
            llc_misses_per_kilo_instruction: per_kilo(Event::LlcMisses),
            write_backs_per_kilo_instruction: per_kilo(Event::WriteBacks),
            channel_share: ratio(memory_bytes(sums), all_cycles.map(|cycles| cycles * solo.memory_bytes_per_cycle)),
            kernel_share: ratio(count(Event::KernelInstructions), instructions),
            idle_share: ratio(count(Event::IdleCycles), all_cycles),
            phase_quanta: series.mean_phase_quanta(),
            marked_quanta: series.mean_mark_quanta(),
            lag1_cycles_per_instruction: lag1(&series.cycles_per_instruction().collect::<Vec<_>>()),
            lag1_llc_references: lag1(&references),
            truth_agreement: if finding.truth { truth_agreement(series) } else { None },
        }
    }
}

/// Bytes to and from memory.
fn memory_bytes(sums: &Readings) -> Option<f64> {
    let read = sums.get(Event::MemoryReadBytes).count()? as f64;
    Some(read + sums.get(Event::WriteBacks).count()? as f64 * LINE_BYTES)
}

/// LLC references per thousand instructions, quantum by quantum.
pub(super) fn references_per_kilo_instruction(series: &Series) -> Vec<Option<f64>> {
    let each = series.llc_references.iter().zip(&series.instructions);
    each.map(|(references, instructions)| match (references, instructions) {
        (Some(references), Some(instructions)) if *instructions > 0 => {
            Some(1000.0 * *references as f64 / *instructions as f64)
        }
        _ => None,
    })
    .collect()
}

/// Lag-1 autocorrelation: how well a quantum's value tells the next one's, from -1 to 1. The sample formula
/// `sum (x[t] - m)(x[t+1] - m) / sum (x[t] - m)^2` over the values that are there, `m` their mean; neighbours on both sides of
/// a missing value are no pair. `None` of fewer than three values, or where they do not vary by more than rounding.
pub(super) fn lag1(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    if known.len() < 3 {
        return None;
    }
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    let variation: f64 = known.iter().map(|value| (value - mean).powi(2)).sum();
    if variation <= 1e-18 * mean * mean * known.len() as f64 {
        return None;
    }
    let pairs = values.windows(2).filter_map(|pair| Some((pair[0]? - mean) * (pair[1]? - mean)));
    Some(pairs.sum::<f64>() / variation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_stays_correlate_and_alternation_does_the_opposite() {
        let of =
            |text: &str| lag1(&text.bytes().map(|byte| (byte != b'.').then_some(f64::from(byte))).collect::<Vec<_>>());
        assert!(of("aaaaaaaaaabbbbbbbbbb").expect("it varies") > 0.8);
        assert!(of("abababababababababab").expect("it varies") < -0.8);
        assert_eq!(of("aaaaaaaa"), None, "nothing varies");
        assert_eq!(of("ab"), None);
    }

    #[test]
    fn a_missing_quantum_breaks_a_pair_and_is_not_zero() {
        let with = |gap: Option<f64>| lag1(&[Some(1.0), Some(1.0), gap, Some(2.0), Some(2.0)]);
        let expected = (0.25 + 0.25) / 1.0;
        assert_eq!(with(None), Some(expected));
        assert_ne!(with(Some(0.0)), with(None));
    }
}
