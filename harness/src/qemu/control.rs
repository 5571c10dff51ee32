//! QMP: QEMU's control connection, with a deadline on every exchange.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use qapi::qmp::{self, QapiCapabilities};
use qapi::{Command, Qmp, Stream};

/// A stream whose reads and writes fail with [`io::ErrorKind::TimedOut`] once the deadline has passed.
#[derive(Debug)]
struct Timed {
    stream: UnixStream,
    deadline: Instant,
}

impl Timed {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(too_late()) } else { Ok(Some(left)) }
    }
}

fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer within the deadline")
}

fn deadline_named(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { too_late() } else { error }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer).map_err(deadline_named)
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buffer).map_err(deadline_named)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The control connection of one QEMU process, ready for commands.
pub(super) struct Control {
    qmp: Qmp<Stream<BufReader<Timed>, Timed>>,
}

impl fmt::Debug for Control {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control {
    /// Reads QEMU's greeting and agrees on capabilities.
    pub(super) fn open(stream: UnixStream, within: Duration) -> io::Result<Self> {
        let deadline = Instant::now() + within;
        let mut reader = BufReader::new(Timed { stream: stream.try_clone()?, deadline });
        // Read here, since the library panics if QEMU ends before its greeting.
        let mut greeting = String::new();
        if reader.read_line(&mut greeting)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the control connection"));
        }
        serde_json::from_str::<QapiCapabilities>(&greeting)?;
        let mut control = Self { qmp: Qmp::new(Stream::new(reader, Timed { stream, deadline })) };
        control.execute(&qmp::qmp_capabilities { enable: None }, within)?;
        Ok(control)
    }

    /// Executes one command and waits for its answer.
    pub(super) fn execute<C: Command>(&mut self, command: &C, within: Duration) -> io::Result<C::Ok> {
        let deadline = Instant::now() + within;
        let stream = self.qmp.inner_mut();
        stream.get_mut_read().get_mut().deadline = deadline;
        stream.get_mut_write().deadline = deadline;
        let answer = self.qmp.execute(command).map_err(io::Error::from);
        self.qmp.events().for_each(drop);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: &[u8] =
        br#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}"#;

    #[test]
    fn a_qemu_that_never_answers_meets_the_deadline() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        theirs.write_all(&[GREETING, b"\n"].concat()).expect("greeted");
        let error = Control::open(ours, Duration::from_millis(50)).expect_err("no answer");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_qemu_that_ends_before_its_greeting_is_an_error() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        drop(theirs);
        let error = Control::open(ours, Duration::from_secs(5)).expect_err("ended");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn an_event_before_the_answer_is_passed_over() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let event = br#"{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}"#;
        let answers = [GREETING, b"{\"return\": {}}", event, b"{\"return\": {}}"].join(&b'\n');
        theirs.write_all(&[&answers, &b"\n"[..]].concat()).expect("written");
        let mut control = Control::open(ours, Duration::from_secs(5)).expect("agreed");
        control.execute(&qmp::stop {}, Duration::from_secs(5)).expect("stopped");
    }
}
