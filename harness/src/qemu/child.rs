//! A child process that dies with the harness.
//!
//! The kernel's parent-death signal fires when the *thread* that spawned a child ends, so each child has a thread of its
//! own that spawns it and waits for it. It ends when the child does, and so no child outlives it unnoticed: if the harness
//! is killed, all its threads end and all children with them.

#![expect(unsafe_code, reason = "what a child does between fork and exec")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::sync::mpsc;
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, pidfd_send_signal, set_parent_process_death_signal,
};

/// A running or ended child process.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    keeper: Option<JoinHandle<io::Result<ExitStatus>>>,
    status: Option<ExitStatus>,
}

impl Child {
    /// Starts `command` with the descriptors `inherited`, which are closed here once it runs.
    pub(crate) fn start(mut command: Command, inherited: Vec<OwnedFd>) -> io::Result<Self> {
        let harness = getpid();
        // Its own process group: Ctrl-C is for the harness, which then ends its guests in order.
        command.process_group(0);
        let (tell, told) = mpsc::sync_channel(1);
        let keeper = std::thread::Builder::new().name("guest-keeper".to_owned()).spawn(move || {
            let spawned = spawn(&mut command, inherited, harness);
            let (mut child, answer) = match spawned {
                Ok((child, pid, pidfd)) => (child, Ok((pid, pidfd))),
                Err(error) => {
                    let again = io::Error::new(error.kind(), error.to_string());
                    // The other side waits for exactly this message.
                    let _ = tell.send(Err(error));
                    return Err(again);
                }
            };
            if tell.send(answer).is_err() {
                child.kill()?;
            }
            child.wait()
        })?;
        let (pid, pidfd) = told.recv().map_err(|_| io::Error::other("the thread that was to start it ended"))??;
        Ok(Self { pid, pidfd, keeper: Some(keeper), status: None })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Readable once the process has ended.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let mut ready = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if self.status.is_none() && poll(&mut ready, Some(&now)).is_ok_and(|count| count > 0) {
            self.reap();
        }
        self.status
    }

    /// Ends it at once and waits until it is gone.
    pub(crate) fn end(&mut self) {
        // It may be gone already, which is as well.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        self.reap();
    }

    fn reap(&mut self) {
        if let Some(Ok(Ok(status))) = self.keeper.take().map(JoinHandle::join) {
            self.status = Some(status);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(
    command: &mut Command,
    inherited: Vec<OwnedFd>,
    harness: Pid,
) -> io::Result<(std::process::Child, Pid, OwnedFd)> {
    let numbers: Vec<_> = inherited.iter().map(std::os::fd::AsRawFd::as_raw_fd).collect();
    let prepare = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The harness may have died before the line above.
        if getppid() != Some(harness) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        for &number in &numbers {
            // SAFETY: `inherited` outlives the spawn below, so the number is open in this copy of the process.
            let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
            fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec `prepare` makes system calls only; it allocates nothing and takes no lock.
    let mut child = unsafe { command.pre_exec(prepare) }.spawn()?;
    drop(inherited);
    let opened = Pid::from_raw(child.id().cast_signed())
        .ok_or_else(|| io::Error::other("it has no process id"))
        .and_then(|pid| Ok((pid, pidfd_open(pid, PidfdFlags::empty())?)));
    match opened {
        Ok((pid, pidfd)) => Ok((child, pid, pidfd)),
        Err(error) => {
            child.kill()?;
            child.wait()?;
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_child_that_ends_says_how() {
        let mut child = Child::start(shell("exit 7"), Vec::new()).expect("sh starts");
        let mut ready = [PollFd::from_borrowed_fd(child.pidfd(), PollFlags::IN)];
        poll(&mut ready, Some(&Timespec { tv_sec: 10, tv_nsec: 0 })).expect("poll");
        assert_eq!(child.ended().and_then(|status| status.code()), Some(7));
    }

    #[test]
    fn a_dropped_child_is_gone() {
        let child = Child::start(shell("exec sleep 1000"), Vec::new()).expect("sh starts");
        let folder = format!("/proc/{}", child.pid());
        assert!(std::path::Path::new(&folder).exists());
        drop(child);
        assert!(!std::path::Path::new(&folder).exists());
    }

    #[test]
    fn only_descriptors_that_were_given_are_inherited() {
        let (mut ours, theirs) = UnixStream::pair().expect("a pair");
        let (kept, _other) = UnixStream::pair().expect("a pair");
        let number = |stream: &UnixStream| std::os::fd::AsRawFd::as_raw_fd(stream);
        let script =
            format!("test -e /proc/self/fd/{} && echo kept >&2; echo hello >&{}", number(&kept), number(&theirs));
        let mut child = Child::start(shell(&script), vec![theirs.into()]).expect("sh starts");
        ours.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let mut text = String::new();
        // Ends only because our copy of the other side was closed after the start.
        ours.read_to_string(&mut text).expect("what the child wrote");
        assert_eq!(text, "hello\n");
        child.end();
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = Child::start(Command::new("/nonexistent/qemu"), Vec::new()).expect_err("not there");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
