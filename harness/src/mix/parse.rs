//! From the text of a mix to a checked one: the raw shape, and every check with its remedy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use machine::spec::{Machine, SpecError};
use predictor::topology::{DomainId, Topology};
use serde::Deserialize;
use workloads::catalogue::{Catalogue, CatalogueError};

use super::{DEFAULT_MEMORY_MIB, Mix, MixGuest, topology};
use crate::input::{InputError, parse_toml, read_text, suggest};

/// Least and most memory of a guest, in MiB: Debian's kernel with the programs' files does not start with less.
const MEMORY_MIB: std::ops::RangeInclusive<u32> = 128..=65_536;

/// The longest name of a guest.
const NAME_LENGTH: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMix {
    machine: String,
    quantum_cycles: u64,
    seed: u64,
    #[serde(default)]
    guest: Vec<RawGuest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGuest {
    name: String,
    program: String,
    input: Option<String>,
    domain: Option<u32>,
    memory_mib: Option<u32>,
    vcpus: Option<u32>,
}

pub(super) fn parse(file: &Path, text: &str, catalogue: &Catalogue) -> Result<Mix, InputError> {
    let raw: RawMix = parse_toml(file, text)?;
    let (machine, machine_file) = find_machine(file, &raw.machine)?;
    check_quantum(raw.quantum_cycles, &machine)?;
    if raw.guest.is_empty() {
        return Err(InputError::new("a mix without guests", "add a [[guest]] with name and program").at("guest"));
    }
    check_names(&raw.guest)?;
    let domains = place(&raw.guest, &topology(&machine))?;
    let guests = raw.guest.into_iter().zip(domains).enumerate();
    let guests = guests
        .map(|(index, (guest, domain))| checked(guest, domain, catalogue, &format!("guest[{index}]")))
        .collect::<Result<_, _>>()?;
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let (quantum_cycles, seed) = (raw.quantum_cycles, raw.seed);
    Ok(Mix { name, file: file.to_owned(), machine, machine_file, quantum_cycles, seed, guests })
}

/// A preset by its name, or a file by its path, which is relative to the mix's folder.
pub(super) fn find_machine(mix: &Path, machine: &str) -> Result<(Machine, Option<PathBuf>), InputError> {
    if let Some(preset) = Machine::preset(machine) {
        return Ok((preset, None));
    }
    if !machine.ends_with(".toml") {
        let remedy = format!("{} or give the path of a TOML file", suggest(machine, &Machine::preset_names()));
        return Err(InputError::new(format!("no machine is called {machine:?}"), remedy).at("machine"));
    }
    let file = mix.parent().unwrap_or(Path::new("")).join(machine);
    let text = read_text(&file)
        .map_err(|mistake| mistake.at("machine").in_file(mix))
        .map_err(|mistake| InputError { problem: format!("{}: {}", file.display(), mistake.problem), ..mistake })?;
    let machine = Machine::from_toml(&text).map_err(|SpecError { key, problem, remedy }| {
        let problem = format!("{}: {key}: {problem}", file.display());
        InputError::new(problem, remedy).at("machine")
    })?;
    Ok((machine, Some(file)))
}

pub(super) fn check_quantum(quantum_cycles: u64, machine: &Machine) -> Result<(), InputError> {
    let epoch = machine.epoch_cycles();
    let wrong = |problem: String, remedy: String| Err(InputError::new(problem, remedy).at("quantum_cycles"));
    if quantum_cycles == 0 || !quantum_cycles.is_multiple_of(epoch) {
        let problem = format!("{quantum_cycles} is not a multiple of the machine's epoch of {epoch} cycles");
        let nearest = (quantum_cycles / epoch).max(1) * epoch;
        return wrong(problem, format!("give for example {nearest}"));
    }
    if quantum_cycles > 1_000_000_000_000 {
        return wrong(format!("{quantum_cycles} cycles are too long for a control period"), "give less".to_owned());
    }
    let frequency_mhz = u64::from(machine.frequency_mhz());
    if !(quantum_cycles * 1000).is_multiple_of(frequency_mhz) {
        let problem = format!("{quantum_cycles} cycles at {frequency_mhz} MHz are no whole number of nanoseconds");
        return wrong(problem, format!("give a multiple of {}", frequency_mhz * epoch));
    }
    Ok(())
}

fn check_names(guests: &[RawGuest]) -> Result<(), InputError> {
    let mut seen = BTreeSet::new();
    for (index, guest) in guests.iter().enumerate() {
        let wrong =
            |problem: String, remedy: &str| Err(InputError::new(problem, remedy).at(format!("guest[{index}].name")));
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if guest.name.is_empty() || guest.name.len() > NAME_LENGTH || !guest.name.chars().all(plain) {
            let problem = format!("{:?} cannot be a guest's name", guest.name);
            return wrong(problem, "give 1 to 32 letters, digits, '-', '_' and '.'");
        }
        if !seen.insert(&guest.name) {
            return wrong(format!("two guests are called {:?}", guest.name), "give each guest its own name");
        }
    }
    Ok(())
}

/// The domain of every guest: as written, else the first with a CPU free once those that are written have theirs.
fn place(guests: &[RawGuest], topology: &Topology) -> Result<Vec<DomainId>, InputError> {
    let cpus: usize = topology.domains().iter().map(|domain| domain.cpus.len()).sum();
    let needed: u64 = guests.iter().map(|guest| u64::from(guest.vcpus.unwrap_or(1))).sum();
    if needed > cpus as u64 {
        let problem = format!("{needed} vCPUs in all, and the machine has {cpus} CPUs");
        return Err(InputError::new(problem, "leave guests out, or choose a larger machine").at("guest"));
    }
    let mut free: BTreeMap<DomainId, u64> =
        topology.domains().iter().map(|domain| (domain.id, domain.cpus.len() as u64)).collect();
    for (index, guest) in guests.iter().enumerate() {
        if let Some(domain) = guest.domain {
            take(&mut free, DomainId(domain), guest.vcpus.unwrap_or(1).into())
                .map_err(|mistake| mistake.at(format!("guest[{index}].domain")))?;
        }
    }
    let mut domains = Vec::with_capacity(guests.len());
    for (index, guest) in guests.iter().enumerate() {
        let vcpus = guest.vcpus.unwrap_or(1).into();
        let roomy = || free.iter().find(|(_, cpus)| **cpus >= vcpus).map(|(domain, _)| *domain);
        let domain = match guest.domain {
            Some(domain) => DomainId(domain),
            None => {
                let Some(domain) = roomy() else {
                    let problem = format!("no LLC domain has {vcpus} CPUs free for {:?}", guest.name);
                    let remedy = "give domains to the other guests that leave room in one";
                    return Err(InputError::new(problem, remedy).at(format!("guest[{index}]")));
                };
                take(&mut free, domain, vcpus)?;
                domain
            }
        };
        domains.push(domain);
    }
    Ok(domains)
}

fn take(free: &mut BTreeMap<DomainId, u64>, domain: DomainId, vcpus: u64) -> Result<(), InputError> {
    let last = free.len() - 1;
    let Some(cpus) = free.get_mut(&domain) else {
        let problem = format!("the machine has no LLC domain {}", domain.0);
        return Err(InputError::new(problem, format!("give a number from 0 to {last}")));
    };
    if *cpus < vcpus {
        let problem = format!("LLC domain {} has not enough CPUs for the guests that start in it", domain.0);
        return Err(InputError::new(problem, "start one of them in another domain"));
    }
    *cpus -= vcpus;
    Ok(())
}

fn checked(raw: RawGuest, domain: DomainId, catalogue: &Catalogue, key: &str) -> Result<MixGuest, InputError> {
    let memory_mib = raw.memory_mib.unwrap_or(DEFAULT_MEMORY_MIB);
    if !MEMORY_MIB.contains(&memory_mib) {
        let remedy = format!("give {} to {}", MEMORY_MIB.start(), MEMORY_MIB.end());
        return Err(InputError::new(format!("a guest of {memory_mib} MiB"), remedy).at(format!("{key}.memory_mib")));
    }
    let vcpus = raw.vcpus.unwrap_or(1);
    if vcpus == 0 {
        return Err(InputError::new("a guest of 0 vCPUs", "give at least 1").at(format!("{key}.vcpus")));
    }
    let program = catalogue.program(&raw.program).map_err(|error| explain(error, key))?;
    let launch = program.launch(raw.input.as_deref()).map_err(|error| explain(error, key))?;
    let input = raw.input.unwrap_or_else(|| program.inputs()[0].name.clone());
    let (name, truth, family) = (raw.name, program.truth, program.family);
    Ok(MixGuest { name, program: raw.program, family, truth, input, launch, domain, memory_mib, vcpus })
}

/// An unknown name of the catalogue as a mistake at its key, with the names that there are.
fn explain(error: CatalogueError, guest: &str) -> InputError {
    match error {
        CatalogueError::UnknownProgram { name, known } => {
            let problem = format!("no program is called {name:?}");
            InputError::new(problem, format!("choose one of: {}", known.join(", "))).at(format!("{guest}.program"))
        }
        CatalogueError::UnknownInput { program, name, known } => {
            let problem = format!("{program} has no input called {name:?}");
            InputError::new(problem, format!("choose one of: {}", known.join(", "))).at(format!("{guest}.input"))
        }
        CatalogueError::Invalid { key, problem } => {
            InputError::new(format!("the catalogue is broken at {key}: {problem}"), "mend workloads/catalogue.toml")
        }
    }
}
