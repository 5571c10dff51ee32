//! Sets of CPUs as the kernel writes them: lists (`0-3,8`) and maps (`00000000,0000010f`).
//!
//! Owns their two notations and their bounds. Which file says what is [`super`]'s business.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// More than any kernel is built for: what names a higher CPU is no CPU set.
const HIGHEST_CPU: u32 = 1 << 16;

/// CPUs by the kernel's numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct CpuSet(BTreeSet<u32>);

/// Text that is no CPU set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no set of CPUs")]
pub struct NoCpuSet(String);

impl CpuSet {
    /// Reads a list: numbers and ranges with commas between; nothing at all is the empty set.
    pub fn from_list(text: &str) -> Result<Self, NoCpuSet> {
        let wrong = || NoCpuSet(shortened(text));
        let mut cpus = BTreeSet::new();
        for part in trimmed(text).split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => cpus.extend(first..=last),
                _ => return Err(wrong()),
            }
        }
        Ok(Self(cpus))
    }

    /// Reads a map: hexadecimal words of 32 bits, the highest first, with commas between.
    pub fn from_map(text: &str) -> Result<Self, NoCpuSet> {
        let wrong = || NoCpuSet(shortened(text));
        let mut cpus = BTreeSet::new();
        for (place, word) in (0u32..).zip(trimmed(text).rsplit(',')) {
            let is_word = (1..=8).contains(&word.len()) && word.bytes().all(|digit| digit.is_ascii_hexdigit());
            let bits = u32::from_str_radix(word, 16).ok().filter(|_| is_word).ok_or_else(wrong)?;
            let cpu_of = |bit| place.checked_mul(32).map(|base| base + bit).filter(|cpu| *cpu <= HIGHEST_CPU);
            for bit in (0..32).filter(|bit| bits >> bit & 1 == 1) {
                cpus.insert(cpu_of(bit).ok_or_else(wrong)?);
            }
        }
        Ok(Self(cpus))
    }

    /// The CPUs of both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }

    /// Whether every CPU of this one is in `other` as well.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `cpu` is among them.
    #[must_use]
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.contains(&cpu)
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<u32> for CpuSet {
    fn from_iter<Cpus: IntoIterator<Item = u32>>(cpus: Cpus) -> Self {
        Self(cpus.into_iter().collect())
    }
}

/// As a list, `"0-3,8"`.
impl Serialize for CpuSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CpuSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_list(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// As a list.
impl fmt::Display for CpuSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = rest.next() {
            let mut last = first;
            while let Some(next) = rest.next_if_eq(&(last + 1)) {
                last = next;
            }
            if first == last {
                write!(out, "{separator}{first}")?;
            } else {
                write!(out, "{separator}{first}-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

/// Some files end in a NUL byte after the line's end.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || character == '\0')
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number <= HIGHEST_CPU)
}

fn shortened(text: &str) -> String {
    trimmed(text).chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(cpus: &[u32]) -> CpuSet {
        cpus.iter().copied().collect()
    }

    #[test]
    fn lists_and_maps_name_the_same_cpus() {
        assert_eq!(CpuSet::from_list("0-3,8\n"), Ok(set(&[0, 1, 2, 3, 8])));
        assert_eq!(CpuSet::from_map("00000000,0000010f\n"), Ok(set(&[0, 1, 2, 3, 8])));
        assert_eq!(CpuSet::from_map("1,00000000"), Ok(set(&[32])));
        assert_eq!(CpuSet::from_list("\n\0"), Ok(set(&[])));
        assert_eq!(CpuSet::from_map("0000,00000000,00000000"), Ok(set(&[])));
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in ["a", "3-1", "1-", "-1", "+1", "0-4294967295", "99999999999", "1,,x"] {
            assert!(CpuSet::from_list(text).is_err(), "{text}");
        }
        for text in ["", "xyz", "-1", "+f", "123456789", "1,", "80000000,".repeat(3000).trim_end_matches(',')] {
            assert!(CpuSet::from_map(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_as_a_list_reads_back(cpus in prop::collection::btree_set(0u32..300, 0..40)) {
            let cpus = CpuSet(cpus);
            prop_assert_eq!(CpuSet::from_list(&cpus.to_string()), Ok(cpus));
        }

        #[test]
        fn no_text_makes_reading_panic(text in "[0-9a-f,\\- \\x00]{0,60}|.{0,40}") {
            let _ = (CpuSet::from_list(&text), CpuSet::from_map(&text));
        }
    }
}
