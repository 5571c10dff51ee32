//! The outer machine: how QEMU is called, and listening until it has told all.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::contents::Contents;
use super::told::Told;
use super::{LabError, Settings};
use crate::interrupt::Interrupt;
use crate::qemu::child::Child;
use crate::qemu::{Accelerator, Program, QemuError, accelerator, console, end_of};

/// Enough for the initramfs twice, while the kernel unpacks it, and for each guest.
const BASE_MEBIBYTES: u32 = 2048;
const GUEST_MEBIBYTES: u32 = 256;
/// Between two looks for lines.
const PAUSE: Duration = Duration::from_millis(100);
/// Told after its last line, the machine turns itself off within moments.
const OFF_WITHIN: Duration = Duration::from_secs(20);

/// A machine that can be started.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) accelerator: Accelerator,
    program: String,
    arguments: Vec<String>,
    pub(super) console: PathBuf,
    pub(super) results: PathBuf,
    messages: PathBuf,
}

impl Machine {
    /// The machine that boots `contents`; its consoles are written to `folder`.
    pub(super) fn describe(program: &Program, contents: &Contents, settings: &Settings, folder: &Path) -> Self {
        let accelerator = settings.accelerator.unwrap_or_else(|| accelerator_here(&contents.kernel));
        let (console, results) = (folder.join("console"), folder.join("told"));
        let mut arguments = Vec::new();
        let mut add = |option: &str, value: &str| arguments.extend([option.to_owned(), value.to_owned()]);
        let (name, processor) = match accelerator {
            Accelerator::Kvm => ("kvm", "host"),
            Accelerator::Tcg => ("tcg,thread=multi", "max,+svm"),
        };
        add("-machine", "q35");
        add("-accel", name);
        add("-cpu", processor);
        let cpus = settings.guests;
        add("-smp", &format!("{cpus},sockets=2,cores={},threads=1", cpus / 2));
        add("-m", &format!("{}M", BASE_MEBIBYTES + GUEST_MEBIBYTES * settings.guests));
        add("-display", "none");
        for chardev in [&console, &results] {
            add("-serial", &format!("file:{}", chardev.display()));
        }
        add("-kernel", &contents.kernel.display().to_string());
        add("-initrd", &contents.initramfs.display().to_string());
        add("-append", &format!("console=ttyS0 panic=-1 no_timer_check -- scenario {}", settings.guests));
        arguments.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned));
        let (program, messages) = (program.path().to_owned(), folder.join("messages"));
        Self { accelerator, program, arguments, console, results, messages }
    }

    pub(super) const fn accelerator_name(&self) -> &'static str {
        match self.accelerator {
            Accelerator::Kvm => "KVM",
            Accelerator::Tcg => "TCG",
        }
    }

    /// The call as a shell script, for a machine whose files lie beside it.
    pub(super) fn script(&self) -> String {
        let mut words = vec![self.program.clone()];
        let mut before = "";
        for argument in &self.arguments {
            let word = match (before, argument.strip_prefix("file:")) {
                ("-kernel", _) => "vmlinuz".to_owned(),
                ("-initrd", _) => "initramfs.cpio".to_owned(),
                (_, Some(file)) => format!("file:{}", file.rsplit('/').next().unwrap_or(file)),
                _ => argument.clone(),
            };
            before = argument;
            words.push(if word.contains(' ') { format!("'{word}'") } else { word });
        }
        format!("#!/bin/sh\ncd \"$(dirname \"$0\")\" && exec {}\n", words.join(" "))
    }

    /// Starts it, hands on each line, and answers once it has told all and is off.
    pub(super) fn run(
        &self,
        limit: Duration,
        interrupt: &Interrupt,
        listen: &mut dyn FnMut(Told),
    ) -> Result<(), LabError> {
        let failed = |error| QemuError::system(format!("start {}", self.program))(error);
        for file in [&self.console, &self.results] {
            File::create(file).map_err(failed)?;
        }
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&self.messages).map_err(failed)?);
        let mut lines = Lines::open(&self.results).map_err(LabError::file("read", &self.results))?;
        let mut child = Child::start(command, Vec::new()).map_err(failed)?;
        let mut deadline = Instant::now() + limit;
        let mut has_told_all = false;
        loop {
            // Asked before reading: what was told before it ended is read below all the same.
            let ended = child.ended();
            for told in lines.arrived().map_err(|reason| self.silent(reason))? {
                if told == (Told::End {}) {
                    has_told_all = true;
                    deadline = Instant::now() + OFF_WITHIN;
                }
                listen(told);
            }
            match ended {
                Some(_) if has_told_all => return Ok(()),
                Some(status) => return Err(self.silent(end_of(status))),
                None if Instant::now() > deadline && has_told_all => return Ok(()),
                None if Instant::now() > deadline => {
                    return Err(self.silent(format!("it was not done within {} s", limit.as_secs())));
                }
                None => {}
            }
            interrupt.check()?;
            std::thread::sleep(PAUSE);
        }
    }

    fn silent(&self, reason: impl Into<String>) -> LabError {
        let said = console::last_lines(&self.messages).join("; ");
        let said = if said.is_empty() { said } else { format!("; QEMU says: {said}") };
        LabError::Silent { reason: reason.into() + &said, console: console::last_lines(&self.console) }
    }
}

/// KVM where it boots guests and lets them have guests of their own.
fn accelerator_here(kernel: &Path) -> Accelerator {
    let allows_nesting = ["kvm_intel", "kvm_amd"].iter().any(|module| {
        let told = std::fs::read_to_string(format!("/sys/module/{module}/parameters/nested")).unwrap_or_default();
        ["Y", "1"].contains(&told.trim())
    });
    if allows_nesting { accelerator::probe(Some(kernel)).usable } else { Accelerator::Tcg }
}

/// The lines of a file that grows.
pub(super) struct Lines {
    file: File,
    rest: Vec<u8>,
}

impl Lines {
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self { file: File::open(path)?, rest: Vec::new() })
    }

    /// Whole lines since this was last asked; an error quotes the line that cannot be understood.
    pub(super) fn arrived(&mut self) -> Result<Vec<Told>, String> {
        self.file.read_to_end(&mut self.rest).map_err(|error| error.to_string())?;
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return Ok(Vec::new()) };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        let lines = whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let read = |line: &[u8]| {
            let unclear = |error| format!("it said {:?}: {error}", String::from_utf8_lossy(line));
            serde_json::from_slice(line).map_err(unclear)
        };
        lines.map(read).collect()
    }
}
