//! The last words of a guest: the tail of its console log.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// How many lines say enough about why a guest failed.
const LINES: usize = 10;
const TAIL_BYTES: i64 = 8192;

/// The last lines of a console log, without control characters; empty if there is none.
pub(super) fn last_lines(log: &Path) -> Vec<String> {
    let text = tail(log).unwrap_or_default();
    let lines: Vec<String> = text.lines().map(printable).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].to_vec()
}

fn tail(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len().cast_signed();
    file.seek(SeekFrom::Start((length - TAIL_BYTES).max(0).unsigned_abs()))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn printable(line: &str) -> String {
    let kept: String = line.chars().filter(|character| !character.is_control()).collect();
    kept.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ten_lines_are_kept_and_made_printable() {
        let log = tempfile::NamedTempFile::new().expect("a file");
        let text: String = (0..5000).map(|line| format!("[{line}] \u{1b}ok\r\n\r\n")).collect();
        std::fs::write(log.path(), text).expect("written");
        let lines = last_lines(log.path());
        assert_eq!(lines.len(), 10);
        assert_eq!(lines.last().map(String::as_str), Some("[4999] ok"));
    }

    #[test]
    fn a_guest_without_a_console_log_has_no_last_words() {
        assert!(last_lines(Path::new("/nonexistent/console.log")).is_empty());
    }
}
