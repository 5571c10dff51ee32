//! Benchmarks of a suite that a user supplies: what stands on their disk, how one is run, and when its output is right.
//!
//! The disk is mounted at [`MOUNT`] in the guest:
//!
//! ```text
//! /suite/run                            the program that runs a benchmark (bin/suite.rs)
//! /suite/lib/                           libraries of all benchmarks, and their loader
//! /suite/505.mcf_r/exe/mcf_r            programs
//! /suite/505.mcf_r/test/plan.toml       what to do for the input "test" (a Plan)
//! /suite/505.mcf_r/test/input/          what stands in the folder it runs in
//! /suite/505.mcf_r/test/expected/       what its output has to be, as far as the suite says
//! ```
//!
//! Making the disk belongs to the harness.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where the disk is mounted in the guest.
pub const MOUNT: &str = "/suite";

/// The program on the disk that runs a benchmark: `/suite/run 505.mcf_r test`.
pub const RUNNER: &str = "run";

/// The folder of libraries on the disk.
pub const LIBRARIES: &str = "lib";

/// The loader among them, by which programs that are not static are started.
pub const LOADER: &str = "ld-linux-x86-64.so.2";

/// The file with the [`Plan`] of an input, and the folders beside it.
pub const PLAN: &str = "plan.toml";
/// What stands in the folder that the benchmark runs in.
pub const INPUT: &str = "input";
/// What its output has to be.
pub const EXPECTED: &str = "expected";

/// How a benchmark is run on one input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Whether its programs are started by the loader on the disk.
    pub dynamic: bool,
    /// What is run, one after the other.
    pub commands: Vec<Command>,
    /// How far numbers in its output may be off.
    pub tolerance: Tolerance,
}

/// One command, written `mcf_r inp.in > inp.out` or `bwaves_r bwaves_1 < bwaves_1.in`; there is no quoting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Command {
    /// The program's name in the benchmark's `exe`.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The file that is its standard input; empty if there is none.
    pub stdin: Option<String>,
    /// The file that its standard output goes to; dropped if there is none.
    pub stdout: Option<String>,
}

/// How far a number may be from the one expected: either is enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// In the number's own unit.
    pub absolute: f64,
    /// As a share of the number.
    pub relative: f64,
}

impl Tolerance {
    /// Every byte as expected.
    pub const EXACT: Self = Self { absolute: 0.0, relative: 0.0 };
}

impl FromStr for Command {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(['"', '\'', '\\', '$', '`', ';', '&', '|', '*']) {
            return Err(format!("the command \"{text}\" needs a shell"));
        }
        let mut words = text.split_whitespace().map(str::to_owned);
        let program = words.next().ok_or("an empty command")?;
        let mut command = Self { program, arguments: Vec::new(), stdin: None, stdout: None };
        while let Some(word) = words.next() {
            match word.as_str() {
                "<" => command.stdin = Some(words.next().ok_or("no file follows \"<\"")?),
                ">" => command.stdout = Some(words.next().ok_or("no file follows \">\"")?),
                _ => command.arguments.push(word),
            }
        }
        Ok(command)
    }
}

impl TryFrom<String> for Command {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Command> for String {
    fn from(command: Command) -> Self {
        let mut words = vec![command.program];
        words.extend(command.arguments);
        for (sign, file) in [("<", command.stdin), (">", command.stdout)] {
            words.extend(file.into_iter().flat_map(|file| [sign.to_owned(), file]));
        }
        words.join(" ")
    }
}

/// What the runner says when all output that the suite has an answer for is right. The catalogue's checksum is that of this
/// text.
#[must_use]
pub fn verdict(benchmark: &str, input: &str) -> String {
    format!("{benchmark} {input}: output as expected\n")
}

/// The first line, from 1, in which `found` is not what was `expected`; `None` if all is.
///
/// Words are compared, not blanks, as SPEC's own comparison can; two words that are numbers may differ by the tolerance.
#[must_use]
pub fn first_difference(found: &[u8], expected: &[u8], tolerance: Tolerance) -> Option<usize> {
    if found == expected {
        return None;
    }
    let (found, expected) = (String::from_utf8_lossy(found), String::from_utf8_lossy(expected));
    let (mut found, mut expected) = (found.lines(), expected.lines());
    for line in 1.. {
        match (found.next(), expected.next()) {
            (None, None) => break,
            (Some(found), Some(expected)) if same_line(found, expected, tolerance) => {}
            _ => return Some(line),
        }
    }
    None
}

fn same_line(found: &str, expected: &str, tolerance: Tolerance) -> bool {
    let (mut found, mut expected) = (found.split_whitespace(), expected.split_whitespace());
    loop {
        match (found.next(), expected.next()) {
            (None, None) => return true,
            (Some(found), Some(expected)) if found == expected || close(found, expected, tolerance) => {}
            _ => return false,
        }
    }
}

fn close(found: &str, expected: &str, tolerance: Tolerance) -> bool {
    let (Ok(found), Ok(expected)) = (found.parse::<f64>(), expected.parse::<f64>()) else { return false };
    let apart = (found - expected).abs();
    apart <= tolerance.absolute || apart <= tolerance.relative * expected.abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_written_is_the_plan_read() {
        let commands = ["mcf_r inp.in > inp.out", "bwaves_r bwaves_1 < bwaves_1.in"];
        let plan = Plan {
            dynamic: true,
            commands: commands.map(|text| text.parse().expect("a command")).to_vec(),
            tolerance: Tolerance { absolute: 1e-9, relative: 0.001 },
        };
        assert_eq!(plan.commands[0].stdout.as_deref(), Some("inp.out"));
        let text = toml::to_string(&plan).expect("TOML");
        assert!(text.contains("\"mcf_r inp.in > inp.out\""), "{text}");
        assert_eq!(toml::from_str::<Plan>(&text).expect("the same"), plan);
    }

    #[test]
    fn a_command_that_needs_a_shell_is_refused() {
        for text in ["a 'b c'", "a $HOME", "a; b", "a | b", "", "a <"] {
            assert!(text.parse::<Command>().is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_may_be_off_by_the_tolerance_and_words_may_not() {
        let tolerance = Tolerance { absolute: 0.0, relative: 0.01 };
        let difference = |found: &str| first_difference(found.as_bytes(), b"energy  1.000\nend\n", tolerance);
        assert_eq!(difference("energy 1.009\nend\n"), None);
        assert_eq!(difference("energy 1.02\nend\n"), Some(1));
        assert_eq!(difference("energy 1.0\nEnd\n"), Some(2));
        assert_eq!(difference("energy 1.0\n"), Some(2));
        assert_eq!(difference("energy 1.0\nend\nmore\n"), Some(3));
        assert_eq!(first_difference(b"1.0001", b"1", Tolerance::EXACT), Some(1));
    }
}
