//! The programs a run calls: QEMU with a plugin interface that we have a plugin for, and the tools that build the guest
//! image.

use super::{Check, State};
use crate::emulators::{Emulator, Origin};

/// The name of the check of QEMU.
pub const QEMU: &str = "QEMU";

/// The name of the check of the tools that build the guest image.
pub const IMAGE_TOOLS: &str = "image tools";

/// Each program that `phasecast image build` calls, with the Debian package it comes from.
const TOOLS: [(&str, &str); 3] = [("apt-get", "apt"), ("dpkg", "dpkg"), ("mke2fs", "e2fsprogs")];

/// Looks for the image tools in PATH, and at the QEMUs that were found.
#[must_use]
pub fn checks(emulators: &[Emulator]) -> Vec<Check> {
    vec![qemu(emulators), image_tools(is_there)]
}

/// One line for all: the first is the one that is used where none is named.
fn qemu(emulators: &[Emulator]) -> Check {
    let usable = |emulator: &&Emulator| emulator.problem.is_none();
    let found: Vec<String> = emulators.iter().map(described).collect();
    let found = if found.is_empty() { "none".to_owned() } else { found.join("; ") };
    let meaning = "the emulated host runs its guests in QEMU 7.2 or 10.0, each with its own plugin; only that of 10.0 can tell in which \
                   address space a vCPU is";
    let install = "apt-get install --no-install-recommends qemu-system-x86 (Debian 12), or `phasecast qemu install`";
    if emulators.first().as_ref().is_some_and(usable) {
        return Check::new(QEMU, State::Ok, found, meaning);
    }
    match emulators.iter().find(usable) {
        Some(other) => Check::new(QEMU, State::Limited, found, meaning)
            .remedy(format!("use the other one with --qemu {0} or PHASECAST_QEMU={0}", other.name)),
        None => Check::new(QEMU, State::Missing, found, meaning).remedy(install),
    }
}

fn described(emulator: &Emulator) -> String {
    let origin = match emulator.origin {
        Origin::Path => "in PATH",
        Origin::Variable => "PHASECAST_QEMU",
        Origin::Installed => "installed",
    };
    match (&emulator.version, &emulator.problem) {
        (Some(version), None) => format!("{version} ({origin})"),
        (_, Some(problem)) => format!("{} ({origin}): {problem}", emulator.name),
        (None, None) => format!("{} ({origin})", emulator.name),
    }
}

fn image_tools(is_there: impl Fn(&str) -> bool) -> Check {
    let missing: Vec<_> = TOOLS.iter().filter(|(program, _)| !is_there(program)).collect();
    let meaning = "`phasecast image build` fetches Debian packages and packs them into a file system, without root";
    if missing.is_empty() {
        return Check::new(IMAGE_TOOLS, State::Ok, TOOLS.map(|(program, _)| program).join(", "), meaning);
    }
    let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    Check::new(IMAGE_TOOLS, State::Missing, format!("not in PATH: {}", programs.join(", ")), meaning).remedy(format!(
        "on Debian: apt-get install {}; elsewhere build the image on a Debian machine",
        packages.join(" ")
    ))
}

/// Whether `program` stands in PATH or in the system's sbin folders, which a user's PATH often lacks.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into(), "/usr/local/sbin".into()])
        .any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emulator(name: &str, problem: Option<&str>) -> Emulator {
        let version = problem.is_none().then(|| format!("{name}.2"));
        let problem = problem.map(str::to_owned);
        Emulator { name: name.to_owned(), origin: Origin::Installed, version, plugin: None, problem }
    }

    #[test]
    fn the_qemu_that_is_used_by_default_decides_and_all_are_named() {
        let check = qemu(&[emulator("7.2", None), emulator("10.0", Some("its libraries are missing"))]);
        assert_eq!(check.state, State::Ok);
        assert_eq!(check.found, "7.2.2 (installed); 10.0 (installed): its libraries are missing");
    }

    #[test]
    fn where_only_another_qemu_fits_its_choice_is_the_remedy() {
        let check = qemu(&[emulator("qemu", Some("it is version 8.2")), emulator("10.0", None)]);
        assert_eq!(check.state, State::Limited);
        assert!(check.remedy.is_some_and(|remedy| remedy.contains("--qemu 10.0")));
        assert_eq!(qemu(&[emulator("qemu", Some("it is version 8.2"))]).state, State::Missing);
        assert_eq!(qemu(&[]).state, State::Missing);
    }

    #[test]
    fn missing_tools_are_named_with_their_packages() {
        let check = image_tools(|program| program == "dpkg");
        assert_eq!(check.found, "not in PATH: apt-get, mke2fs");
        assert!(check.remedy.is_some_and(|remedy| remedy.contains("apt e2fsprogs")));
        assert_eq!(image_tools(|_| true).state, State::Ok);
    }
}
