//! The programs a run calls: QEMU with the plugin API our plugin is built for, and the tools that build the guest image.

use std::process::Command;

use super::{Check, State};

/// The name of the check of QEMU.
pub const QEMU: &str = "QEMU";

/// The name of the check of the tools that build the guest image.
pub const IMAGE_TOOLS: &str = "image tools";

/// The program that runs emulated guests.
pub const EMULATOR: &str = "qemu-system-x86_64";

/// QEMU's major version whose plugin API (version 1) the plugin is built for.
const MAJOR: u32 = 7;

/// Each program that `phasecast image build` calls, with the Debian package it comes from.
const TOOLS: [(&str, &str); 3] = [("apt-get", "apt"), ("dpkg", "dpkg"), ("mke2fs", "e2fsprogs")];

/// Looks for the programs in PATH.
#[must_use]
pub fn checks() -> Vec<Check> {
    vec![qemu(version_of(EMULATOR).as_deref()), image_tools(is_there)]
}

/// The first line that `program --version` prints; `None` where it cannot be run.
#[must_use]
pub fn version_of(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok().filter(|output| output.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

fn qemu(version_line: Option<&str>) -> Check {
    let Some(line) = version_line else {
        let meaning = "the emulated host runs its guests in QEMU";
        return Check::new(QEMU, State::Missing, format!("no {EMULATOR} in PATH"), meaning)
            .remedy("apt-get install --no-install-recommends qemu-system-x86");
    };
    let version = line.trim_start_matches("QEMU emulator version ");
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major == Some(MAJOR) {
        Check::new(QEMU, State::Ok, version, "offers plugin API version 1, which our plugin is built for")
    } else {
        let meaning = format!("our plugin is built for plugin API version 1 and was only tried on QEMU {MAJOR}.x");
        Check::new(QEMU, State::Missing, version, meaning)
            .remedy(format!("install QEMU {MAJOR}.2, as Debian 12 has it, and put it first in PATH"))
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

    #[test]
    fn only_the_version_with_our_plugin_api_will_do() {
        let seven = qemu(Some("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"));
        assert_eq!((seven.state, seven.found.as_str()), (State::Ok, "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"));
        let ten = qemu(Some("QEMU emulator version 10.0.2"));
        assert_eq!(ten.state, State::Missing);
        assert!(ten.remedy.is_some_and(|remedy| remedy.contains("7.2")));
        assert_eq!(qemu(None).state, State::Missing);
    }

    #[test]
    fn missing_tools_are_named_with_their_packages() {
        let check = image_tools(|program| program == "dpkg");
        assert_eq!(check.found, "not in PATH: apt-get, mke2fs");
        assert!(check.remedy.is_some_and(|remedy| remedy.contains("apt e2fsprogs")));
        assert_eq!(image_tools(|_| true).state, State::Ok);
    }
}
