//! The columns of a trace, in their order, and the way between rows and columns. `docs/trace-format.md` explains them.

use std::time::Duration;

use predictor::counters::{AddressSpace, Event, GuestId, PhaseMark, Reading, Readings, Sample, VcpuId};
use predictor::topology::DomainId;

use super::Row;
use super::columns::{ColumnType, Values};

/// The columns that are no counters.
const FIXED: [(&str, ColumnType); 10] = [
    ("quantum", ColumnType::Count),
    ("guest", ColumnType::Count),
    ("guest_name", ColumnType::Text),
    ("program", ColumnType::Text),
    ("input", ColumnType::Text),
    ("vcpu", ColumnType::Count),
    ("domain", ColumnType::Count),
    ("elapsed_ns", ColumnType::Count),
    ("instructions_at_start", ColumnType::CountOrNull),
    ("truth_phase", ColumnType::CountOrNull),
];

/// Columns at the end that came later: traces written before lack them, and are read as if they were null.
pub(super) const LATER: [(&str, ColumnType); 1] = [("address_space", ColumnType::CountOrNull)];

/// Every column's name and type: the fixed ones, then for each event its count and its coverage, then [`LATER`].
pub(super) fn columns() -> Vec<(String, ColumnType)> {
    let fixed = FIXED.into_iter().map(|(name, of)| (name.to_owned(), of));
    let counters = Event::ALL.into_iter().flat_map(|event| {
        let coverage = format!("{}_coverage", event.name());
        [(event.name().to_owned(), ColumnType::CountOrNull), (coverage, ColumnType::ShareOrNull)]
    });
    let later = LATER.into_iter().map(|(name, of)| (name.to_owned(), of));
    fixed.chain(counters).chain(later).collect()
}

/// The schema in Parquet's message language.
#[must_use]
pub fn message() -> String {
    let columns: String = columns().into_iter().map(|(name, of)| format!("  {}\n", of.declare(&name))).collect();
    format!("message phasecast_trace {{\n{columns}}}\n")
}

/// The rows' values, column by column, in the order of [`columns`].
pub(super) fn to_columns(rows: &[Row]) -> Vec<Values> {
    let count = |value: fn(&Row) -> u64| Values::Count(rows.iter().map(value).collect());
    let text = |value: fn(&Row) -> &String| Values::Text(rows.iter().map(value).cloned().collect());
    let count_or_null = |value: fn(&Row) -> Option<u64>| Values::CountOrNull(rows.iter().map(value).collect());
    let mut columns = vec![
        count(|row| row.quantum),
        count(|row| row.sample.vcpu.guest.0.into()),
        text(|row| &row.guest_name),
        text(|row| &row.program),
        text(|row| &row.input),
        count(|row| row.sample.vcpu.index.into()),
        count(|row| row.sample.domain.0.into()),
        // 584 years fit.
        count(|row| u64::try_from(row.sample.elapsed.as_nanos()).unwrap_or(u64::MAX)),
        count_or_null(|row| row.instructions_at_start),
        count_or_null(|row| row.sample.truth.map(|mark| mark.0.into())),
    ];
    for event in Event::ALL {
        let readings = || rows.iter().map(move |row| row.sample.readings.get(event));
        columns.push(Values::CountOrNull(readings().map(Reading::count).collect()));
        columns.push(Values::ShareOrNull(readings().map(coverage).collect()));
    }
    columns.push(count_or_null(|row| row.sample.address_space.map(AddressSpace::number)));
    columns
}

fn coverage(reading: Reading) -> Option<f64> {
    match reading {
        Reading::Scaled { coverage, .. } => Some(coverage),
        Reading::Exact(_) | Reading::Absent => None,
    }
}

/// The rows in `columns`, which stand in the order of [`columns`] and are equally long; else what is wrong with them.
pub(super) fn to_rows(columns: Vec<Values>) -> Result<Vec<Row>, String> {
    let mut take = Taker(columns.into_iter());
    let quantum = take.counts()?;
    let guest = take.counts()?;
    let (guest_name, program, input) = (take.texts()?, take.texts()?, take.texts()?);
    let (vcpu, domain, elapsed_ns) = (take.counts()?, take.counts()?, take.counts()?);
    let (instructions_at_start, truth) = (take.counts_or_null()?, take.counts_or_null()?);
    let mut counters = Vec::with_capacity(Event::ALL.len());
    for event in Event::ALL {
        counters.push((event, take.counts_or_null()?, take.shares_or_null()?));
    }
    let address_space = take.counts_or_null()?;
    let texts = guest_name.into_iter().zip(program).zip(input);
    texts
        .enumerate()
        .map(|(row, ((guest_name, program), input))| {
            let mut readings = Vec::with_capacity(Event::ALL.len());
            for (event, counts, coverages) in &counters {
                readings.push((*event, reading(*event, counts[row], coverages[row])?));
            }
            let vcpu = VcpuId { guest: GuestId(small(guest[row], "guest")?), index: small(vcpu[row], "vcpu")? };
            let sample = Sample {
                vcpu,
                domain: DomainId(small(domain[row], "domain")?),
                elapsed: Duration::from_nanos(elapsed_ns[row]),
                readings: Readings::new(readings),
                address_space: address_space[row].map(space).transpose()?,
                truth: truth[row].map(|mark| small(mark, "truth_phase").map(PhaseMark)).transpose()?,
            };
            let instructions_at_start = instructions_at_start[row];
            Ok(Row { quantum: quantum[row], guest_name, program, input, instructions_at_start, sample })
        })
        .collect()
}

fn reading(event: Event, count: Option<u64>, coverage: Option<f64>) -> Result<Reading, String> {
    match (count, coverage) {
        (None, None) => Ok(Reading::Absent),
        (Some(count), None) => Ok(Reading::Exact(count)),
        (Some(estimate), Some(coverage)) if coverage > 0.0 && coverage < 1.0 => {
            Ok(Reading::Scaled { estimate, coverage })
        }
        (_, Some(coverage)) => {
            Err(format!("column {}_coverage has {coverage} where no estimate can have it", event.name()))
        }
    }
}

fn space(number: u64) -> Result<AddressSpace, String> {
    AddressSpace::try_from(number).map_err(|wrong| format!("column address_space: {wrong}"))
}

fn small(value: u64, column: &str) -> Result<u32, String> {
    u32::try_from(value).map_err(|_| format!("column {column} has {value}, which is no id"))
}

/// Hands out columns in their order, by type.
struct Taker(std::vec::IntoIter<Values>);

/// The columns do not come in the order of [`columns`]: a mistake of the caller, reported all the same.
const MISORDERED: &str = "the columns are not in the order of the schema";

impl Taker {
    fn counts(&mut self) -> Result<Vec<u64>, String> {
        if let Some(Values::Count(values)) = self.0.next() { Ok(values) } else { Err(MISORDERED.to_owned()) }
    }

    fn counts_or_null(&mut self) -> Result<Vec<Option<u64>>, String> {
        if let Some(Values::CountOrNull(values)) = self.0.next() { Ok(values) } else { Err(MISORDERED.to_owned()) }
    }

    fn shares_or_null(&mut self) -> Result<Vec<Option<f64>>, String> {
        if let Some(Values::ShareOrNull(values)) = self.0.next() { Ok(values) } else { Err(MISORDERED.to_owned()) }
    }

    fn texts(&mut self) -> Result<Vec<String>, String> {
        if let Some(Values::Text(values)) = self.0.next() { Ok(values) } else { Err(MISORDERED.to_owned()) }
    }
}
