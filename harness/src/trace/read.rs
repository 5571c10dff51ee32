//! Reading a trace, and refusing what is none.

use std::fs::File;
use std::io::{Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::basic::{Repetition, Type as PhysicalType};
use parquet::file::metadata::FileMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::columns::ColumnType;
use super::{Row, TraceError, VERSION, schema};
use crate::journal::run::RunDescription;

/// A trace, whole in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// What the run was.
    pub run: RunDescription,
    /// Its samples, in the order in which they were written: by quantum, then by vCPU.
    pub rows: Vec<Row>,
}

impl Trace {
    /// Reads the trace at `path`. Columns that this release does not know are ignored; a missing one, another version
    /// or a damaged file is refused.
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let io = |cause| TraceError::Io { action: "open", file: path.to_owned(), cause };
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.is_dir() {
            return Err(unreadable(path, "it is a folder; give a file".to_owned()));
        }
        Self::parse(path, file)
    }

    /// Reads the trace that `bytes` are, which came from `path`.
    pub fn read_bytes(path: &Path, bytes: &[u8]) -> Result<Self, TraceError> {
        let io = |cause| TraceError::Io { action: "unpack", file: path.to_owned(), cause };
        let mut file = tempfile::tempfile().map_err(io)?;
        file.write_all(bytes).and_then(|()| file.rewind()).map_err(io)?;
        Self::parse(path, file)
    }

    fn parse(path: &Path, file: File) -> Result<Self, TraceError> {
        // The Parquet layer answers most damage with an error and some with a panic; nothing it touched outlives it.
        let answer = catch_unwind(AssertUnwindSafe(|| parse(file)));
        let answer = answer.unwrap_or_else(|_| Err("it is damaged; record it again".to_owned()));
        answer.map_err(|problem| unreadable(path, problem))
    }
}

fn unreadable(path: &Path, problem: String) -> TraceError {
    TraceError::Unreadable { file: path.to_owned(), problem }
}

fn parse(file: File) -> Result<Trace, String> {
    let damaged = "record it again; a complete trace ends with a footer that describes it";
    let reader = SerializedFileReader::new(file)
        .map_err(|error| format!("it is no Parquet file, or it was cut short ({error}); {damaged}"))?;
    let metadata = reader.metadata().file_metadata();
    check_version(metadata)?;
    let run = value(metadata, "phasecast.run").ok_or("it does not say which run it is of; record it again")?;
    let run: RunDescription =
        serde_json::from_str(run).map_err(|error| format!("its description of the run is broken: {error}"))?;

    let wanted = schema::columns();
    let places = wanted.iter().map(|(name, of)| find(metadata, name, *of)).collect::<Result<Vec<_>, _>>()?;
    let mut values: Vec<_> = wanted.iter().map(|(_, of)| of.empty()).collect();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(|error| format!("it is damaged: {error}; {damaged}"))?;
        for ((values, place), (name, _)) in values.iter_mut().zip(&places).zip(&wanted) {
            let in_column = |error| format!("column {name} is damaged: {error}; record the trace again");
            match place {
                Some(place) => values.read(group.as_ref(), *place).map_err(in_column)?,
                None => values.skip(usize::try_from(group.metadata().num_rows()).unwrap_or_default()),
            }
        }
    }
    Ok(Trace { run, rows: schema::to_rows(values)? })
}

fn check_version(metadata: &FileMetaData) -> Result<(), String> {
    let version = value(metadata, "phasecast.trace_version")
        .ok_or("it is a Parquet file but no trace of Phasecast; give one that `phasecast record` wrote")?;
    if version == VERSION.to_string() {
        return Ok(());
    }
    Err(format!("it has format version {version:?}, and this release reads version {VERSION}; record it again"))
}

fn value<'a>(metadata: &'a FileMetaData, key: &str) -> Option<&'a str> {
    let pairs = metadata.key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.as_deref())
}

/// Where the column stands in the file, if it is there and of the right type; `None` of one that came later.
fn find(metadata: &FileMetaData, name: &str, of: ColumnType) -> Result<Option<usize>, String> {
    let columns = metadata.schema_descr().columns();
    let Some(place) = columns.iter().position(|column| column.path().string() == name) else {
        let came_later = schema::LATER.iter().any(|(later, _)| *later == name);
        return if came_later { Ok(None) } else { Err(format!("column {name} is missing; record the trace again")) };
    };
    let basic = columns[place].self_type().get_basic_info();
    let found = (columns[place].physical_type(), basic.repetition());
    let expected = match of {
        ColumnType::Count => (PhysicalType::INT64, Repetition::REQUIRED),
        ColumnType::CountOrNull => (PhysicalType::INT64, Repetition::OPTIONAL),
        ColumnType::ShareOrNull => (PhysicalType::DOUBLE, Repetition::OPTIONAL),
        ColumnType::Text => (PhysicalType::BYTE_ARRAY, Repetition::REQUIRED),
    };
    if found == expected {
        return Ok(Some(place));
    }
    Err(format!("column {name} is {:?} {:?} and should be {:?} {:?}", found.1, found.0, expected.1, expected.0))
}
