//! What the lab tells the outside: lines of JSON on its second serial port. The harness's `lab/told.rs` reads them; a test
//! there holds the two together.
//!
//! | kind | further keys |
//! |---|---|
//! | `progress` | `text` |
//! | `verdict` | `claim`, `detail`, `holds` |
//! | `seen` | `guest`, `thread`, `cpus`, `since`, `at`: the CPUs a vCPU may run on changed to these, by `/proc`, within this time |
//! | `ordered` | `guest`, `thread`, `cpus`, `since`, `at`: the lab itself set them, as an owner would |
//! | `daemon` | `number`, `since`, `at`: the daemon of this number wrote its journal and was not yet told to end |
//! | `file` | `name`, `line` |
//! | `end` | |
//!
//! Each has `seconds` since the lab began. `since` and `at` are milliseconds since 1970, as in journals.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

    pub(crate) fn with(self, more: &str) -> Self {
        Self { reason: format!("{}; {more}", self.reason), ..self }
    }
}

/// The port; copies write to the same.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    port: Arc<Mutex<File>>,
    started: Instant,
}

/// A change of a thread's CPUs: it was made after `since` and not after `at`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) guest: &'a str,
    pub(crate) thread: i32,
    pub(crate) cpus: &'a str,
    pub(crate) since: u64,
    pub(crate) at: u64,
}

impl Report {
    pub(crate) fn open() -> Result<Self, Failure> {
        let port = File::options().write(true).open("/dev/ttyS1");
        let port = port.map_err(|error| Failure::new("open the second serial port", error))?;
        crate::system::make_raw(&port).map_err(|error| Failure::new("set up the second serial port", error))?;
        Ok(Self { port: Arc::new(Mutex::new(port)), started: Instant::now() })
    }

    /// Says what is being done.
    pub(crate) fn tell(&self, text: &str) {
        self.line("progress", &[("text", quoted(text))]);
    }

    /// Gives the verdict on a claim; the claim's name stays the same in each release.
    pub(crate) fn verdict(&self, claim: &str, outcome: Result<String, Failure>) -> bool {
        let (holds, detail) = match outcome {
            Ok(detail) => (true, detail),
            Err(failure) => (false, failure.to_string()),
        };
        self.line("verdict", &[("claim", quoted(claim)), ("detail", quoted(&detail)), ("holds", holds.to_string())]);
        holds
    }

    /// Tells a change, `kind` being `seen` or `ordered`.
    pub(crate) fn change(&self, kind: &str, change: Change<'_>) {
        let number = |number: u64| number.to_string();
        let pairs = [
            ("guest", quoted(change.guest)),
            ("thread", change.thread.to_string()),
            ("cpus", quoted(change.cpus)),
            ("since", number(change.since)),
            ("at", number(change.at)),
        ];
        self.line(kind, &pairs);
    }

    /// Tells for how long the daemon of this number did as it liked.
    pub(crate) fn daemon(&self, number: usize, since: u64) {
        let pairs = [("number", number.to_string()), ("since", since.to_string()), ("at", now().to_string())];
        self.line("daemon", &pairs);
    }

    /// Hands a file out, a line at a time.
    pub(crate) fn file(&self, name: &str, text: &str) {
        for line in text.lines() {
            self.line("file", &[("name", quoted(name)), ("line", quoted(line))]);
        }
    }

    pub(crate) fn end(&self) {
        self.line("end", &[]);
    }

    fn line(&self, kind: &str, pairs: &[(&str, String)]) {
        let mut text = format!("{{\"kind\":\"{kind}\",\"seconds\":{:.1}", self.started.elapsed().as_secs_f64());
        for (key, value) in pairs {
            text += &format!(",\"{key}\":{value}");
        }
        text += "}\n";
        let written = self.port.lock().map(|mut port| port.write_all(text.as_bytes()));
        if !matches!(written, Ok(Ok(()))) {
            println!("lab: failed to report {text}");
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Asks until there is an answer.
pub(crate) fn wait<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Result<T, Failure> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if Instant::now() > end {
            return Err(Failure::new(what, format!("it did not happen within {} s", limit.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => quoted += &format!("\\u{:04x}", u32::from(letter)),
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn what_json_reserves_is_escaped() {
        assert_eq!(quoted("a\"b\\c\n"), r#""a\"b\\c\u000a""#);
    }
}
