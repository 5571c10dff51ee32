//! The doctor's report for people: one block a check, wrapped to a terminal of 100 columns.

use std::fmt::{Formatter, Result};

use super::{Report, State};

const WIDTH: usize = 100;
const MARGIN: usize = 30;

pub(super) fn write(report: &Report, out: &mut Formatter<'_>) -> Result {
    writeln!(out, "What this machine can be:")?;
    for verdict in &report.verdicts {
        block(out, verdict.state, verdict.host, &verdict.reason)?;
    }
    writeln!(out, "\nWhat was looked at:")?;
    for check in &report.checks {
        block(out, check.state, &check.name, &check.found)?;
        paragraph(out, "", &check.meaning)?;
        if let Some(remedy) = &check.remedy {
            paragraph(out, "to do: ", remedy)?;
        }
    }
    Ok(())
}

fn block(out: &mut Formatter<'_>, state: State, name: &str, text: &str) -> Result {
    let state = match state {
        State::Ok => "ok",
        State::Limited => "limited",
        State::Missing => "missing",
    };
    let mut lines = wrap(text, WIDTH - MARGIN).into_iter();
    writeln!(out, "  {state:<8}{name:<20}{}", lines.next().unwrap_or_default())?;
    lines.try_for_each(|line| writeln!(out, "{:MARGIN$}{line}", ""))
}

fn paragraph(out: &mut Formatter<'_>, label: &str, text: &str) -> Result {
    let lines = wrap(&format!("{label}{text}"), WIDTH - MARGIN);
    lines.into_iter().try_for_each(|line| writeln!(out, "{:MARGIN$}{line}", ""))
}

/// Breaks `text` at blanks so that no line is longer than `width` characters, unless one word is.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Check, Verdict};

    #[test]
    fn columns_line_up_and_long_text_stays_in_its_column() {
        let report = Report {
            verdicts: vec![Verdict { host: "live", state: State::Missing, reason: "needs a PMU".into() }],
            checks: vec![
                Check::new("memory", State::Ok, "12 GiB available", "enough for 40 guests of 256 MiB".repeat(3))
                    .remedy("nothing"),
            ],
        };
        let text = report.to_string();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("  missing live                needs a PMU\n"), "{text}");
        assert!(text.contains("  ok      memory              12 GiB available\n"), "{text}");
        assert!(text.contains("                              to do: nothing\n"), "{text}");
    }

    #[test]
    fn no_word_is_lost_in_wrapping() {
        let text = "one two  three-and-a-very-long-word four";
        assert_eq!(wrap(text, 8), ["one two", "three-and-a-very-long-word", "four"]);
    }
}
