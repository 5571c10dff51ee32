//! What guests say over their ports once they run.

/// A line from a guest's init.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// The next thing is the begin mark.
    Begin,
    /// The program ran to its end and starts again.
    Done {
        /// How many runs came before.
        run: u64,
        /// The program's exit code.
        status: i64,
        /// FNV-1a 64 of its output.
        checksum: u64,
    },
    /// Something is wrong; the guest does not go on.
    Error(String),
}

impl Line {
    /// Reads a line; `None` if it is none of ours.
    pub(super) fn parse(line: &str) -> Option<Self> {
        if line == "begin" {
            return Some(Self::Begin);
        }
        if let Some(text) = line.strip_prefix("error ") {
            return Some(Self::Error(text.to_owned()));
        }
        let mut words = line.strip_prefix("done ")?.split(' ');
        let mut value = |key: &str| words.next()?.strip_prefix(key)?.strip_prefix('=');
        let run = value("run")?.parse().ok()?;
        let status = value("status")?.parse().ok()?;
        let checksum = u64::from_str_radix(value("checksum")?, 16).ok()?;
        Some(Self::Done { run, status, checksum })
    }
}

/// Why a completed run is not as it should be; `None` if it is.
pub(super) fn wrong_answer(expected: Option<u64>, run: u64, status: i64, checksum: u64) -> Option<String> {
    if status != 0 {
        return Some(format!("run {run} of its program ended with status {status}"));
    }
    let expected = expected.filter(|&expected| expected != checksum)?;
    Some(format!(
        "run {run} of its program wrote output with checksum {checksum:016x}, where the catalogue has {expected:016x}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_init_are_read_and_others_are_not() {
        assert_eq!(Line::parse("begin"), Some(Line::Begin));
        assert_eq!(
            Line::parse("done run=3 status=0 checksum=00000000000000ff"),
            Some(Line::Done { run: 3, status: 0, checksum: 255 })
        );
        assert_eq!(Line::parse("error no such program"), Some(Line::Error("no such program".to_owned())));
        for other in ["", "done", "done run=x status=0 checksum=0", "done status=0 run=1 checksum=0", "hello"] {
            assert_eq!(Line::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_wrong_checksum_or_status_is_told_with_both_values() {
        assert_eq!(wrong_answer(Some(7), 0, 0, 7), None);
        assert_eq!(wrong_answer(None, 0, 0, 7), None);
        let text = wrong_answer(Some(7), 2, 0, 8).expect("wrong");
        assert!(text.contains("run 2") && text.contains("0000000000000008") && text.contains("0000000000000007"));
        assert!(wrong_answer(Some(7), 0, 3, 7).is_some_and(|text| text.contains("status 3")));
    }
}
