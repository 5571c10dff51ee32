//! The last words of a guest: the tail of its console log.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// How many lines say enough about why a guest failed.
const LINES: usize = 10;
const TAIL_BYTES: i64 = 8192;

/// The last lines of a console log, without control characters; empty if there is none.
pub(crate) fn last_lines(log: &Path) -> Vec<String> {
    let text = tail(log).unwrap_or_default();
    let lines: Vec<String> = text.lines().map(printable).filter(|line| !line.is_empty()).collect();
    // After a panic the kernel writes a trace, longer than what fits: the panic itself says why.
    let panic = lines.iter().position(|line| line.contains("Kernel panic"));
    let first = panic.unwrap_or(lines.len()).min(lines.len().saturating_sub(LINES));
    lines.into_iter().skip(first).take(LINES).collect()
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
    fn a_kernels_panic_is_among_the_last_words_however_long_its_trace() {
        let log = tempfile::NamedTempFile::new().expect("a file");
        let trace = (0..30).map(|depth| format!("frame {depth}\n")).collect::<String>();
        std::fs::write(log.path(), format!("init\n[2.8] Kernel panic - not syncing\n{trace}")).expect("written");
        assert_eq!(last_lines(log.path()).first().map(String::as_str), Some("[2.8] Kernel panic - not syncing"));
    }

    #[test]
    fn a_guest_without_a_console_log_has_no_last_words() {
        assert!(last_lines(Path::new("/nonexistent/console.log")).is_empty());
    }
}
