//! Whether the phases that a model sees are those that were marked, and whether neighbours change them.

use std::collections::{BTreeMap, BTreeSet};

use super::super::collected::Series;
use super::slowdown::Progress;

/// Most phases or marks that a best mapping is looked for among: the search visits every set of marks.
const MOST_MARKS: usize = 16;

/// Share of quanta whose phase is the marked one, under the best one-to-one naming of phases by marks. Only quanta with
/// both count; `None` without any, or with more than 16 marks. A phase without a mark to its name is counted as wrong,
/// so that splitting one marked phase into many is not rewarded.
#[must_use]
pub fn truth_agreement(series: &Series) -> Option<f64> {
    let pairs = pairs(series);
    let total: u64 = pairs.values().sum();
    let mapping = best_mapping(series)?;
    let agreeing: u64 =
        pairs.iter().filter(|((phase, mark), _)| mapping.get(phase) == Some(mark)).map(|(_, count)| count).sum();
    (total > 0).then(|| agreeing as f64 / total as f64)
}

/// How often each phase and each mark stand together.
fn pairs(series: &Series) -> BTreeMap<(u32, u32), u64> {
    let mut pairs = BTreeMap::new();
    for (phase, mark) in series.phase.iter().zip(&series.truth) {
        if let (Some(phase), Some(mark)) = (phase, mark) {
            *pairs.entry((*phase, *mark)).or_insert(0) += 1;
        }
    }
    pairs
}

/// The one-to-one naming of phases by marks under which most quanta agree; of several, the one that names lower phases
/// first. `None` with more than 16 marks.
#[must_use]
pub fn best_mapping(series: &Series) -> Option<BTreeMap<u32, u32>> {
    let pairs = pairs(series);
    let phases: BTreeSet<u32> = pairs.keys().map(|(phase, _)| *phase).collect();
    let marks: Vec<u32> = pairs.keys().map(|(_, mark)| *mark).collect::<BTreeSet<_>>().into_iter().collect();
    if marks.len() > MOST_MARKS {
        return None;
    }
    // best[taken]: agreeing quanta, and the naming, when the phases so far have used exactly these marks.
    let mut best: BTreeMap<u32, (u64, BTreeMap<u32, u32>)> = BTreeMap::from([(0, (0, BTreeMap::new()))]);
    for phase in phases {
        let mut next = best.clone();
        for (taken, (agreeing, naming)) in &best {
            for (place, mark) in marks.iter().enumerate().filter(|(place, _)| taken >> place & 1 == 0) {
                let Some(count) = pairs.get(&(phase, *mark)) else { continue };
                let candidate = agreeing + count;
                let entry = next.entry(taken | 1 << place).or_insert_with(|| (0, BTreeMap::new()));
                if candidate > entry.0 {
                    let mut naming = naming.clone();
                    naming.insert(phase, *mark);
                    *entry = (candidate, naming);
                }
            }
        }
        best = next;
    }
    best.into_values().max_by(|left, right| left.0.cmp(&right.0)).map(|(_, naming)| naming)
}

/// Share of work, in instructions, that has the same phase in both runs at the same position; work without a phase in
/// either is left out. `None` where no work is left.
#[must_use]
pub fn work_agreement(solo: &Series, mix: &Series) -> Option<f64> {
    let (solo_progress, mix_progress) = (Progress::of(solo), Progress::of(mix));
    let solo_spans: Vec<_> = solo_progress.spans().collect();
    let (mut compared, mut agreeing) = (0.0, 0.0);
    let mut first = 0;
    for ((begin, end), phase) in mix_progress.spans().zip(&mix.phase) {
        while solo_spans.get(first).is_some_and(|(_, solo_end)| *solo_end <= begin) {
            first += 1;
        }
        for (place, (solo_begin, solo_end)) in solo_spans.iter().enumerate().skip(first) {
            if *solo_begin >= end {
                break;
            }
            let (Some(phase), Some(solo_phase)) = (phase, solo.phase[place]) else { continue };
            let work = end.min(*solo_end) - begin.max(*solo_begin);
            compared += work;
            agreeing += if *phase == solo_phase { work } else { 0.0 };
        }
    }
    (compared > 0.0).then(|| agreeing / compared)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A series with 100 instructions a quantum; phases and marks as letters, `.` is absent.
    fn series(phases: &str, truth: &str) -> Series {
        let read = |text: &str| text.chars().map(|letter| (letter != '.').then_some(letter as u32)).collect();
        Series {
            instructions: vec![Some(100); phases.len()],
            elapsed_ns: vec![1000; phases.len()],
            phase: read(phases),
            truth: read(truth),
            ..Series::default()
        }
    }

    #[test]
    fn names_do_not_matter_but_each_mark_names_one_phase() {
        assert_eq!(truth_agreement(&series("xxxyyy", "000111")), Some(1.0));
        assert_eq!(truth_agreement(&series("xxzyyy", "000111")), Some(5.0 / 6.0), "z has no mark left");
        assert_eq!(truth_agreement(&series("xxxx", "0011")), Some(0.5), "one phase cannot be both");
    }

    #[test]
    fn the_best_naming_is_not_the_greedy_one() {
        // x stands with 0 most often, but y has only 0 to go by.
        let series = series("xxxxxyyyy", "000110000");
        assert_eq!(truth_agreement(&series), Some(6.0 / 9.0));
    }

    #[test]
    fn without_marks_there_is_nothing_to_agree_with() {
        assert_eq!(truth_agreement(&series("xxyy", "....")), None);
    }

    #[test]
    fn phases_are_compared_at_equal_work_and_not_at_equal_time() {
        let solo = series("xxyy", "....");
        let mut mix = series("xxxxyyyy", "........");
        mix.instructions = vec![Some(50); 8];
        assert_eq!(work_agreement(&solo, &mix), Some(1.0));
        mix.phase[4] = Some('x' as u32);
        assert_eq!(work_agreement(&solo, &mix), Some(350.0 / 400.0));
    }
}
