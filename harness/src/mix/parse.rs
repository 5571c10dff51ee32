//! From the text of a mix to a checked one: the raw shape, and every check with its remedy.

use std::collections::BTreeSet;
use std::path::Path;

use machine::spec::Machine;
use serde::Deserialize;
use workloads::catalogue::{Catalogue, CatalogueError};

use super::places::{self, Place, Wish};
use super::{DEFAULT_MEMORY_MIB, Mix, MixGuest};
use crate::input::{InputError, parse_toml};
use crate::machines;

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
    cpu: Option<u32>,
    memory_mib: Option<u32>,
    vcpus: Option<u32>,
}

impl RawGuest {
    fn wish(&self) -> Wish {
        Wish { name: self.name.clone(), vcpus: self.vcpus.unwrap_or(1), domain: self.domain, cpu: self.cpu }
    }
}

pub(super) fn parse(file: &Path, text: &str, catalogue: &Catalogue) -> Result<Mix, InputError> {
    let raw: RawMix = parse_toml(file, text)?;
    let (machine, machine_file) = machines::find(&raw.machine, file.parent().unwrap_or(Path::new("")))
        .map_err(|mistake| mistake.at("machine"))?;
    check_quantum(raw.quantum_cycles, &machine)?;
    if raw.guest.is_empty() {
        return Err(InputError::new("a mix without guests", "add a [[guest]] with name and program").at("guest"));
    }
    check_names(&raw.guest)?;
    let wishes: Vec<Wish> = raw.guest.iter().map(RawGuest::wish).collect();
    let places = places::assign(&wishes, &machine)?;
    let guests = raw.guest.into_iter().zip(places).enumerate();
    let guests = guests
        .map(|(index, (guest, place))| checked(guest, place, catalogue, &format!("guest[{index}]")))
        .collect::<Result<_, _>>()?;
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let (quantum_cycles, seed) = (raw.quantum_cycles, raw.seed);
    Ok(Mix { name, file: file.to_owned(), machine, machine_file, quantum_cycles, seed, guests })
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

fn checked(raw: RawGuest, place: Place, catalogue: &Catalogue, key: &str) -> Result<MixGuest, InputError> {
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
    let Place { domain, cpu } = place;
    Ok(MixGuest { name, program: raw.program, family, truth, input, launch, domain, cpu, memory_mib, vcpus })
}

/// An unknown name of the catalogue as a mistake at its key, with the names that there are.
fn explain(error: CatalogueError, guest: &str) -> InputError {
    match error {
        CatalogueError::UnknownProgram { name, known } => {
            let problem = format!("no program is called {name:?}");
            if let Some((suite, _)) = name.split_once('/') {
                let remedy = format!(
                    "add its suite: phasecast image add-suite {suite} --root DIR, and see what that leaves out"
                );
                return InputError::new(problem, remedy).at(format!("{guest}.program"));
            }
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
