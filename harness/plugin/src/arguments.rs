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
    /// To be called and to count nothing, so that the price of calling can be measured.
    Uncounted {
        /// What for.
        calls: Calls,
    },
    /// As one program alone on a machine.
    Alone {
        /// The machine's description.
        machine: PathBuf,
        /// Where to write the counts.
        report: PathBuf,
    },
}

/// What QEMU calls the plugin for; each includes all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Calls {
    /// Translating a block.
    Translation,
    /// Executing a block.
    Blocks,
    /// Accessing memory, and all else.
    Accesses,
}

const REMEDY: &str = "load it with segment-fd=N,slot=K[,stream-fd=M], with machine=FILE.toml,report=FILE.json, or with \
                      calls=translation|blocks|accesses to be called and count nothing";

/// Reads `key=value` words.
pub(crate) fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Arguments, String> {
    let mut calls = None;
    let (mut segment_fd, mut slot, mut stream_fd, mut machine, mut report) = (None, None, None, None, None);
    for word in words {
        let (key, value) = word.split_once('=').ok_or_else(|| format!("argument {word:?} has no value; {REMEDY}"))?;
        let number = || value.parse::<u32>().map_err(|_| format!("{key}={value} is no number; {REMEDY}"));
        match key {
            "segment-fd" => segment_fd = Some(number()? as i32),
            "stream-fd" => stream_fd = Some(number()? as i32),
            "slot" => slot = Some(Slot(number()?)),
            "calls" => calls = Some(calls_named(value)?),
            "machine" => machine = Some(PathBuf::from(value)),
            "report" => report = Some(PathBuf::from(value)),
            _ => return Err(format!("argument {key:?} is not known; {REMEDY}")),
        }
    }
    if let Some(calls) = calls {
        let others = segment_fd.is_some() || slot.is_some() || machine.is_some() || report.is_some();
        let alone = !others && stream_fd.is_none();
        return if alone {
            Ok(Arguments::Uncounted { calls })
        } else {
            Err(format!("calls goes with nothing; {REMEDY}"))
        };
    }
    match (segment_fd, slot, machine, report, stream_fd) {
        (Some(segment_fd), Some(slot), None, None, stream_fd) => Ok(Arguments::Shared { segment_fd, slot, stream_fd }),
        (None, None, Some(machine), Some(report), None) => Ok(Arguments::Alone { machine, report }),
        _ => Err(format!("these arguments do not belong together; {REMEDY}")),
    }
}

fn calls_named(name: &str) -> Result<Calls, String> {
    match name {
        "translation" => Ok(Calls::Translation),
        "blocks" => Ok(Calls::Blocks),
        "accesses" => Ok(Calls::Accesses),
        _ => Err(format!("calls={name} is not known; {REMEDY}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_of_loading_are_understood() {
        let shared = |stream_fd| Ok(Arguments::Shared { segment_fd: 7, slot: Slot(3), stream_fd });
        assert_eq!(parse(["segment-fd=7", "slot=3"]), shared(None));
        assert_eq!(parse(["segment-fd=7", "slot=3", "stream-fd=9"]), shared(Some(9)));
        assert_eq!(parse(["calls=blocks"]), Ok(Arguments::Uncounted { calls: Calls::Blocks }));
        let alone = Arguments::Alone { machine: "m.toml".into(), report: "r.json".into() };
        assert_eq!(parse(["report=r.json", "machine=m.toml"]), Ok(alone));
    }

    #[test]
    fn anything_else_is_refused_with_what_would_be_right() {
        for words in [
            &["slot=1"][..],
            &["slot"],
            &["segment-fd=x", "slot=1"],
            &["slto=1"],
            &["slot=1", "machine=m"],
            &["calls=blocks", "slot=1"],
            &["calls=some"],
            &[],
        ] {
            let refusal = parse(words.iter().copied()).expect_err("wrong");
            assert!(refusal.contains("segment-fd=N,slot=K"), "{refusal}");
        }
    }
}
