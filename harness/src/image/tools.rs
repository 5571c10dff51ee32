//! Programs of the host: found, run, and quoted when they fail.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::ImageError;

/// A program that building an image needs, and the Debian package that has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool {
    program: &'static str,
    package: &'static str,
}

pub(super) const APT_GET: Tool = Tool { program: "apt-get", package: "apt" };
pub(super) const APT_CONFIG: Tool = Tool { program: "apt-config", package: "apt" };
pub(super) const APT_HELPER: Tool = Tool { program: "apt-helper", package: "apt" };
pub(super) const DPKG: Tool = Tool { program: "dpkg", package: "dpkg" };
pub(super) const TAR: Tool = Tool { program: "tar", package: "tar" };
pub(super) const MKE2FS: Tool = Tool { program: "mke2fs", package: "e2fsprogs" };
pub(super) const DEBUGFS: Tool = Tool { program: "debugfs", package: "e2fsprogs" };

/// Where Debian keeps tools that are in no ordinary user's PATH.
const OTHER_FOLDERS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/lib/apt"];

impl Tool {
    /// A command of this program, without input.
    pub(super) fn command(self) -> Result<Command, ImageError> {
        let mut command = Command::new(self.path()?);
        command.stdin(Stdio::null()).env("LC_ALL", "C");
        Ok(command)
    }

    fn path(self) -> Result<PathBuf, ImageError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(OTHER_FOLDERS.iter().map(PathBuf::from));
        let missing = ImageError::MissingTool { program: self.program, package: self.package };
        folders.map(|folder| folder.join(self.program)).find(|path| path.is_file()).ok_or(missing)
    }
}

/// Runs a command to its end and answers its standard output; `action` finishes "failed to ...".
pub(super) fn run(command: &mut Command, action: &str) -> Result<String, ImageError> {
    let output = command.output().map_err(|error| ImageError::step(action, error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last_lines: Vec<_> = said.lines().rev().filter(|line| !line.trim().is_empty()).take(3).collect();
    let last_lines: Vec<_> = last_lines.into_iter().rev().collect();
    Err(ImageError::step(action, format!("{}: {}", output.status, last_lines.join(" / "))))
}

/// The file's bytes; `what` says which file it is.
pub(super) fn read(path: &Path, what: &str) -> Result<Vec<u8>, ImageError> {
    std::fs::read(path).map_err(|error| ImageError::step(format!("read {what} {}", path.display()), error))
}
