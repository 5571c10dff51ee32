//! Tables as CSV: a header line, then one row an interval. Which column is what a [`ColumnMap`] says, or the header
//! itself where it is one of the known [`Layout`]s.
//!
//! Counts are of the interval, never running sums. An empty field is a counter that was not read. Numbers have a decimal
//! point whatever the separator: a table with decimal commas is refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::fields::{Field, Separator, number, split};
use super::perf_csv::is_value;
use super::{Amount, Fault, Reading, Refusal};
use crate::input::{self, InputError};

/// The column that holds the end of the interval in seconds.
const TIME: &str = "time_s";
/// The column that says what the row is of, where a table has several series.
const GROUP: &str = "group";

/// Which column of a table is what: for `time_s`, `group` and every event the name in the header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnMap(BTreeMap<String, String>);

impl ColumnMap {
    /// Reads `text`: `OURS=THEIRS,...`, or the path of a TOML file of such pairs.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        if !text.contains('=') {
            return Ok(Self(input::read_toml(Path::new(text))?));
        }
        let mut map = BTreeMap::new();
        for pair in text.split(',') {
            let (ours, theirs) =
                pair.split_once('=').map(|(ours, theirs)| (ours.trim(), theirs.trim())).unwrap_or_default();
            if ours.is_empty() || theirs.is_empty() {
                let remedy = "give pairs as time_s=TIME,instructions=INST,cycles=CYC, or a TOML file of them";
                return Err(InputError::new(format!("{pair:?} maps no column"), remedy).at("--columns"));
            }
            if map.insert(ours.to_owned(), theirs.to_owned()).is_some() {
                return Err(InputError::new(format!("{ours:?} is mapped twice"), "keep one of them").at("--columns"));
            }
        }
        Ok(Self(map))
    }
}

/// A table's layout: one of those that public data sets have, or the user's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A row for each 100 M instructions of a program, from three runs aligned by row, each with its own instructions
    /// (Navarro-Torres et al., PLOS ONE 2019).
    ThreeRuns,
    /// KVM guests by time: `t_s,cycles,instructions`.
    KvmGuests,
    /// Parallel programs on one socket with occupancy and bandwidth.
    NumaSolo,
    /// By a map of columns.
    Mapped,
}

/// Headers that are known: layout, columns that must be there in this order, column of the time.
const KNOWN: [(Layout, &str, Option<&str>); 4] = [
    (
        Layout::ThreeRuns,
        "i,instr_run1,cycles_run1,llc_wr_acc_run1,llc_wr_miss_run1,instr_run2,llc_rd_acc_run2,llc_rd_miss_run2,instr_run3,mem_xfers_run3",
        None,
    ),
    (Layout::KvmGuests, "t_s,cycles,instructions", Some("t_s")),
    (
        Layout::NumaSolo,
        "t_s,interval_s,l2_misses,l3_misses,instructions,core_cycles,stall_cycles,coherence_same_socket,coherence_other_socket,tsc_cycles,llc_occupancy_bytes,mem_local_bytes,mem_remote_bytes",
        Some("t_s"),
    ),
    (
        Layout::NumaSolo,
        "t_s,interval_s,l2_misses,event_r1b2,l3_misses,instructions,core_cycles,stall_cycles,coherence_same_socket,coherence_other_socket,tsc_cycles,llc_occupancy_bytes,mem_local_bytes,mem_remote_bytes",
        Some("t_s"),
    ),
];

/// Columns of known layouts that count nothing.
const NO_COUNTS: [&str; 3] = ["i", "t_s", "interval_s"];

impl Layout {
    /// What it is called in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Layout::ThreeRuns => "rows of equal work from three runs",
            Layout::KvmGuests => "cycles and instructions by time",
            Layout::NumaSolo => "counters, occupancy and bandwidth by time",
            Layout::Mapped => "columns as mapped",
        }
    }
}

/// A table whose header was understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    layout: Layout,
    separator: Separator,
    width: usize,
    time: Option<usize>,
    group: Option<usize>,
    /// Place and name of each column that counts.
    counts: Vec<(usize, Arc<str>)>,
}

impl Table {
    /// The table that `header` begins; `None` if that is no header.
    pub(super) fn of_header(header: &str, columns: Option<&ColumnMap>) -> Result<Option<Self>, Refusal> {
        let fits = |separator: &&Separator| header.contains(separator.0);
        let separator = Separator::ALL.iter().find(fits).copied().unwrap_or(Separator(','));
        let Ok(fields) = split(header, separator) else { return Ok(None) };
        let names: Vec<&str> = fields.iter().map(|field| &*field.text).collect();
        let is_name = |name: &&str| name.is_empty() || is_value(name, Separator(',')) || name.ends_with('%');
        if names.len() < 2 || names.iter().any(is_name) {
            return Ok(None);
        }
        if let Some(map) = columns {
            return Self::mapped(&names, separator, map).map(Some);
        }
        let known = KNOWN.iter().find(|(_, header, _)| header.split(',').eq(names.iter().copied()));
        let Some((layout, _, time)) = known else { return Err(unknown_header(&names)) };
        let place = |wanted: &str| names.iter().position(|name| *name == wanted);
        let counts = (0..).zip(&names).filter(|(_, name)| !NO_COUNTS.contains(name));
        Ok(Some(Self {
            layout: *layout,
            separator,
            width: names.len(),
            time: time.and_then(place),
            group: None,
            counts: counts.map(|(place, name)| (place, Arc::from(*name))).collect(),
        }))
    }

    fn mapped(names: &[&str], separator: Separator, map: &ColumnMap) -> Result<Self, Refusal> {
        let mut table =
            Self { layout: Layout::Mapped, separator, width: names.len(), time: None, group: None, counts: Vec::new() };
        for (ours, theirs) in &map.0 {
            let places: Vec<usize> = (0..names.len()).filter(|place| names[*place] == theirs).collect();
            let [place] = places[..] else {
                let times = if places.is_empty() { "has no column" } else { "has more than one column" };
                let problem = format!("{times} called {theirs:?}, which --columns maps to {ours:?}");
                return Err(Refusal::whole(problem, input::suggest(theirs, names)));
            };
            match ours.as_str() {
                TIME => table.time = Some(place),
                GROUP => table.group = Some(place),
                event => table.counts.push((place, Arc::from(event))),
            }
        }
        if table.counts.is_empty() {
            let remedy = "map events too, as instructions=INST,cycles=CYC";
            return Err(Refusal::whole("gets no event from --columns", remedy));
        }
        Ok(table)
    }

    pub(super) const fn layout(&self) -> Layout {
        self.layout
    }

    pub(super) fn rows(self) -> Rows {
        Rows { table: self, groups: BTreeMap::new(), unit: Arc::from("") }
    }
}

fn unknown_header(names: &[&str]) -> Refusal {
    let shown = names.iter().take(12).copied().collect::<Vec<_>>().join(", ");
    let remedy = "say which is which by --columns time_s=TIME,instructions=INST,cycles=CYC";
    Refusal::whole(format!("is a table with the columns {shown}, which are not known"), remedy)
}

/// Where a group's series has come to.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    run: u32,
    interval: u64,
    time_seconds: Option<f64>,
}

/// Rows of a table, in their order.
pub(super) struct Rows {
    table: Table,
    groups: BTreeMap<Option<Arc<str>>, Place>,
    unit: Arc<str>,
}

impl Rows {
    /// Appends the readings of a row: all of it, or none.
    pub(super) fn read(&mut self, line: &str, readings: &mut Vec<Reading>) -> Result<(), Fault> {
        let table = &self.table;
        let fields = split(line, table.separator)?;
        if fields.len() != table.width {
            let problem = format!("{} fields where the header has {}", fields.len(), table.width);
            return Err(Fault::new(fields.get(table.width).map_or(line.len(), |field| field.at), problem));
        }
        let time = match table.time {
            None => None,
            Some(place) => {
                let time =
                    present(&fields[place])?.ok_or_else(|| Fault::new(fields[place].at, "the time is missing"))?;
                Some(time.as_f64())
            }
        };
        let group: Option<Arc<str>> = table.group.map(|place| Arc::from(&*fields[place].text));
        let values =
            table.counts.iter().map(|(place, _)| present(&fields[*place])).collect::<Result<Vec<_>, Fault>>()?;
        let next = next_place(self.groups.get(&group).copied(), time);
        self.groups.insert(group.clone(), next);
        readings.extend(table.counts.iter().zip(values).map(|((_, event), value)| Reading {
            time_seconds: time,
            event: event.clone(),
            value,
            unit: self.unit.clone(),
            running_ratio: None,
            group: group.clone(),
            run: next.run,
            interval: next.interval,
        }));
        Ok(())
    }
}

/// The place of a row behind `before`; a time that goes back begins another run.
fn next_place(before: Option<Place>, time_seconds: Option<f64>) -> Place {
    let Some(before) = before else { return Place { time_seconds, ..Place::default() } };
    let goes_back = before.time_seconds.zip(time_seconds).is_some_and(|(before, now)| now <= before);
    if goes_back {
        return Place { run: before.run + 1, interval: 0, time_seconds };
    }
    Place { run: before.run, interval: before.interval + 1, time_seconds }
}

/// What other programs write where there is no number.
const ABSENT: [&str; 4] = ["", "NA", "NaN", "nan"];

fn present(field: &Field<'_>) -> Result<Option<Amount>, Fault> {
    if ABSENT.contains(&&*field.text) {
        return Ok(None);
    }
    let problem = || {
        let problem = format!("{:?} is no number as 123, 123.45 or 1.5e+09; leave what was not read empty", field.text);
        Fault::new(field.at, problem)
    };
    number(&field.text).or_else(|| with_exponent(&field.text)).map(Some).ok_or_else(problem)
}

/// The number that `text` is, written as `1.5e+09`.
fn with_exponent(text: &str) -> Option<Amount> {
    let (mantissa, exponent) = text.split_once(['e', 'E'])?;
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    number(mantissa)?;
    let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let value: f64 = text.parse().ok().filter(|value: &f64| whole && value.is_finite())?;
    Some(Amount::Real(value))
}
