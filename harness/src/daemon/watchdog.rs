//! A process that gives affinities back when the daemon cannot.
//!
//! # How it knows
//!
//! The daemon starts it as a child and writes to its input: a dot each quantum, and `q` when it has given everything back by
//! itself. So the child knows of three endings:
//!
//! ```text
//! q                      the daemon said goodbye: end, and touch nothing
//! the input ends         the daemon is dead (kill -9, a crash): give back by the ledger
//! no dot for the limit   the daemon is stuck: end it first, then give back by the ledger
//! ```
//!
//! A stuck daemon is ended because it holds the ledger, and because one that wakes up later would go on binding what was just
//! given back. It is ended by a descriptor of the process that was its parent at the start, never by a number that may have
//! become another's. Being in a session of its own, it does not get the terminal's Ctrl-C; what is sent to the daemon's process
//! group does not reach it.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getppid, pidfd_open, pidfd_send_signal, setsid};

use crate::custody::{self, LedgerError, Report};

const BEAT: u8 = b'.';
const GOODBYE: u8 = b'q';
/// For how long the lock of a daemon that is just ending is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The daemon's side.
#[derive(Debug)]
pub struct Heartbeat {
    child: Child,
    input: ChildStdin,
}

impl Heartbeat {
    /// Starts the watchdog: `program` is this very program, which answers to the hidden command `watchdog`.
    pub fn start(program: &Path, ledger: &Path, limit: Duration) -> std::io::Result<Self> {
        let mut child = Command::new(program)
            .arg("watchdog")
            .arg("--ledger")
            .arg(ledger)
            .arg("--limit-milliseconds")
            .arg(limit.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let input = child.stdin.take().ok_or_else(|| std::io::Error::other("the watchdog has no input"))?;
        let flags = rustix::fs::fcntl_getfl(&input)?;
        rustix::fs::fcntl_setfl(&input, flags | rustix::fs::OFlags::NONBLOCK)?;
        Ok(Self { child, input })
    }

    /// A quantum is over. An error says that the watchdog is gone; one that is slow to read is none.
    pub fn beat(&mut self) -> std::io::Result<()> {
        match self.input.write_all(&[BEAT]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            written => written,
        }
    }

    /// Everything was given back.
    pub fn goodbye(mut self) {
        // Whatever fails here, the watchdog finds a ledger that owes nothing.
        let _ = self.input.write_all(&[GOODBYE]);
        drop(self.input);
        let _ = self.child.wait();
    }
}

/// How the watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The daemon said goodbye.
    Goodbye,
    /// The daemon is dead.
    Dead,
    /// The daemon shows no life.
    Stuck,
}

/// The watchdog's side: watches its parent through its own standard input, and acts. Answers how the watch ended and what was
/// given back.
pub fn watch(ledger: &Path, limit: Duration) -> std::io::Result<(Ended, Result<Report, LedgerError>)> {
    let daemon = daemon()?;
    // Fails where it leads a group already, which is as good.
    let _ = setsid();
    let input = std::io::stdin();
    let ended = listen(input.as_fd(), limit)?;
    match ended {
        Ended::Goodbye => return Ok((ended, Ok(Report::default()))),
        Ended::Stuck => {
            eprintln!("phasecast watchdog: the daemon showed no life for {limit:?}; it is ended");
            let _ = daemon.map(|daemon| pidfd_send_signal(&daemon, Signal::KILL));
        }
        Ended::Dead => eprintln!("phasecast watchdog: the daemon ended without giving back; that is done now"),
    }
    Ok((ended, custody::restore(ledger, Path::new("/"), custody::Mode::Act, PATIENCE)))
}

/// The process that started this one; `None` if it ended before it could be held on to.
fn daemon() -> std::io::Result<Option<OwnedFd>> {
    let Some(parent) = getppid().filter(|parent| *parent != Pid::INIT) else { return Ok(None) };
    let held = pidfd_open(parent, PidfdFlags::empty())?;
    Ok((getppid() == Some(parent)).then_some(held))
}

/// Listens until the daemon says goodbye, ends, or shows no life for `limit`.
pub fn listen(input: BorrowedFd<'_>, limit: Duration) -> std::io::Result<Ended> {
    let mut reader = File::from(input.try_clone_to_owned()?);
    let timeout = Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: limit.subsec_nanos().into() };
    let mut heard = [0; 4096];
    loop {
        let mut polled = [PollFd::new(&input, PollFlags::IN)];
        match poll(&mut polled, Some(&timeout)) {
            Ok(0) => return Ok(Ended::Stuck),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match reader.read(&mut heard) {
            Ok(0) => return Ok(Ended::Dead),
            Ok(count) if heard[..count].contains(&GOODBYE) => return Ok(Ended::Goodbye),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(150);

    fn heard(said: &[&[u8]], pause: Duration, close: bool) -> Ended {
        let (input, mut output) = std::io::pipe().expect("a pipe");
        let listener = std::thread::spawn(move || listen(input.as_fd(), SHORT).expect("a pipe"));
        for word in said {
            output.write_all(word).expect("somebody listens");
            std::thread::sleep(pause);
        }
        let held = (!close).then_some(output);
        let ended = listener.join().expect("no panic");
        drop(held);
        ended
    }

    #[test]
    fn a_goodbye_an_end_and_silence_are_told_apart() {
        let beats: [&[u8]; 4] = [b".", b"..", b".", b"."];
        let pause = Duration::from_millis(50);
        assert_eq!(heard(&beats, pause, true), Ended::Dead);
        assert_eq!(heard(&[b".", b".q"], pause, true), Ended::Goodbye);
        assert_eq!(heard(&beats, pause, false), Ended::Stuck);
        assert_eq!(heard(&[], pause, true), Ended::Dead);
    }
}
