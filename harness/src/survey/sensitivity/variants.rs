//! Machines that differ from a given one in one thing, made by editing its description: what the description says else
//! stays as it is, and the result is checked like any machine.

use machine::spec::{Machine, SpecError};
use toml::{Table, Value};

/// One thing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// Half the reorder window: less memory-level parallelism.
    HalfWindow,
    /// Twice the reorder window.
    DoubleWindow,
    /// A stream prefetcher where the machine has none, none where it has one.
    OtherPrefetcher,
    /// LLCs of half the size.
    HalfLlc,
    /// LLCs of twice the size.
    DoubleLlc,
    /// Turns of half the length: an artefact of the emulation, which should change nothing.
    HalfEpoch,
}

/// The prefetcher that a machine gets that has none: as Intel's optimisation manual describes its L2 streamer; see
/// [`machine::prefetch`].
const PREFETCHER: [(&str, i64); 3] = [("streams", 32), ("degree", 2), ("distance", 20)];

impl Change {
    pub(super) const ALL: [Change; 7] = [
        Change::None,
        Change::HalfWindow,
        Change::DoubleWindow,
        Change::OtherPrefetcher,
        Change::HalfLlc,
        Change::DoubleLlc,
        Change::HalfEpoch,
    ];

    /// The name of the variant of `machine`, for tables and the names of runs.
    pub(super) fn name(self, machine: &Machine) -> &'static str {
        match self {
            Change::None => "as-it-is",
            Change::HalfWindow => "window-x0.5",
            Change::DoubleWindow => "window-x2",
            Change::OtherPrefetcher if machine.prefetcher().is_some() => "prefetcher-off",
            Change::OtherPrefetcher => "prefetcher-on",
            Change::HalfLlc => "llc-x0.5",
            Change::DoubleLlc => "llc-x2",
            Change::HalfEpoch => "epoch-x0.5",
        }
    }

    /// `machine` with this change.
    pub(super) fn of(self, machine: &Machine) -> Result<Machine, SpecError> {
        let mut table: Table = machine.text().parse().expect("a checked machine was read from TOML");
        match self {
            Change::None => return Ok(machine.clone()),
            Change::HalfWindow => scale(&mut table, &["core", "reorder_window"], (1, 2)),
            Change::DoubleWindow => scale(&mut table, &["core", "reorder_window"], (2, 1)),
            Change::HalfLlc => scale(&mut table, &["llc", "size_kib"], (1, 2)),
            Change::DoubleLlc => scale(&mut table, &["llc", "size_kib"], (2, 1)),
            Change::HalfEpoch => scale(&mut table, &["epoch_cycles"], (1, 2)),
            Change::OtherPrefetcher => {
                if table.remove("prefetcher").is_none() {
                    let prefetcher = PREFETCHER.into_iter().map(|(key, value)| (key.to_owned(), Value::Integer(value)));
                    table.insert("prefetcher".to_owned(), Value::Table(prefetcher.collect()));
                }
            }
        }
        let name = format!("{}-{}", machine.name(), self.name(machine));
        table.insert("name".to_owned(), Value::String(name));
        Machine::from_toml(&table.to_string())
    }
}

/// Multiplies the whole number at `path` by a ratio, rounded down.
fn scale(table: &mut Table, path: &[&str], (times, over): (i64, i64)) {
    let (last, sections) = path.split_last().expect("a path has a key");
    let section = sections.iter().try_fold(table, |table, section| table.get_mut(*section)?.as_table_mut());
    // Every machine has the keys that are scaled; what they become is checked with all else.
    if let Some(Value::Integer(number)) = section.and_then(|section| section.get_mut(*last)) {
        *number = *number * times / over;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Machine {
        Machine::preset("small-2x2").expect("it comes with the program")
    }

    fn changed(change: Change) -> Machine {
        change.of(&small()).unwrap_or_else(|error| panic!("{change:?}: {error}"))
    }

    #[test]
    fn a_variant_differs_in_one_thing() {
        let base = small();
        assert_eq!(changed(Change::HalfWindow).core().reorder_window, base.core().reorder_window / 2);
        assert_eq!(changed(Change::DoubleWindow).core().reorder_window, base.core().reorder_window * 2);
        assert_eq!(changed(Change::HalfLlc).llc().bytes(), base.llc().bytes() / 2);
        assert_eq!(changed(Change::DoubleLlc).llc().bytes(), base.llc().bytes() * 2);
        assert_eq!(changed(Change::HalfEpoch).epoch_cycles(), base.epoch_cycles() / 2);
        assert_eq!(changed(Change::HalfLlc).core(), base.core());
        assert_eq!(changed(Change::HalfWindow).llc(), base.llc());
        assert_eq!(changed(Change::None), base);
    }

    #[test]
    fn the_prefetcher_is_turned_on_and_off_again() {
        let on = changed(Change::OtherPrefetcher);
        assert!(on.prefetcher().is_some() && small().prefetcher().is_none());
        assert_eq!(on.name(), "small-2x2-prefetcher-on");
        let off = Change::OtherPrefetcher.of(&on).expect("sound");
        assert_eq!((off.prefetcher(), off.llc(), off.core()), (None, small().llc(), small().core()));
    }

    #[test]
    fn every_variant_keeps_the_shape_of_the_machine() {
        for variant in Change::ALL.map(changed) {
            assert_eq!(variant.domains(), small().domains(), "{}", variant.name());
            assert_eq!(variant.memory(), small().memory(), "{}", variant.name());
        }
    }
}
