//! Asking QEMU which of its threads are vCPUs: three lines over its monitor's socket.
//!
//! The peer may be anybody: it may send garbage, a line without end, or nothing. Answers are bounded in bytes and in
//! time, and what it says is only ever compared with what the kernel says.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use predictor::counters::AddressSpace;
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
    let mut talk = Talk::over(stream, socket, patience)?;
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

/// The address space of each of the vCPUs that `numbers` names, in that order, as the monitor at `socket` says within
/// `patience`; see [`address_space_in`].
pub fn address_spaces(
    socket: &Path,
    numbers: &[u32],
    patience: Duration,
) -> Result<Vec<Option<AddressSpace>>, QmpError> {
    let mut talk = Talk::open(socket, patience)?;
    let registers = |number: &u32| {
        let arguments = serde_json::json!({ "command-line": "info registers", "cpu-index": number });
        let told = talk.ask_with("human-monitor-command", &arguments)?;
        address_space_in(told.as_str().ok_or(QmpError::Garbled("registers are no text"))?)
    };
    numbers.iter().map(registers).collect()
}

/// The address space that `info registers` of QEMU's x86 monitor tells of. `None` where the vCPU is in none of a process:
/// halted, without paging, or of a guest whose registers are encrypted and read as zeros (SEV-ES, TDX).
pub fn address_space_in(registers: &str) -> Result<Option<AddressSpace>, QmpError> {
    let value = |name: &str| {
        let mut all = registers.split_ascii_whitespace().filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let first = all.next().ok_or(QmpError::Garbled("it does not name CR0, CR3 and HLT as x86 does"))?;
        let is_only = all.next().is_none() && first.len() <= 16;
        let number = u64::from_str_radix(first, 16).ok().filter(|_| is_only && !first.starts_with('+'));
        number.ok_or(QmpError::Garbled("a register is told twice, or is no number"))
    };
    let (control, root, halted) = (value("CR0")?, value("CR3")?, value("HLT")?);
    let is_paging = control >> 31 & 1 == 1;
    Ok(AddressSpace::of_cr3(root).filter(|_| is_paging && halted == 0))
}

struct Talk<'a> {
    stream: UnixStream,
    heard: Vec<u8>,
    deadline: Instant,
    socket: &'a Path,
}

impl Talk<'_> {
    /// Connects, and is greeted as by a QMP server.
    fn open(socket: &Path, patience: Duration) -> Result<Talk<'_>, QmpError> {
        let failed = |source| QmpError::Io { socket: socket.to_owned(), source };
        Talk::over(UnixStream::connect(socket).map_err(failed)?, socket, patience)
    }

    fn over(stream: UnixStream, socket: &Path, patience: Duration) -> Result<Talk<'_>, QmpError> {
        let mut talk = Talk { stream, heard: Vec::new(), deadline: Instant::now() + patience, socket };
        if talk.line()?.is_none_or(|line| line.get("QMP").is_none()) {
            return Err(QmpError::Garbled("it does not greet as QMP does"));
        }
        talk.ask("qmp_capabilities")?;
        Ok(talk)
    }

    fn ask(&mut self, command: &str) -> Result<Value, QmpError> {
        self.ask_with(command, &serde_json::json!({}))
    }

    fn ask_with(&mut self, command: &str, arguments: &Value) -> Result<Value, QmpError> {
        let left = self.left()?;
        let failed = |source| QmpError::Io { socket: self.socket.to_owned(), source };
        self.stream.set_write_timeout(Some(left)).map_err(failed)?;
        let request = serde_json::json!({ "execute": command, "arguments": arguments });
        writeln!(self.stream, "{request}").map_err(failed)?;
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

    fn told(lines: &[u8]) -> Result<Vec<(u32, Tid)>, QmpError> {
        asked(lines, |socket| vcpu_threads(socket, Duration::from_millis(200)))
    }

    /// What is answered by a monitor that says all of `lines` at once, then holds the line.
    fn asked<Answer>(lines: &[u8], ask: impl FnOnce(&Path) -> Answer) -> Answer {
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
        let answer = ask(&socket);
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

    /// As QEMU 7.2 tells it, without the lines between.
    const REGISTERS: &str = "\r\nCPU#0\r\nRAX=0000000000000001 RBX=ffff888003e28000\r\nRIP=ffffffff81a0b0aa RFL=00000246 \
                             [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0\r\nCR0=80050033 CR2=00007f0a CR3=0000000003d1b801 \
                             CR4=000006f0\r\n";

    #[test]
    fn the_address_space_is_read_from_the_registers() {
        let text = serde_json::to_string(REGISTERS).expect("a text");
        let lines = [GREETING, "{\"return\":{}}\n", EVENT, "{\"return\":", &text, "}\n"].concat();
        let told = asked(lines.as_bytes(), |socket| address_spaces(socket, &[0], Duration::from_millis(200)));
        assert_eq!(told.expect("a sound monitor"), [AddressSpace::of_cr3(0x3d1_a000)]);
    }

    #[test]
    fn halted_vcpus_and_encrypted_guests_are_in_no_address_space() {
        for (part, instead) in
            [("HLT=0", "HLT=1"), ("CR0=80050033", "CR0=00000011"), ("CR3=0000000003d1b801", "CR3=0000000000000000")]
        {
            let told = address_space_in(&REGISTERS.replace(part, instead));
            assert!(matches!(told, Ok(None)), "{instead}: {told:?}");
        }
    }

    #[test]
    fn registers_that_make_no_sense_are_refused() {
        for told in ["", "CR0=80050033 HLT=0", "CR0=80050033 CR3=xyz HLT=0", "CR0=80050033 CR3=1000 CR3=2000 HLT=0"] {
            assert!(matches!(address_space_in(told), Err(QmpError::Garbled(_))), "{told}");
        }
        for told in ["CR0=80050033 CR3=+3d1a000 HLT=0", "CR0=80050033 CR3=00000000000003d1a000 HLT=0"] {
            assert!(matches!(address_space_in(told), Err(QmpError::Garbled(_))), "{told}");
        }
    }

    #[test]
    fn a_hostile_peer_that_is_asked_for_registers_is_harmless() {
        let ask = |lines: &[u8]| asked(lines, |socket| address_spaces(socket, &[0, 1], Duration::from_millis(100)));
        let greeted = [GREETING, "{\"return\":{}}\n"].concat();
        let after = |more: &[u8]| ask(&[greeted.as_bytes(), more].concat());
        assert!(matches!(ask(b"SSH-2.0\n"), Err(QmpError::Garbled(_))));
        assert!(matches!(after(b""), Err(QmpError::Silent)));
        assert!(matches!(after(&vec![b'x'; 2 * MOST_BYTES]), Err(QmpError::TooLong)));
        assert!(matches!(after(b"{\"return\":[1]}\n"), Err(QmpError::Garbled(_))));
        assert!(matches!(after(b"{\"return\":\"CR0=1\"}\n"), Err(QmpError::Garbled(_))));
        assert!(matches!(after(b"{\"error\":{}}\n"), Err(QmpError::Garbled(_))));
        assert!(matches!(after(EVENT.repeat(1000).as_bytes()), Err(QmpError::TooLong)));
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
