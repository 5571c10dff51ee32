//! The harness's end of a guest's port: whole lines in, whole lines out.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Longer lines are no message of ours.
const LINE_LIMIT_BYTES: usize = 64 * 1024;
/// The guest's driver takes a line at once; a guest that does not is stuck.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);

/// A stream of lines that never blocks on reading.
#[derive(Debug)]
pub(super) struct Port {
    stream: UnixStream,
    pending: Vec<u8>,
}

impl Port {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_write_timeout(Some(WRITE_DEADLINE))?;
        Ok(Self { stream, pending: Vec::new() })
    }

    pub(super) fn send(&mut self, line: &str) -> io::Result<()> {
        self.stream.set_nonblocking(false)?;
        self.stream.write_all(format!("{line}\n").as_bytes())
    }

    /// The lines that have arrived whole. An end of the stream is no error: the process's end tells more.
    pub(super) fn lines(&mut self) -> io::Result<Vec<String>> {
        self.stream.set_nonblocking(true)?;
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => self.pending.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) => return Err(error),
            }
        }
        let mut lines = Vec::new();
        while let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        if self.pending.len() > LINE_LIMIT_BYTES {
            return Err(io::Error::other("it sent a line without an end"));
        }
        Ok(lines)
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_arrive_whole_or_not_yet() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let mut port = Port::new(ours).expect("a port");
        theirs.write_all(b"ready\ndone run=").expect("written");
        assert_eq!(port.lines().expect("read"), ["ready"]);
        theirs.write_all(b"0\r\n").expect("written");
        assert_eq!(port.lines().expect("read"), ["done run=0"]);
        drop(theirs);
        assert!(port.lines().expect("an end is no error").is_empty());
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let mut port = Port::new(ours).expect("a port");
        let writer = std::thread::spawn(move || theirs.write_all(&[b'x'; 2 * LINE_LIMIT_BYTES]));
        let mut outcome = Ok(Vec::new());
        for _ in 0..1000 {
            outcome = port.lines();
            if outcome.is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(outcome.is_err());
        drop(port);
        let _ = writer.join();
    }
}
