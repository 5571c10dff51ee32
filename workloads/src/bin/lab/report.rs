//! What the lab tells the outside: lines of JSON on its second serial port. Each claim gets one verdict.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

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

/// The port, and whether all claims held.
#[derive(Debug)]
pub(crate) struct Report {
    port: File,
    started: Instant,
}

impl Report {
    pub(crate) fn open() -> Result<Self, Failure> {
        let port = File::options().write(true).open("/dev/ttyS1");
        let port = port.map_err(|error| Failure::new("open the second serial port", error))?;
        Ok(Self { port, started: Instant::now() })
    }

    /// Says what is being done.
    pub(crate) fn tell(&mut self, text: &str) {
        self.line("progress", &[("text", text)], None);
    }

    /// Gives the verdict on a claim; the claim's name stays the same in each release.
    pub(crate) fn verdict(&mut self, claim: &str, outcome: Result<String, Failure>) -> bool {
        let (holds, detail) = match outcome {
            Ok(detail) => (true, detail),
            Err(failure) => (false, failure.to_string()),
        };
        self.line("verdict", &[("claim", claim), ("detail", &detail)], Some(holds));
        holds
    }

    /// Hands a file out, a line at a time.
    pub(crate) fn file(&mut self, name: &str, text: &str) {
        for line in text.lines() {
            self.line("file", &[("name", name), ("line", line)], None);
        }
    }

    pub(crate) fn end(&mut self) {
        self.line("end", &[], None);
    }

    fn line(&mut self, kind: &str, pairs: &[(&str, &str)], holds: Option<bool>) {
        let mut text = format!("{{\"kind\":\"{kind}\",\"seconds\":{:.1}", self.started.elapsed().as_secs_f64());
        for (key, value) in pairs {
            text += &format!(",\"{key}\":{}", quoted(value));
        }
        if let Some(holds) = holds {
            text += &format!(",\"holds\":{holds}");
        }
        text += "}\n";
        if let Err(error) = self.port.write_all(text.as_bytes()) {
            println!("failed to report {text}: {error}");
        }
    }
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
