//! `phasecast survey sweep` and `phasecast survey placements`: surveys of the simulated host, on any machine.

use std::path::{Path, PathBuf};

use predictor::policy::Settings;
use predictor::topology::{CpuId, LlcDomain};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Common;
use crate::host::simulated::hardware::Hardware;
use crate::host::simulated::script::PhaseKind;
use crate::input::{InputError, parse_toml, read_text};
use crate::interrupt::Interrupt;
use crate::profiles::Profiles;
use crate::survey::{placements, sweep};
use crate::sysfs;

/// On what, and with which kinds of phases.
#[derive(Debug, clap::Args)]
struct Simulated {
    /// Simulate the machine whose / this folder stands for: it holds sys/devices/system; in place of --machine
    #[arg(long, value_name = "DIR", conflicts_with = "machine")]
    root: Option<PathBuf>,
    /// So many neighbouring CPUs of an LLC domain are hardware threads of one core [default: as --root says, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8))]
    threads_per_core: Option<u32>,
    /// How those who share an LLC slow each other down: the analytic model of caches and memory, or the additive estimate that
    /// policies' models have
    #[arg(long, value_enum, default_value_t = Truth::Analytic)]
    contention: Truth,
    /// Kinds of phases from a table of programs alone, as `phasecast contention` reads [default: drawn by the seed]
    #[arg(long, value_name = "CSV")]
    profiles: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// What is true on the simulated host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Truth {
    /// Shared cache and memory queue.
    Analytic,
    /// Sensitivity times intensity.
    Additive,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast survey sweep
      all four, 40 mixes at each value: a few minutes
  phasecast survey sweep --over phase-length --mixes 10
  phasecast survey sweep --root dump --profiles cache_profiles.csv
      on the machine of which dump/sys/devices/system is a copy, with somebody's programs")]
pub(super) struct SweepArgs {
    /// What is varied; may be given several times [default: each]
    #[arg(long, value_enum)]
    over: Vec<sweep::Over>,
    /// Mixes at each value
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    mixes: u64,
    /// Length of each run in quanta
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    quanta: u64,
    /// When a move is worth it: a TOML file with the keys of an experiment's [policy] table [default: the defaults of all]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    simulated: Simulated,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast survey placements
      ten pairs on two sockets of two LLC domains, two hardware threads a core
  phasecast survey placements --root dump
      on the machine of which dump/sys/devices/system is a copy")]
pub(super) struct PlacementsArgs {
    /// Length of each run in quanta
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    quanta: u64,
    #[command(flatten)]
    simulated: Simulated,
}

/// Runs `survey sweep`.
pub(super) fn run_sweep(args: &SweepArgs, interrupt: &Interrupt) -> anyhow::Result<()> {
    let mut over = if args.over.is_empty() { sweep::Over::ALL.to_vec() } else { args.over.clone() };
    over.sort_unstable();
    over.dedup();
    let Found { name, mut text, hardware, kinds } = args.simulated.find()?;
    let settings = args.policy.as_deref().map_or(Ok(Settings::default()), |file| {
        let written = read_text(file)?;
        for line in written.lines() {
            text += &format!("\n# policies: {line}");
        }
        settings(file, &written)
    })?;
    let common = &args.simulated.common;
    let request = sweep::Request {
        settings,
        over,
        machine: name,
        machine_text: text,
        hardware,
        quantum_cycles: common.quantum_cycles,
        quanta: args.quanta,
        mixes: args.mixes,
        seed: common.seed,
        kinds,
    };
    common.place.take(interrupt, |around| sweep::run(&request, around))
}

/// Runs `survey placements`.
pub(super) fn run_placements(args: &PlacementsArgs, interrupt: &Interrupt) -> anyhow::Result<()> {
    let Found { name, text, hardware, kinds } = args.simulated.find()?;
    let common = &args.simulated.common;
    let request = placements::Request {
        machine: name,
        machine_text: text,
        hardware,
        quantum_cycles: common.quantum_cycles,
        quanta: args.quanta,
        seed: common.seed,
        kinds,
    };
    common.place.take(interrupt, |around| placements::run(&request, around))
}

fn settings(file: &Path, text: &str) -> Result<Settings, InputError> {
    let settings: Settings = parse_toml(file, text)?;
    settings.check().map_err(|wrong| {
        InputError::new(format!("{} is out of range", wrong.value), format!("give {}", wrong.range))
            .at(wrong.key)
            .in_file(file)
    })?;
    Ok(settings)
}

struct Found {
    name: String,
    /// Everything that says what is simulated, for the plan.
    text: String,
    hardware: Hardware,
    kinds: Vec<PhaseKind>,
}

impl Simulated {
    fn find(&self) -> Result<Found, InputError> {
        let (name, mut text, mut hardware) = match &self.root {
            Some(root) => of_root(root)?,
            None => {
                let machine = self.common.machine()?;
                (machine.name().to_owned(), machine.text().to_owned(), Hardware::of_machine(&machine))
            }
        };
        if let Some(threads) = self.threads_per_core {
            hardware = hardware.with_threads_per_core(threads as usize);
            text += &format!("\n# simulated with {threads} hardware threads on each core\n");
        }
        if self.contention == Truth::Additive {
            hardware = hardware.with_additive_contention();
        }
        text += &format!("\n# simulated with the {} rule of contention\n", hardware.contention.rule.name());
        let kinds = match &self.profiles {
            None => Vec::new(),
            Some(file) => {
                let digest: String =
                    Sha256::digest(read_text(file)?).iter().map(|byte| format!("{byte:02x}")).collect();
                text += &format!("\n# phases of a table with SHA-256 {digest}\n");
                of_table(file)?
            }
        };
        Ok(Found { name, text, hardware, kinds })
    }
}

fn of_table(file: &Path) -> Result<Vec<PhaseKind>, InputError> {
    let kinds = PhaseKind::of_table(&Profiles::read(file)?);
    if kinds.len() < 4 {
        let problem =
            "fewer than 4 programs with llc_references_per_kilo_instruction and llc_misses_per_kilo_instruction";
        return Err(InputError::new(problem, "give a table that has these columns").in_file(file));
    }
    Ok(kinds)
}

/// The machine that a sysfs tells of, as far as it goes.
fn of_root(root: &Path) -> Result<(String, String, Hardware), InputError> {
    #[derive(Serialize)]
    struct Described<'a> {
        core: Vec<&'a [CpuId]>,
        domain: &'a [LlcDomain],
    }
    let found = sysfs::read(&root.join("sys"))?;
    let unusable = |problem: String| InputError::new(problem, "see `phasecast topology` on it").in_file(root);
    let hardware = Hardware::of_sysfs(&found).map_err(|error| unusable(error.to_string()))?;
    let described =
        Described { core: hardware.cores.iter().map(Vec::as_slice).collect(), domain: hardware.topology.domains() };
    let text = toml::to_string(&described).map_err(|error| unusable(error.to_string()))?;
    let name = root.file_name().map_or("this machine".to_owned(), |name| name.to_string_lossy().into_owned());
    Ok((name, text, hardware))
}
