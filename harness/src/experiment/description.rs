//! What an experiment is, as a person wrote it in TOML, checked once. `docs/experiments.md` explains every key.

use std::path::{Path, PathBuf};

use predictor::policy::{PolicyKind, Settings};
use predictor::train::TrainSettings;
use serde::Deserialize;
use workloads::catalogue::Catalogue;

use crate::input::{InputError, parse_toml, read_text, suggest};
use crate::mix::Mix;
use crate::testbed::BedKind;

/// Runs of a policy whose file does not say.
const DEFAULT_REPEATS: u32 = 2;

/// The fewest quanta from which phases, and the policies' choices, can be told.
const LEAST_QUANTA: u64 = 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExperiment {
    name: String,
    host: BedKind,
    mix: PathBuf,
    quanta: u64,
    policies: Vec<String>,
    repeats: Option<u32>,
    seed: Option<u64>,
    demonstration: Option<String>,
    #[serde(default)]
    training: RawTraining,
    #[serde(default)]
    policy: Settings,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawTraining {
    most_phases: Option<usize>,
}

/// An experiment that can be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// Its name, part of its results folder's.
    pub name: String,
    /// The file it was read from.
    pub file: PathBuf,
    /// Where guests run.
    pub host: BedKind,
    /// Who runs, and on what machine; its seed is the experiment's.
    pub mix: Mix,
    /// What each guest's program stresses, as the catalogue says, in the order of the guests.
    pub abouts: Vec<String>,
    /// Length of each run in quanta.
    pub quanta: u64,
    /// The policies to compare, in this order, none twice.
    pub policies: Vec<PolicyKind>,
    /// Runs under each policy that moves guests. Staying put is run once.
    pub repeats: u32,
    /// Why the mix favours one side, if it does.
    pub demonstration: Option<String>,
    /// How to train; the seed is the experiment's.
    pub training: TrainSettings,
    /// When a move is worth it, for every policy.
    pub settings: Settings,
}

/// What the command line puts in place of what the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overrides {
    /// Length of each run in quanta.
    pub quanta: Option<u64>,
    /// The seed of everything random.
    pub seed: Option<u64>,
}

impl Experiment {
    /// Reads and checks the experiment at `file`; the mix is found relative to the file's folder.
    pub fn read(file: &Path, catalogue: &Catalogue, overrides: Overrides) -> Result<Self, InputError> {
        // A mistake on the command line is not the file's.
        overrides.quanta.map_or(Ok(()), check_quanta).map_err(|mistake| mistake.at("--quanta"))?;
        let raw: RawExperiment = parse_toml(file, &read_text(file)?)?;
        let mix_file = file.parent().unwrap_or(Path::new("")).join(&raw.mix);
        // That there is no such file is a mistake in the experiment; what stands in it is one in the mix.
        let mix_text = read_text(&mix_file).map_err(|mistake| {
            let problem = format!("{}: {}", mix_file.display(), mistake.problem);
            InputError::new(problem, mistake.remedy).at("mix").in_file(file)
        })?;
        let mut mix = Mix::parse(&mix_file, &mix_text, catalogue)?;
        mix.seed = overrides.seed.or(raw.seed).unwrap_or(mix.seed);
        let abouts = mix.guests.iter().map(|guest| about(catalogue, &guest.program)).collect();
        checked(file, raw, mix, abouts, overrides).map_err(|mistake| mistake.in_file(file))
    }

    /// Whether this machine can run it now. Costs nothing: asked before anything is prepared or written.
    pub fn check_now(&self) -> Result<(), InputError> {
        self.host.check(&self.mix)
    }
}

fn about(catalogue: &Catalogue, program: &str) -> String {
    catalogue.program(program).map(|program| program.stresses.clone()).unwrap_or_default()
}

fn checked(
    file: &Path,
    raw: RawExperiment,
    mix: Mix,
    abouts: Vec<String>,
    overrides: Overrides,
) -> Result<Experiment, InputError> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    if raw.name.is_empty() || raw.name.len() > 40 || !raw.name.chars().all(plain) {
        let problem = format!("{:?} cannot be part of a folder's name", raw.name);
        return Err(InputError::new(problem, "give 1 to 40 letters, digits, '-' and '_'").at("name"));
    }
    check_quanta(raw.quanta).map_err(|mistake| mistake.at("quanta"))?;
    let repeats = raw.repeats.unwrap_or(DEFAULT_REPEATS);
    if !(1..=100).contains(&repeats) {
        return Err(InputError::new(format!("{repeats} runs of a policy"), "give 1 to 100").at("repeats"));
    }
    if let Some(index) = mix.guests.iter().position(|guest| guest.vcpus != 1) {
        let problem = format!("guest[{index}] of the mix has several vCPUs, and slowdown is told by guest");
        return Err(InputError::new(problem, "give each guest vcpus = 1").at("mix"));
    }
    let defaults = TrainSettings::default();
    let most_phases = raw.training.most_phases.unwrap_or(*defaults.phases.end());
    if !(1..=64).contains(&most_phases) {
        let problem = format!("{most_phases} phases");
        return Err(InputError::new(problem, "give 1 to 64").at("training.most_phases"));
    }
    check_settings(&raw.policy)?;
    let policies = policies(&raw.policies)?;
    if policies.iter().any(|policy| *policy != PolicyKind::StayPut) {
        // Placement gives each vCPU a CPU of its own, and could not put a mix back that has fewer.
        mix.refuse_shared_cpus("policies that move guests give each a CPU of its own").map_err(|mistake| {
            InputError::new(mistake.problem, "run stay-put alone, or change the mix").at("policies")
        })?;
    }
    Ok(Experiment {
        policies,
        name: raw.name,
        file: file.to_owned(),
        host: raw.host,
        abouts,
        quanta: overrides.quanta.unwrap_or(raw.quanta),
        repeats,
        demonstration: raw.demonstration,
        training: TrainSettings { phases: 1..=most_phases, seed: mix.seed, ..defaults },
        settings: Settings { seed: mix.seed, ..raw.policy },
        mix,
    })
}

fn check_quanta(quanta: u64) -> Result<(), InputError> {
    if quanta < LEAST_QUANTA {
        let problem = format!("{quanta} quanta are too few to see a phase");
        return Err(InputError::new(problem, format!("give at least {LEAST_QUANTA}")));
    }
    Ok(())
}

fn policies(names: &[String]) -> Result<Vec<PolicyKind>, InputError> {
    let mut policies = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let known = PolicyKind::ALL.into_iter().find(|policy| policy.name() == name);
        let policy = known.ok_or_else(|| {
            let remedy = suggest(name, &PolicyKind::ALL.map(PolicyKind::name));
            InputError::new(format!("no policy is called {name:?}"), remedy).at(format!("policies[{index}]"))
        })?;
        if policies.contains(&policy) {
            let problem = format!("{name:?} stands here twice");
            return Err(InputError::new(problem, "name it once; `repeats` says how often it is run").at("policies"));
        }
        policies.push(policy);
    }
    if policies.is_empty() {
        let remedy = format!("name some of: {}", PolicyKind::ALL.map(PolicyKind::name).join(", "));
        return Err(InputError::new("no policy to run", remedy).at("policies"));
    }
    Ok(policies)
}

fn check_settings(settings: &Settings) -> Result<(), InputError> {
    settings.check().map_err(|mistake| {
        let problem = format!("{} is out of range", mistake.value);
        InputError::new(problem, format!("give {}", mistake.range)).at(format!("policy.{}", mistake.key))
    })
}

#[cfg(test)]
mod tests {
    use machine::spec::Machine;

    use super::*;

    fn refusal(policies: &str) -> Option<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        let small = Machine::preset("small-2x2").expect("it comes with the program");
        write("sliced.toml", &small.text().replace("[core]", "[core]\ntimeslice_cycles = 2_000_000"));
        let guest = |name: &str| format!("[[guest]]\nname = \"{name}\"\nprogram = \"bzip2\"\ncpu = 0\n");
        let head = "machine = \"sliced.toml\"\nquantum_cycles = 10_000_000\nseed = 1\n";
        write("mix.toml", &format!("{head}{}{}", guest("a"), guest("b")));
        let experiment = "name = \"shared\"\nhost = \"emulated\"\nmix = \"mix.toml\"\nquanta = 20\n";
        write("experiment.toml", &format!("{experiment}policies = {policies}\n"));
        let read =
            Experiment::read(&folder.path().join("experiment.toml"), &Catalogue::builtin(), Overrides::default());
        read.err().map(|mistake| mistake.to_string())
    }

    #[test]
    fn guests_that_share_a_cpu_stay_put() {
        assert_eq!(refusal("[\"stay-put\"]"), None);
        let refusal = refusal("[\"stay-put\", \"reactive\"]").expect("it would move them");
        assert!(
            refusal.ends_with(
                "experiment.toml: policies: policies that move guests give each a CPU of its own, and \"b\" shares its CPU \
                 with another guest; run stay-put alone, or change the mix"
            ),
            "{refusal}"
        );
    }
}
