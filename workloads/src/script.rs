//! Scripts of kernels with marked phases: the programs whose phases are known.
//!
//! A script is written `chase:768KiB:60M blackscholes:64KiB:80M`: steps of `kernel:working set:instructions`, done in
//! order and repeated. Each distinct pair of kernel and working set is one phase, numbered by first appearance; its
//! buffer is built once, before the first mark, and kept, so that a change of phase costs no page faults.
//! Instructions are converted to whole operations of the kernel by its counted cost ([`Kind::operations_for`]).

use std::str::FromStr;

use crate::hash::Fnv1a;
use crate::kernels::{Kernel, Kind};
use crate::marks;

/// One step of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What runs.
    pub kind: Kind,
    /// On how much memory.
    pub working_set_bytes: usize,
    /// For about how long.
    pub instructions: u64,
}

/// The steps of one round; at least one, at most 64 distinct phases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    steps: Vec<Step>,
}

/// A script that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{step}\": {problem}; a step is kernel:working set:instructions, as chase:768KiB:60M")]
pub struct ScriptError {
    /// The step it stands in, as written.
    pub step: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Script {
    /// The script of these steps.
    pub fn new(steps: Vec<Step>) -> Result<Self, ScriptError> {
        let script = Self { steps };
        let problem = if script.steps.is_empty() {
            "there is no step".to_owned()
        } else if script.phases().len() > marks::PHASES as usize {
            format!("more than {} distinct phases", marks::PHASES)
        } else {
            return Ok(script);
        };
        Err(ScriptError { step: String::new(), problem })
    }

    /// The steps of one round.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Kernel and working set of each phase, in the order of the phases' numbers.
    #[must_use]
    pub fn phases(&self) -> Vec<(Kind, usize)> {
        let mut phases = Vec::new();
        for step in &self.steps {
            let phase = (step.kind, step.working_set_bytes);
            if !phases.contains(&phase) {
                phases.push(phase);
            }
        }
        phases
    }

    /// Builds all buffers, runs `rounds` rounds with marks, and answers the checksum of all kernels.
    #[must_use]
    pub fn run(&self, rounds: u64, seed: u64) -> u64 {
        let phases = self.phases();
        let mut kernels: Vec<Box<dyn Kernel>> = phases.iter().map(|&(kind, bytes)| kind.build(bytes, seed)).collect();
        let plan: Vec<(usize, u64)> = self
            .steps
            .iter()
            .map(|step| {
                let phase = phases.iter().position(|&phase| phase == (step.kind, step.working_set_bytes));
                (phase.expect("every step has a phase"), step.kind.operations_for(step.instructions))
            })
            .collect();
        for _ in 0..rounds {
            for &(phase, operations) in &plan {
                marks::begin_phase(phase as u32);
                kernels[phase].run(operations);
            }
        }
        marks::end_of_truth();
        let mut hash = Fnv1a::default();
        for kernel in &kernels {
            hash.update_u64(kernel.checksum());
        }
        hash.digest()
    }
}

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Script::new(text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
    }
}

impl FromStr for Step {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let failed = |problem: String| ScriptError { step: text.to_owned(), problem };
        let [kind, size, instructions] = text.split(':').collect::<Vec<_>>()[..] else {
            return Err(failed("not three parts".to_owned()));
        };
        let kind: Kind = kind.parse().map_err(failed)?;
        let working_set_bytes = parse_bytes(size).map_err(failed)?;
        if working_set_bytes < kind.least_bytes() {
            return Err(failed(format!("a working set below {} bytes", kind.least_bytes())));
        }
        let instructions = parse_count(instructions).map_err(failed)?;
        Ok(Step { kind, working_set_bytes, instructions })
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}B:{}", self.kind, self.working_set_bytes, self.instructions)
    }
}

/// Bytes, as `4096B`, `768KiB`, `8MiB`; the unit is required.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    let scaled = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)]
        .into_iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    let (digits, factor) = scaled.ok_or_else(|| format!("size \"{text}\" has no unit (B, KiB, MiB or GiB)"))?;
    let number: usize = digits.parse().map_err(|_| format!("size \"{text}\" is no number with a unit"))?;
    number.checked_mul(factor).ok_or_else(|| format!("size \"{text}\" is too large"))
}

/// A count, as `500`, `200k`, `60M`, `2G` (powers of ten).
pub fn parse_count(text: &str) -> Result<u64, String> {
    let (digits, factor) = [("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)]
        .into_iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
        .unwrap_or((text, 1));
    let number: u64 = digits.parse().map_err(|_| format!("\"{text}\" is no count, as 60M"))?;
    number.checked_mul(factor).filter(|&count| count > 0).ok_or_else(|| format!("count \"{text}\" is out of range"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_phase_is_a_kernel_with_its_working_set_and_keeps_its_number() {
        let script: Script = "chase:64KiB:1M stream:1MiB:2M chase:64KiB:3M chase:32KiB:1k".parse().expect("a script");
        assert_eq!(script.steps().len(), 4);
        let phases = [(Kind::Chase, 64 << 10), (Kind::Stream, 1 << 20), (Kind::Chase, 32 << 10)];
        assert_eq!(script.phases(), phases);
    }

    #[test]
    fn a_script_computes_the_same_in_rounds_as_written_out() {
        let round: Script = "chase:16KiB:40k blackscholes:8KiB:60k".parse().expect("a script");
        let written_out: Script =
            "chase:16KiB:40k blackscholes:8KiB:60k chase:16KiB:40k blackscholes:8KiB:60k".parse().expect("a script");
        assert_eq!(round.run(2, 1), written_out.run(1, 1));
        assert_ne!(round.run(2, 1), round.run(2, 2));
    }

    #[test]
    fn a_wrong_step_is_named_with_the_remedy() {
        let message = |text: &str| text.parse::<Script>().expect_err("not a script").to_string();
        assert!(message("chase:64KiB:1M chess:1MiB:1M").starts_with("\"chess:1MiB:1M\": no kernel called \"chess\""));
        assert!(message("chase:64:1M").contains("no unit"));
        assert!(message("chase:1KiB:1M").contains("below 4096 bytes"));
        assert!(message("chase:64KiB:0").contains("out of range"));
        assert!(message("").contains("there is no step"));
    }

    proptest! {
        #[test]
        fn a_step_written_is_the_step_read(
            kind in prop::sample::select(&Kind::ALL[..]), bytes in 4096_usize..1 << 40, instructions in 1_u64..1 << 50,
        ) {
            let step = Step { kind, working_set_bytes: bytes, instructions };
            prop_assert_eq!(step.to_string().parse::<Step>(), Ok(step));
        }
    }
}
