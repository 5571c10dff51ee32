//! The QEMU program: found, and of a version that one of our plugins fits.

use std::process::Command;

use super::QemuError;

const NAME: &str = "qemu-system-x86_64";
const REMEDY: &str = "install QEMU 7.2 (Debian 12: apt install qemu-system-x86) or 10.0 (phasecast qemu install), or name \
                      one in PHASECAST_QEMU";

/// The version of QEMU's plugin interface. QEMU loads a plugin only if it was built for a version that it knows; 7.2
/// knows 0 and 1, 10.0 knows 2 to 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PluginInterface {
    /// Of QEMU 7.x.
    V1,
    /// Of QEMU 10.x: tells registers as well.
    V4,
}

impl PluginInterface {
    /// All that there are plugins for.
    pub const ALL: [Self; 2] = [Self::V1, Self::V4];

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::V1 => 1,
            Self::V4 => 4,
        }
    }

    const fn of_major(major: u32) -> Option<Self> {
        match major {
            7 => Some(Self::V1),
            10 => Some(Self::V4),
            _ => None,
        }
    }
}

/// A usable QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: String,
    version: String,
    interface: PluginInterface,
}

impl Program {
    /// The system's QEMU: `qemu-system-x86_64` on the search path; fails as [`Program::at`].
    pub fn of_system() -> Result<Self, QemuError> {
        Self::at(NAME)
    }

    /// The QEMU at `path`, or of that name on the search path. Fails if it is missing or its plugin interface is one that
    /// there is no plugin for.
    pub fn at(path: impl Into<String>) -> Result<Self, QemuError> {
        let path = path.into();
        let refuse = |problem: String| QemuError::Program { program: path.clone(), problem, remedy: REMEDY.to_owned() };
        let output = Command::new(&path).arg("--version").output().map_err(|error| refuse(error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let first = text.lines().next().unwrap_or_default();
        let version =
            version_in(first).ok_or_else(|| refuse(format!("it calls itself {first:?}, which is no QEMU")))?;
        let interface = major(version).and_then(PluginInterface::of_major).ok_or_else(|| {
            refuse(format!("it is version {version}, and there are plugins for the interfaces of 7.x and 10.x"))
        })?;
        let version = version.to_owned();
        Ok(Self { path, version, interface })
    }

    /// What to execute.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The version as QEMU says it, with the distribution's suffix: `7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Which plugin it can load.
    #[must_use]
    pub const fn interface(&self) -> PluginInterface {
        self.interface
    }
}

fn version_in(first_line: &str) -> Option<&str> {
    first_line.strip_prefix("QEMU emulator version ").map(str::trim)
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_with_the_distributions_suffix() {
        let version = version_in("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)").expect("a version");
        assert_eq!(version, "7.2.22 (Debian 1:7.2+dfsg-7)");
        assert_eq!(major(version), Some(7));
    }

    #[test]
    fn the_major_version_decides_which_plugin_fits() {
        assert_eq!(PluginInterface::of_major(7), Some(PluginInterface::V1));
        assert_eq!(PluginInterface::of_major(10), Some(PluginInterface::V4));
        assert_eq!(PluginInterface::of_major(8), None);
    }

    #[test]
    fn a_missing_qemu_is_an_error_that_names_the_package() {
        let error = Program::at("/nonexistent/qemu").expect_err("not there");
        let text = error.to_string();
        assert!(text.contains("/nonexistent/qemu") && text.contains("apt install qemu-system-x86"), "{text}");
    }

    #[test]
    fn a_program_that_is_no_qemu_is_refused_with_what_it_calls_itself() {
        let error = Program::at("/bin/echo").expect_err("not QEMU");
        assert!(error.to_string().contains("which is no QEMU"), "{error}");
    }
}
