//! `guest`: process 1 of every guest. Brings the machine up, runs one program for ever, and reports each run.
//!
//! It talks to the harness over the virtio-serial port called `phasecast`, in lines:
//!
//! | direction | line | meaning |
//! |---|---|---|
//! | guest to harness | `ready` | everything is mounted and warm; a snapshot may be taken now |
//! | harness to guest | `go` | start |
//! | guest to harness | `begin` | the next thing is the begin mark, then the program |
//! | guest to harness | `done run=N status=S checksum=C` | a run ended: its number from 0, exit status (128 + n for signal n), FNV-1a of its standard output |
//! | guest to harness | `error TEXT` | something failed; no further line follows. It is on the console as well |
//!
//! It never exits, since the kernel would panic: after an error it sleeps, and the harness ends the guest. It stands in
//! `wait` while the program runs, so that nothing else is scheduled.

mod program;
mod system;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use workloads::{launch, marks, suite};

/// Something that cannot be done; finishes "failed to ...".
#[derive(Debug, thiserror::Error)]
#[error("failed to {action}: {reason}")]
pub(crate) struct Failure {
    action: String,
    reason: String,
}

impl Failure {
    pub(crate) fn new(action: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self { action: action.into(), reason: reason.to_string() }
    }
}

fn main() {
    let mut port = None;
    let failure = match serve(&mut port) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    // One line, whatever the error holds: the harness reads lines.
    let line = format!("error {}\n", failure.to_string().replace(['\n', '\r'], " | "));
    print!("{line}");
    if let Some(port) = &mut port
        && let Err(problem) = port.write_all(line.as_bytes())
    {
        println!("error failed to report over the port: {problem}");
    }
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Does everything; ends only with a failure.
fn serve(port: &mut Option<File>) -> Result<std::convert::Infallible, Failure> {
    system::mount_kernel_file_systems()?;
    system::load_modules()?;
    let port = port.insert(open_port()?);
    let command_line =
        std::fs::read_to_string("/proc/cmdline").map_err(|error| Failure::new("read /proc/cmdline", error))?;
    system::enter_programs(launch::asks_for_suite(&command_line).then_some(suite::MOUNT))?;
    let argv = launch::decode_argv(&command_line).map_err(|error| Failure::new("read the launch line", error))?;
    let program = program::Program::new(argv)?;
    program.warm_up()?;
    system::settle()?;

    say(port, "ready")?;
    wait_for_go(port)?;
    say(port, "begin")?;
    marks::begin();
    for run in 0_u64.. {
        let outcome = program.run()?;
        say(port, &format!("done run={run} status={} checksum={:016x}", outcome.status, outcome.checksum))?;
        if outcome.status != 0 {
            let what = format!("run {} (run {run})", program.name());
            return Err(Failure::new(what, format!("exit status {}: {}", outcome.status, outcome.last_words)));
        }
    }
    Err(Failure::new("count runs", "there were 2^64 of them"))
}

fn say(port: &mut File, line: &str) -> Result<(), Failure> {
    port.write_all(format!("{line}\n").as_bytes()).map_err(|error| Failure::new(format!("say \"{line}\""), error))
}

/// Reads lines until the harness says `go`.
fn wait_for_go(port: &mut File) -> Result<(), Failure> {
    let mut heard = Vec::new();
    let mut buffer = [0; 64];
    loop {
        let count = port.read(&mut buffer).map_err(|error| Failure::new("read the port", error))?;
        if count == 0 {
            // The harness is not connected, as between a snapshot and its restoration.
            std::thread::sleep(Duration::from_millis(5));
        }
        heard.extend_from_slice(&buffer[..count]);
        while let Some(end) = heard.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = heard.drain(..=end).collect();
            match line.trim_ascii() {
                b"go" => return Ok(()),
                b"" => {}
                other => {
                    let other = String::from_utf8_lossy(other);
                    return Err(Failure::new("understand the harness", format!("it said \"{other}\", not \"go\"")));
                }
            }
        }
    }
}

/// Opens the port the harness listens at, waiting for the driver to find it.
fn open_port() -> Result<File, Failure> {
    let device = system::wait_for("find the virtio-serial port \"phasecast\"", port_device)?;
    let file =
        system::wait_for(&format!("see {}", device.display()), || device.exists().then_some(())).and_then(|()| {
            let open = File::options().read(true).write(true).open(&device);
            open.map_err(|error| Failure::new(format!("open {}", device.display()), error))
        })?;
    Ok(file)
}

/// There is no udev here: the name stands in sysfs, the node in devtmpfs.
fn port_device() -> Option<PathBuf> {
    let entries = std::fs::read_dir("/sys/class/virtio-ports").ok()?;
    for entry in entries.flatten() {
        let name = std::fs::read_to_string(entry.path().join("name")).ok()?;
        if name.trim_end() == launch::PORT_NAME {
            return Some(Path::new("/dev").join(entry.file_name()));
        }
    }
    None
}
