//! Counters that other programs recorded: `perf stat -x` and `-j`, tables as CSV, and our own traces, gzip or plain.
//!
//! Owns telling the formats apart and reading each of them, or refusing it: a number is never guessed. [`Reading`]s are what
//! a file says, one by one; [`recorded`] puts them together by interval, and [`events`] says which of our events each is.
//! `docs/import.md` describes the formats.
//!
//! A bad row ends the import, unless it is told to be [`Strictness::Lenient`]: then bad rows are counted and skipped, and
//! only a file of which nothing could be read is refused.

mod bytes;
pub mod events;
mod fields;
mod perf_csv;
mod perf_json;
pub mod recorded;
pub mod table;
pub mod to_trace;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::input::InputError;
use crate::trace::{Trace, TraceError};
use table::{ColumnMap, Layout, Table};

/// A number as a file has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// A count.
    Whole(u64),
    /// Anything else that is not negative, as milliseconds.
    Real(f64),
}

impl Amount {
    /// The number; counts above 2^53 are rounded.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            Amount::Whole(count) => count as f64,
            Amount::Real(number) => number,
        }
    }

    /// The number as a count, rounded to the nearest.
    #[must_use]
    pub fn as_count(self) -> u64 {
        match self {
            Amount::Whole(count) => count,
            Amount::Real(number) => number.round() as u64,
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Amount::Whole(count) => serializer.serialize_u64(*count),
            Amount::Real(number) => serializer.serialize_f64(*number),
        }
    }
}

/// One counter over one interval, as the file has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reading {
    /// End of the interval in seconds since the recording began; `None` where the file has no time.
    #[serde(rename = "time")]
    pub time_seconds: Option<f64>,
    /// The event, by the name that the file gives it.
    #[serde(serialize_with = "as_text")]
    pub event: Arc<str>,
    /// What was counted; `None` where it was not counted or cannot be.
    pub value: Option<Amount>,
    /// The unit; empty for a plain count.
    #[serde(serialize_with = "as_text")]
    pub unit: Arc<str>,
    /// The share of the time in which the counter ran; `None` where the format does not say.
    pub running_ratio: Option<f64>,
    /// The socket, core, CPU, thread, cgroup or guest it is of, where the file tells them apart.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text_or_null")]
    pub group: Option<Arc<str>>,
    /// The recording in the file, from 0: a file may hold several.
    #[serde(skip)]
    pub run: u32,
    /// The interval in the recording, from 0.
    #[serde(skip)]
    pub interval: u64,
}

fn as_text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

fn as_text_or_null<S: Serializer>(text: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    text.as_deref().serialize(serializer)
}

/// A reading of a row, not yet placed in a run.
#[derive(Debug, Clone, PartialEq)]
struct RawReading {
    time_seconds: Option<f64>,
    group: Option<String>,
    value: Option<Amount>,
    unit: String,
    event: String,
    running_ratio: Option<f64>,
}

/// What is wrong with a line, and the byte at which.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    at: usize,
    problem: String,
}

impl Fault {
    fn new(at: usize, problem: impl Into<String>) -> Self {
        Self { at, problem: problem.into() }
    }

    /// The same with its line's number and text.
    fn in_line(self, number: usize, line: &str) -> BadRow {
        let at = (0..=self.at.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        BadRow { line: number, column: line[..at].chars().count() + 1, problem: self.problem }
    }
}

/// A row that cannot be read, by line and column from 1; columns are characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRow {
    /// The line.
    pub line: usize,
    /// The character of the line.
    pub column: usize,
    /// What is wrong there.
    pub problem: String,
}

impl std::fmt::Display for BadRow {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "line {}, column {}: {}", self.line, self.column, self.problem)
    }
}

/// What a file turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// `perf stat -x`, with this separator.
    PerfCsv(char),
    /// `perf stat -j`.
    PerfJson,
    /// A table with a header line.
    Table(Layout),
    /// A trace of ours.
    Trace,
}

impl std::fmt::Display for Format {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Format::PerfCsv(separator) => write!(out, "perf stat -x {separator:?}"),
            Format::PerfJson => write!(out, "perf stat -j"),
            Format::Table(layout) => write!(out, "table, {}", layout.name()),
            Format::Trace => write!(out, "trace of Phasecast"),
        }
    }
}

/// What to do about bad rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// The first one ends the import.
    Strict,
    /// They are counted and skipped.
    Lenient,
}

/// A file, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// What it is.
    pub format: Format,
    /// Its readings, in the file's order.
    pub readings: Vec<Reading>,
    /// Rows that were skipped.
    pub skipped: Vec<BadRow>,
    /// The program that each group runs, where the file says.
    pub programs: BTreeMap<Arc<str>, String>,
}

impl Import {
    fn empty(format: Format) -> Self {
        Self { format, readings: Vec::new(), skipped: Vec::new(), programs: BTreeMap::new() }
    }
}

/// Reads the file at `path`. Tables whose header is not known need `columns`.
pub fn read(path: &Path, columns: Option<&ColumnMap>, strictness: Strictness) -> Result<Import, InputError> {
    let bytes = bytes::read(path)?;
    if bytes.starts_with(b"PAR1") {
        let trace = Trace::read_bytes(path, &bytes).map_err(TraceError::into_input)?;
        let (readings, programs) = (recorded::of_trace(&trace), recorded::programs(&trace));
        return Ok(Import { readings, programs, ..Import::empty(Format::Trace) });
    }
    parse(&bytes, columns, strictness).map_err(|refusal| {
        let mistake = match refusal.bad_row {
            Some(row) => {
                let place = format!("line {}, column {}", row.line, row.column);
                let remedy = "correct it, or skip such rows with --lenient";
                InputError::new(row.problem, remedy).at(place)
            }
            None => InputError::new(refusal.problem, refusal.remedy),
        };
        mistake.in_file(path)
    })
}

/// Why a text is not read: a bad row, or the whole of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The row, if one is to blame.
    pub bad_row: Option<BadRow>,
    /// What is wrong with the whole.
    pub problem: String,
    /// What to do about that.
    pub remedy: String,
}

impl Refusal {
    fn whole(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { bad_row: None, problem: problem.into(), remedy: remedy.into() }
    }
}

impl From<BadRow> for Refusal {
    fn from(row: BadRow) -> Self {
        Self { bad_row: Some(row), problem: String::new(), remedy: String::new() }
    }
}

/// Reads a text of any of the formats but Parquet. No bytes make it panic.
pub fn parse(bytes: &[u8], columns: Option<&ColumnMap>, strictness: Strictness) -> Result<Import, Refusal> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let binary = bytes.contains(&0) || bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    if binary {
        let remedy = "give what perf stat -x, or -j wrote, a CSV file in UTF-8, or a trace";
        return Err(Refusal::whole("is no text in UTF-8", remedy));
    }
    let lines = Lines { bytes, strictness };
    let Some(first) = lines.numbered().find_map(|(_, line)| line.ok().filter(|line| !is_comment(line))) else {
        return Err(Refusal::whole("holds no reading", "give a recording that has counts"));
    };
    if let Some(reason) = for_people(bytes) {
        return Err(Refusal::whole(reason, "record it again with perf stat -x, or -j"));
    }
    let import = if first.trim_start().starts_with(['{', '[']) {
        lines.read(Format::PerfJson, &mut perf_json::row)
    } else {
        match Table::of_header(first, columns) {
            Ok(Some(table)) => lines.read_table(table),
            Ok(None) if columns.is_some() => {
                Err(Refusal::whole("has no header that the map of columns could name", "leave --columns out"))
            }
            // A torn first row may look like the header of an unknown table.
            Err(refusal) if columns.is_some() || !lines.have_perf_rows() => Err(refusal),
            Ok(None) | Err(_) => {
                let separator = perf_csv::separator_of(first);
                let mut row = |line: &str| Ok(perf_csv::row(line, separator)?.into_iter().collect());
                lines.read(Format::PerfCsv(separator.0), &mut row)
            }
        }
    }?;
    match import.skipped.first() {
        Some(first) if import.readings.is_empty() => Err(first.clone().into()),
        _ => Ok(import),
    }
}

/// Lines that say when a recording began, and empty ones.
fn is_comment(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// Why the text is perf stat's output for people, if it is.
fn for_people(bytes: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(64 << 10)]).into_owned();
    let heading = |line: &str| line.starts_with('#') && line.contains("counts") && line.contains("unit");
    if !head.contains("Performance counter stats for") && !head.lines().any(heading) {
        return None;
    }
    let grouped = |mark: char| {
        let is_group = |word: &str| {
            let mut parts = word.split(mark);
            let first = parts.next().is_some_and(|part| (1..=3).contains(&part.len()) && is_digits(part));
            let others: Vec<&str> = parts.collect();
            first && others.len() >= 2 && others.iter().all(|part| part.len() == 3 && is_digits(part))
        };
        head.split_whitespace().any(is_group)
    };
    let marks = match (grouped('.'), grouped(',')) {
        (true, _) => ": columns for people, '.' groups thousands and ',' is the decimal mark",
        (_, true) => ": columns for people, ',' groups thousands",
        _ => ": columns for people, whose digits depend on the language",
    };
    Some(format!("not machine-readable output of perf stat{marks}"))
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Rows that are looked at to tell what a text is.
const ROWS_TRIED: usize = 20;

/// The lines of a text, and what to do about bad ones.
struct Lines<'a> {
    bytes: &'a [u8],
    strictness: Strictness,
}

impl<'a> Lines<'a> {
    /// Every line with its number, without its end.
    fn numbered(&self) -> impl Iterator<Item = (usize, Result<&'a str, Fault>)> + use<'a> {
        let text = |line: &'a [u8]| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            str::from_utf8(line).map_err(|_| Fault::new(0, "is no text in UTF-8"))
        };
        (1..).zip(self.bytes.split(|byte| *byte == b'\n').map(text))
    }

    /// Whether one of the first rows is one of `perf stat -x,`.
    fn have_perf_rows(&self) -> bool {
        let mut rows =
            self.numbered().filter_map(|(_, line)| line.ok()).filter(|line| !is_comment(line)).take(ROWS_TRIED);
        rows.any(|line| matches!(perf_csv::row(line, perf_csv::separator_of(line)), Ok(Some(_))))
    }

    fn read(
        &self,
        format: Format,
        row: &mut dyn FnMut(&str) -> Result<Vec<RawReading>, Fault>,
    ) -> Result<Import, Refusal> {
        let mut import = Import::empty(format);
        let mut places = recorded::Places::default();
        for (number, line) in self.numbered() {
            let text = line.as_ref().copied().unwrap_or_default();
            match line.and_then(|line| if is_comment(line) { Ok(Vec::new()) } else { row(line) }) {
                Ok(found) if found.is_empty() && text.trim_start().starts_with('#') => places.new_run(),
                Ok(found) => import.readings.extend(found.into_iter().map(|raw| places.place(raw))),
                Err(fault) => self.bad_row(fault.in_line(number, text), &mut import.skipped)?,
            }
        }
        Ok(import)
    }

    fn read_table(&self, table: Table) -> Result<Import, Refusal> {
        let mut import = Import::empty(Format::Table(table.layout()));
        let mut rows = table.rows();
        let lines = self.numbered().filter(|(_, line)| !matches!(line, Ok(line) if is_comment(line)));
        for (number, line) in lines.skip(1) {
            let text = line.as_ref().copied().unwrap_or_default();
            if let Err(fault) = line.and_then(|line| rows.read(line, &mut import.readings)) {
                self.bad_row(fault.in_line(number, text), &mut import.skipped)?;
            }
        }
        Ok(import)
    }

    fn bad_row(&self, row: BadRow, skipped: &mut Vec<BadRow>) -> Result<(), Refusal> {
        match self.strictness {
            Strictness::Strict => Err(row.into()),
            Strictness::Lenient => {
                skipped.push(row);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
