//! One guest's QEMU process, from start to end.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use qapi::qmp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::child::Child;
use super::control::Control;
use super::description::Wiring;
use super::port::Port;
use super::{Description, Plugin, Program, QemuError, RunFolder, Uncounted, console};
use crate::interrupt::Interrupt;

/// A command that QEMU answers without work.
const PROMPT: Duration = Duration::from_secs(20);
/// Writing or reading a guest's memory.
const STATE_TRANSFER: Duration = Duration::from_secs(120);
/// The kernel reports process times in hundredths of a second (USER_HZ), whatever its own tick.
const NANOSECONDS_PER_TICK: u64 = 10_000_000;
/// How often a wait asks whether somebody wants to stop.
const SLICE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// What one start adds to a guest's description.
#[derive(Debug, Default)]
pub struct Start<'a> {
    /// The plugin to load.
    pub plugin: Option<Plugin<'a>>,
    /// A plugin that counts nothing, to be loaded in its place: for measurements.
    pub uncounted: Option<Uncounted<'a>>,
    /// A saved state to go on from, instead of booting. The guest is then paused until [`Qemu::resume`].
    pub state: Option<SavedState>,
}

/// A guest's memory and devices, and what it had written to its console until then.
#[derive(Debug)]
pub struct SavedState {
    /// Memory and devices, as QEMU wrote them.
    pub file: File,
    /// The console log, which the restored guest continues.
    pub console: PathBuf,
}

/// A running guest. Dropping it ends the process.
#[derive(Debug)]
pub struct Qemu {
    name: String,
    child: Child,
    control: Control,
    port: Port,
    lines: std::collections::VecDeque<String>,
    console: PathBuf,
    messages: PathBuf,
}

impl Qemu {
    /// Starts a guest; its console log goes to `folder`.
    pub fn start(
        program: &Program,
        description: &Description,
        start: Start<'_>,
        folder: &RunFolder,
    ) -> Result<Self, QemuError> {
        let name = description.name.clone();
        let fail = |error| QemuError::system(format!("start guest \"{name}\" with {}", program.path()))(error);
        let console = folder.path().join(format!("{}.log", file_name(&name)));
        let messages = folder.path().join(format!("{}.qemu.log", file_name(&name)));
        let (control, their_control) = UnixStream::pair().map_err(fail)?;
        let (port, their_port) = UnixStream::pair().map_err(fail)?;
        let mut inherited: Vec<OwnedFd> = vec![their_control.into(), their_port.into()];
        let mut inherit = |descriptor: OwnedFd| {
            let number = descriptor.as_raw_fd();
            inherited.push(descriptor);
            number
        };
        let plugin = match start.plugin {
            Some(plugin) => Some((plugin, inherit(plugin.segment.try_clone_to_owned().map_err(fail)?))),
            None => None,
        };
        let stream = match start.plugin.and_then(|plugin| plugin.stream) {
            Some(stream) => Some(inherit(stream.try_clone_to_owned().map_err(fail)?)),
            None => None,
        };
        match &start.state {
            Some(state) => std::fs::copy(&state.console, &console).map(drop).map_err(fail)?,
            None => File::create(&console).map(drop).map_err(fail)?,
        }
        let uncounted = start.uncounted;
        let incoming = start.state.map(|state| inherit(state.file.into()));
        let [control_number, port_number] = [inherited[0].as_raw_fd(), inherited[1].as_raw_fd()];
        let wiring = Wiring {
            control: control_number,
            port: port_number,
            console: &console,
            plugin,
            stream,
            uncounted,
            incoming,
        };
        let mut command = Command::new(program.path());
        command.args(description.arguments(&wiring)).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&messages).map_err(fail)?);
        let mut child = Child::start(command, inherited).map_err(fail)?;
        let control =
            Control::open(control, PROMPT).map_err(|error| start_failure(&name, &mut child, &messages, &error))?;
        let port = Port::new(port).map_err(fail)?;
        Ok(Self { name, child, control, port, lines: std::collections::VecDeque::new(), console, messages })
    }

    /// The guest's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process's id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Readable once the process has ended.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd()
    }

    /// How the process ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.ended()
    }

    /// The file with everything that the guest wrote to its console.
    #[must_use]
    pub fn console(&self) -> &Path {
        &self.console
    }

    /// The next line that has already arrived on the port, if any. Never waits.
    pub fn next_line(&mut self) -> Result<Option<String>, QemuError> {
        let arrived = self.port.lines();
        let arrived = arrived.map_err(|error| self.failure("read the port of", error.to_string()))?;
        self.lines.extend(arrived);
        Ok(self.lines.pop_front())
    }

    /// Waits for the guest's next line. `action` finishes "failed to ... guest" if the guest ends or `within` has passed.
    pub fn wait_line(&mut self, action: &str, within: Duration, interrupt: &Interrupt) -> Result<String, QemuError> {
        let deadline = Instant::now() + within;
        loop {
            // Asked before reading: what it wrote before it ended is read below all the same.
            let ended = self.ended();
            if let Some(line) = self.next_line()? {
                return Ok(line);
            }
            if let Some(status) = ended {
                return Err(self.failure(action, end_of(status)));
            }
            if Instant::now() > deadline {
                let reason = format!("it sent nothing within {} s", within.as_secs());
                return Err(self.failure(action, reason));
            }
            interrupt.check()?;
            let mut sources =
                [PollFd::new(&self.port, PollFlags::IN), PollFd::from_borrowed_fd(self.child.pidfd(), PollFlags::IN)];
            match poll(&mut sources, Some(&SLICE)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(QemuError::system(format!("wait for guest \"{}\"", self.name))(error.into())),
            }
        }
    }

    /// Sends one line to the guest.
    pub fn send(&mut self, line: &str) -> Result<(), QemuError> {
        self.port.send(line).map_err(|error| self.failure(&format!("send \"{line}\" to"), error.to_string()))
    }

    /// Stops the guest's vCPU where it is.
    pub fn pause(&mut self) -> Result<(), QemuError> {
        self.control.execute(&qmp::stop {}, PROMPT).map_err(|error| self.failure("pause", error.to_string()))?;
        Ok(())
    }

    /// Lets a paused guest run.
    pub fn resume(&mut self) -> Result<(), QemuError> {
        self.control.execute(&qmp::cont {}, PROMPT).map_err(|error| self.failure("resume", error.to_string()))?;
        Ok(())
    }

    /// Writes the state of a paused guest to `file`, which appears once it is whole.
    pub fn save(&mut self, file: &Path, interrupt: &Interrupt) -> Result<(), QemuError> {
        let part = quoted(&file.with_extension("part"));
        // QEMU reports completion before its shell has written the last bytes: the file's name tells.
        let uri = Some(format!("exec:cat > {part} && mv {part} {}", quoted(file)));
        let order = qmp::migrate { uri, channels: None, detach: None, resume: None };
        self.control.execute(&order, PROMPT).map_err(|error| self.failure("save", error.to_string()))?;
        self.await_state("save", interrupt, |control| {
            let info = control.execute(&qmp::query_migrate {}, PROMPT)?;
            match info.status {
                Some(qmp::MigrationStatus::completed) => Ok(file.exists()),
                Some(qmp::MigrationStatus::failed | qmp::MigrationStatus::cancelled) => {
                    Err(io::Error::other(info.error_desc.unwrap_or_else(|| "QEMU gave up without a reason".to_owned())))
                }
                _ => Ok(false),
            }
        })
    }

    /// Waits until a guest that was started from a saved state has it all.
    pub fn wait_restored(&mut self, interrupt: &Interrupt) -> Result<(), QemuError> {
        self.await_state("restore", interrupt, |control| {
            Ok(control.execute(&qmp::query_status {}, PROMPT)?.status != qmp::RunState::inmigrate)
        })
    }

    fn await_state(
        &mut self,
        action: &str,
        interrupt: &Interrupt,
        mut reached: impl FnMut(&mut Control) -> io::Result<bool>,
    ) -> Result<(), QemuError> {
        let deadline = Instant::now() + STATE_TRANSFER;
        loop {
            match reached(&mut self.control) {
                Ok(true) => return Ok(()),
                Ok(false) if Instant::now() > deadline => {
                    let reason = format!("it was not done within {} s", STATE_TRANSFER.as_secs());
                    return Err(self.failure(action, reason));
                }
                Ok(false) => {}
                Err(error) => return Err(self.failure(action, error.to_string())),
            }
            interrupt.check()?;
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks QEMU to end in order, which gives its plugin the chance to close its files, and waits until it has.
    pub fn quit(&mut self, within: Duration) -> Result<(), QemuError> {
        // It may close the connection before it has answered.
        let asked = self.control.execute(&qmp::quit {}, PROMPT);
        let limit = Timespec::try_from(within).expect("a deadline within a lifetime");
        let mut end = [PollFd::from_borrowed_fd(self.child.pidfd(), PollFlags::IN)];
        let _ = poll(&mut end, Some(&limit));
        match (self.ended(), asked) {
            (Some(_), _) => Ok(()),
            (None, Err(error)) => Err(self.failure("end", error.to_string())),
            (None, Ok(_)) => Err(self.failure("end", format!("it did not within {} s", within.as_secs()))),
        }
    }

    /// CPU time that the process has used so far, user and system.
    pub fn cpu_time(&self) -> Result<Duration, QemuError> {
        let file = format!("/proc/{}/stat", self.pid());
        let fail = |error| QemuError::system(format!("read the CPU time of guest \"{}\"", self.name))(error);
        let text = std::fs::read_to_string(file).map_err(fail)?;
        let ticks = stat_ticks(&text).ok_or_else(|| fail(io::Error::other(format!("unexpected text {text:?}"))))?;
        Ok(Duration::from_nanos(ticks * NANOSECONDS_PER_TICK))
    }

    /// An error that names the guest and carries the last lines of its console, and QEMU's own messages if it wrote any.
    pub fn failure(&mut self, action: &str, reason: impl Into<String>) -> QemuError {
        let mut reason = reason.into();
        if let Some(status) = self.ended()
            && !reason.starts_with("its process ended")
        {
            reason = format!("{} ({reason})", end_of(status));
        }
        let said = console::last_lines(&self.messages).join("; ");
        if !said.is_empty() {
            reason = format!("{reason}; QEMU says: {said}");
        }
        let console = console::last_lines(&self.console);
        QemuError::Guest { action: action.to_owned(), guest: self.name.clone(), reason, console }
    }
}

fn start_failure(name: &str, child: &mut Child, messages: &Path, error: &io::Error) -> QemuError {
    // It closes its sockets a moment before it has ended.
    let grace = Timespec { tv_sec: 1, tv_nsec: 0 };
    let _ = poll(&mut [PollFd::from_borrowed_fd(child.pidfd(), PollFlags::IN)], Some(&grace));
    let said = console::last_lines(messages).join("; ");
    let reason = match child.ended() {
        Some(status) if said.is_empty() => end_of(status),
        Some(status) => format!("{}; QEMU says: {said}", end_of(status)),
        None => format!("QEMU does not answer: {error}"),
    };
    QemuError::Guest { action: "start".to_owned(), guest: name.to_owned(), reason, console: Vec::new() }
}

pub(crate) fn end_of(status: ExitStatus) -> String {
    format!("its process ended ({status})")
}

/// User and system time from a line of `/proc/PID/stat`, in clock ticks. The second field may hold anything, so fields are
/// counted from its closing parenthesis.
fn stat_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// A guest's name as a file's name: whatever is not plain becomes an underscore.
fn file_name(guest: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    guest.chars().map(|character| if plain(character) { character } else { '_' }).collect()
}

/// A path as one word of the shell that QEMU runs.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_spaces() {
        let stat = "4121 (qemu (alpha) x) S 1 2 3 4 5 6 7 8 9 10 70 30 0 0 20 0 1 0 100";
        assert_eq!(stat_ticks(stat), Some(100));
        assert_eq!(stat_ticks("4121 (qemu) S 1"), None);
    }

    #[test]
    fn a_path_is_one_word_to_the_shell() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }

    #[test]
    fn a_guests_name_cannot_leave_the_run_folder() {
        assert_eq!(file_name("../a b"), ".._a_b");
    }
}
