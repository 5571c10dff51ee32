//! The QEMU program: found, and of a version that fits the plugin.

use std::process::Command;

use super::QemuError;

/// QEMU 7.x has version 1 of the plugin interface, which is what our plugin is built for.
const PLUGIN_MAJOR: u32 = 7;
const NAME: &str = "qemu-system-x86_64";
const REMEDY: &str = "install QEMU 7.x (Debian 12: apt install qemu-system-x86) or name it in PHASECAST_QEMU";

/// A usable QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: String,
    version: String,
}

impl Program {
    /// Finds QEMU: `$PHASECAST_QEMU`, else `qemu-system-x86_64` on the search path. Fails if it is missing or its plugin
    /// interface is another than our plugin's.
    pub fn find() -> Result<Self, QemuError> {
        Self::at(std::env::var("PHASECAST_QEMU").unwrap_or_else(|_| NAME.to_owned()))
    }

    fn at(path: String) -> Result<Self, QemuError> {
        let refuse = |problem: String| QemuError::Program { program: path.clone(), problem, remedy: REMEDY.to_owned() };
        let output = Command::new(&path).arg("--version").output().map_err(|error| refuse(error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let first = text.lines().next().unwrap_or_default();
        let version =
            version_in(first).ok_or_else(|| refuse(format!("it calls itself {first:?}, which is no QEMU")))?;
        if major(version) != Some(PLUGIN_MAJOR) {
            return Err(refuse(format!("it is version {version}, whose plugin interface is not that of 7.x")));
        }
        let version = version.to_owned();
        Ok(Self { path, version })
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
    fn a_missing_qemu_is_an_error_that_names_the_package() {
        let error = Program::at("/nonexistent/qemu".to_owned()).expect_err("not there");
        let text = error.to_string();
        assert!(text.contains("/nonexistent/qemu") && text.contains("apt install qemu-system-x86"), "{text}");
    }

    #[test]
    fn a_program_that_is_no_qemu_is_refused_with_what_it_calls_itself() {
        let error = Program::at("/bin/echo".to_owned()).expect_err("not QEMU");
        assert!(error.to_string().contains("which is no QEMU"), "{error}");
    }
}
