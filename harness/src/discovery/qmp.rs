//! Asking QEMU which of its threads are vCPUs: three lines over its monitor's socket.
//!
//! The peer may be anybody: it may send garbage, a line without end, or nothing. Answers are bounded in bytes and in
//! time, and what it says is only ever compared with what the kernel says.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::names::options;
use crate::procfs::Tid;

/// How long a whole exchange may take.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// 64 KiB hold a few hundred vCPUs.
const MOST_BYTES: usize = 256 << 10;

/// Lines that are no answers: events.
const MOST_LINES: usize = 64;

/// Why a monitor did not say.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// Nothing listens, or it may not be spoken to.
    #[error("speak to {}: {source}", .socket.display())]
    Io {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It took too long.
    #[error("the monitor did not answer in time; it may serve another client")]
    Silent,
    /// It said too much.
    #[error("the monitor's answer is longer than {MOST_BYTES} bytes or {MOST_LINES} lines")]
    TooLong,
    /// It said something else.
    #[error("the monitor's answer makes no sense: {0}")]
    Garbled(&'static str),
}

/// The socket on which a QEMU with these arguments serves QMP; `None` where it has no name in the file system, as that of
/// a guest which libvirt runs.
#[must_use]
pub fn socket_in(arguments: &[String]) -> Option<PathBuf> {
    let values = |key: &'static str| {
        let is_key = move |argument: &str| argument.trim_start_matches('-') == key && argument.starts_with('-');
        arguments.windows(2).filter(move |pair| is_key(&pair[0])).map(|pair| options(&pair[1]))
    };
    let is_on = |parts: &[String], name: &str| parts.iter().any(|part| *part == name || *part == format!("{name}=on"));
    if let Some(path) = values("qmp").find_map(|parts| {
        let path = parts.first()?.strip_prefix("unix:")?.to_owned();
        is_on(&parts, "server").then_some(path)
    }) {
        return Some(PathBuf::from(path));
    }
    let option = |parts: &[String], key: &str| parts.iter().find_map(|part| Some(part.strip_prefix(key)?.to_owned()));
    let monitor = values("mon").find(|parts| parts.iter().any(|part| part == "mode=control"))?;
    let chardev = option(&monitor, "chardev=").or_else(|| monitor.first().cloned())?;
    let socket = values("chardev").find(|parts| {
        parts.first().is_some_and(|kind| kind == "socket") && option(parts, "id=").as_ref() == Some(&chardev)
    })?;
    is_on(&socket, "server").then(|| option(&socket, "path=")).flatten().map(PathBuf::from)
}

/// Number and thread of each vCPU, as the monitor at `socket` says within `patience`.
pub fn vcpu_threads(socket: &Path, patience: Duration) -> Result<Vec<(u32, Tid)>, QmpError> {
    let failed = |source| QmpError::Io { socket: socket.to_owned(), source };
    ask_over(UnixStream::connect(socket).map_err(failed)?, socket, patience)
}

/// The same over a connection that stands.
pub fn ask_over(stream: UnixStream, socket: &Path, patience: Duration) -> Result<Vec<(u32, Tid)>, QmpError> {
    let mut talk = Talk { stream, heard: Vec::new(), deadline: Instant::now() + patience, socket };
    if talk.line()?.is_none_or(|line| line.get("QMP").is_none()) {
        return Err(QmpError::Garbled("it does not greet as QMP does"));
    }
    talk.ask("qmp_capabilities")?;
    parse(&talk.ask("query-cpus-fast")?)
}

/// Reads what `query-cpus-fast` returned.
pub fn parse(returned: &Value) -> Result<Vec<(u32, Tid)>, QmpError> {
    let list = returned.as_array().ok_or(QmpError::Garbled("there is no list of vCPUs"))?;
    let field = |vcpu: &Value, key: &str| vcpu.get(key)?.as_u64().and_then(|number| u32::try_from(number).ok());
    let vcpu = |vcpu: &Value| Some((field(vcpu, "cpu-index")?, Tid(field(vcpu, "thread-id")?)));
    let all: Option<Vec<_>> = list.iter().map(vcpu).collect();
    all.ok_or(QmpError::Garbled("a vCPU has no number or no thread"))
}

struct Talk<'a> {
    stream: UnixStream,
    heard: Vec<u8>,
    deadline: Instant,
    socket: &'a Path,
}

impl Talk<'_> {
    fn ask(&mut self, command: &str) -> Result<Value, QmpError> {
        let left = self.left()?;
        let failed = |source| QmpError::Io { socket: self.socket.to_owned(), source };
        self.stream.set_write_timeout(Some(left)).map_err(failed)?;
        writeln!(self.stream, "{{\"execute\":\"{command}\"}}").map_err(failed)?;
        for _ in 0..MOST_LINES {
            let line = self.line()?.ok_or(QmpError::Garbled("it hung up"))?;
            if line.get("error").is_some() {
                return Err(QmpError::Garbled("it refused"));
            }
            if let Some(returned) = line.get("return") {
                return Ok(returned.clone());
            }
        }
        Err(QmpError::TooLong)
    }

    fn left(&self) -> Result<Duration, QmpError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(QmpError::Silent) } else { Ok(left) }
    }

    /// The next line; `None` at the end.
    fn line(&mut self) -> Result<Option<Value>, QmpError> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|_| QmpError::Garbled("it does not speak JSON"));
            }
            if self.heard.len() > MOST_BYTES {
                return Err(QmpError::TooLong);
            }
            let left = self.left()?;
            let failed = |source| QmpError::Io { socket: self.socket.to_owned(), source };
            self.stream.set_read_timeout(Some(left)).map_err(failed)?;
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(read) => self.heard.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    return Err(QmpError::Silent);
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    const GREETING: &str = "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\n";
    const EVENT: &str = "{\"event\":\"RESUME\"}\n";

    /// A monitor that says all of `lines` at once, then holds the line.
    fn told(lines: &[u8]) -> Result<Vec<(u32, Tid)>, QmpError> {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("qmp");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let lines = lines.to_owned();
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let peer = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().expect("a client");
            let _ = peer.write_all(&lines);
            let _ = ended.recv();
        });
        let answer = vcpu_threads(&socket, Duration::from_millis(200));
        drop(done);
        peer.join().expect("no panic");
        answer
    }

    #[test]
    fn vcpus_are_told_with_their_threads_between_events() {
        let cpus =
            "{\"return\":[{\"cpu-index\":0,\"thread-id\":71},{\"thread-id\":72,\"cpu-index\":1,\"props\":{}}]}\n";
        let all = [GREETING, EVENT, "{\"return\":{}}\n", EVENT, cpus].concat();
        assert_eq!(told(all.as_bytes()).expect("a sound monitor"), [(0, Tid(71)), (1, Tid(72))]);
    }

    #[test]
    fn a_hostile_peer_is_harmless() {
        assert!(matches!(told(b"SSH-2.0\n"), Err(QmpError::Garbled(_))));
        assert!(matches!(told(b"{}\n"), Err(QmpError::Garbled(_))));
        assert!(matches!(told(b""), Err(QmpError::Silent)));
        assert!(matches!(told(GREETING.as_bytes()), Err(QmpError::Silent)));
        assert!(matches!(told(&vec![b'x'; 2 * MOST_BYTES]), Err(QmpError::TooLong)));
        assert!(matches!(told((GREETING.to_owned() + &EVENT.repeat(1000)).as_bytes()), Err(QmpError::TooLong)));
        let lies = format!("{GREETING}{{\"return\":{{}}}}\n{{\"return\":[{{\"cpu-index\":-1}}]}}\n");
        assert!(matches!(told(lies.as_bytes()), Err(QmpError::Garbled(_))));
        assert!(matches!(vcpu_threads(Path::new("/nowhere/qmp"), PATIENCE), Err(QmpError::Io { .. })));
    }

    #[test]
    fn a_socket_is_found_where_it_has_a_name() {
        let found = |line: &str| {
            let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
            socket_in(&arguments).map(|path| path.display().to_string())
        };
        assert_eq!(found("qemu -qmp unix:/run/a,server=on,wait=off").as_deref(), Some("/run/a"));
        assert_eq!(found("qemu -qmp unix:/run/a,server,nowait").as_deref(), Some("/run/a"));
        assert_eq!(found("qemu -qmp unix:/run/a"), None, "it is the client");
        let split = "qemu -chardev socket,id=m,path=/run/b,server=on -mon chardev=m,mode=control";
        assert_eq!(found(split).as_deref(), Some("/run/b"));
        let libvirt = "qemu -chardev socket,id=charmonitor,fd=23,server=on -mon chardev=charmonitor,mode=control";
        assert_eq!(found(libvirt), None);
        assert_eq!(found("qemu -qmp stdio"), None);
        assert_eq!(found("qemu -qmp"), None);
    }
}
