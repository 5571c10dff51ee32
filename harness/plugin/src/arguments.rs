//! What the plugin is told on QEMU's command line.

// SPDX-License-Identifier: GPL-2.0-or-later

use std::path::PathBuf;

use machine::segment::Slot;

/// How the plugin was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// As one of several guests that share a machine.
    Shared {
        /// The segment's descriptor, inherited from the harness.
        segment_fd: i32,
        /// This guest's slot in it.
        slot: Slot,
        /// The descriptor of a file to append the guest's stream to, if it is recorded.
        stream_fd: Option<i32>,
    },
    /// As one program alone on a machine.
    Alone {
        /// The machine's description.
        machine: PathBuf,
        /// Where to write the counts.
        report: PathBuf,
    },
}

const REMEDY: &str = "load it with segment-fd=N,slot=K[,stream-fd=M] or with machine=FILE.toml,report=FILE.json";

/// Reads `key=value` words.
pub(crate) fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Arguments, String> {
    let (mut segment_fd, mut slot, mut stream_fd, mut machine, mut report) = (None, None, None, None, None);
    for word in words {
        let (key, value) = word.split_once('=').ok_or_else(|| format!("argument {word:?} has no value; {REMEDY}"))?;
        let number = || value.parse::<u32>().map_err(|_| format!("{key}={value} is no number; {REMEDY}"));
        match key {
            "segment-fd" => segment_fd = Some(number()? as i32),
            "stream-fd" => stream_fd = Some(number()? as i32),
            "slot" => slot = Some(Slot(number()?)),
            "machine" => machine = Some(PathBuf::from(value)),
            "report" => report = Some(PathBuf::from(value)),
            _ => return Err(format!("argument {key:?} is not known; {REMEDY}")),
        }
    }
    match (segment_fd, slot, machine, report, stream_fd) {
        (Some(segment_fd), Some(slot), None, None, stream_fd) => Ok(Arguments::Shared { segment_fd, slot, stream_fd }),
        (None, None, Some(machine), Some(report), None) => Ok(Arguments::Alone { machine, report }),
        _ => Err(format!("these arguments do not belong together; {REMEDY}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_loading_are_understood() {
        let shared = |stream_fd| Ok(Arguments::Shared { segment_fd: 7, slot: Slot(3), stream_fd });
        assert_eq!(parse(["segment-fd=7", "slot=3"]), shared(None));
        assert_eq!(parse(["segment-fd=7", "slot=3", "stream-fd=9"]), shared(Some(9)));
        let alone = Arguments::Alone { machine: "m.toml".into(), report: "r.json".into() };
        assert_eq!(parse(["report=r.json", "machine=m.toml"]), Ok(alone));
    }

    #[test]
    fn anything_else_is_refused_with_what_would_be_right() {
        for words in
            [&["slot=1"][..], &["slot"], &["segment-fd=x", "slot=1"], &["slto=1"], &["slot=1", "machine=m"], &[]]
        {
            let refusal = parse(words.iter().copied()).expect_err("wrong");
            assert!(refusal.contains("segment-fd=N,slot=K"), "{refusal}");
        }
    }
}
