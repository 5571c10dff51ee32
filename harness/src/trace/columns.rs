//! Columns of a Parquet file through the crate's low-level interface: values that may be null, of the three types that
//! a trace needs. What the columns mean is [`super::schema`]'s business.

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::RowGroupReader;
use parquet::file::writer::SerializedColumnWriter;

/// What a column holds, and whether it may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnType {
    /// An unsigned 64-bit integer in every row.
    Count,
    /// An unsigned 64-bit integer or null.
    CountOrNull,
    /// A double or null.
    ShareOrNull,
    /// Text in every row.
    Text,
}

impl ColumnType {
    /// The column's declaration in Parquet's message language.
    pub(super) fn declare(self, name: &str) -> String {
        match self {
            ColumnType::Count => format!("REQUIRED INT64 {name} (INTEGER(64,false));"),
            ColumnType::CountOrNull => format!("OPTIONAL INT64 {name} (INTEGER(64,false));"),
            ColumnType::ShareOrNull => format!("OPTIONAL DOUBLE {name};"),
            ColumnType::Text => format!("REQUIRED BYTE_ARRAY {name} (STRING);"),
        }
    }

    /// No values of this type.
    pub(super) fn empty(self) -> Values {
        match self {
            ColumnType::Count => Values::Count(Vec::new()),
            ColumnType::CountOrNull => Values::CountOrNull(Vec::new()),
            ColumnType::ShareOrNull => Values::ShareOrNull(Vec::new()),
            ColumnType::Text => Values::Text(Vec::new()),
        }
    }
}

/// One column's values, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    Count(Vec<u64>),
    CountOrNull(Vec<Option<u64>>),
    ShareOrNull(Vec<Option<f64>>),
    Text(Vec<String>),
}

impl Values {
    /// Writes the column into a row group. Counts keep their bits; the declaration says that they are unsigned.
    pub(super) fn write(&self, column: &mut SerializedColumnWriter<'_>) -> Result<()> {
        match self {
            Values::Count(values) => {
                let bits: Vec<i64> = values.iter().map(|count| count.cast_signed()).collect();
                column.typed::<Int64Type>().write_batch(&bits, None, None)?;
            }
            Values::CountOrNull(values) => {
                let bits: Vec<i64> = values.iter().flatten().map(|count| count.cast_signed()).collect();
                column.typed::<Int64Type>().write_batch(&bits, Some(&levels(values)), None)?;
            }
            Values::ShareOrNull(values) => {
                let present: Vec<f64> = values.iter().flatten().copied().collect();
                column.typed::<DoubleType>().write_batch(&present, Some(&levels(values)), None)?;
            }
            Values::Text(values) => {
                let bytes: Vec<ByteArray> = values.iter().map(|text| ByteArray::from(text.as_str())).collect();
                column.typed::<ByteArrayType>().write_batch(&bytes, None, None)?;
            }
        }
        Ok(())
    }

    /// Appends `rows` rows without a value; a column in which every row has one stays as it is.
    pub(super) fn skip(&mut self, rows: usize) {
        match self {
            Values::CountOrNull(values) => values.extend(std::iter::repeat_n(None, rows)),
            Values::ShareOrNull(values) => values.extend(std::iter::repeat_n(None, rows)),
            Values::Count(_) | Values::Text(_) => {}
        }
    }

    /// Reads the column at `place` of a row group and appends its values to these.
    pub(super) fn read(&mut self, group: &dyn RowGroupReader, place: usize) -> Result<()> {
        let rows = group.metadata().num_rows();
        let rows = usize::try_from(rows).map_err(|_| ParquetError::General(format!("a group of {rows} rows")))?;
        match (self, group.get_column_reader(place)?) {
            (Values::Count(values), ColumnReader::Int64ColumnReader(reader)) => {
                values.extend(every_value(reader, rows)?.into_iter().map(i64::cast_unsigned));
            }
            (Values::CountOrNull(values), ColumnReader::Int64ColumnReader(reader)) => {
                let present = values_or_null(reader, rows)?;
                values.extend(present.into_iter().map(|bits| bits.map(i64::cast_unsigned)));
            }
            (Values::ShareOrNull(values), ColumnReader::DoubleColumnReader(reader)) => {
                values.extend(values_or_null(reader, rows)?);
            }
            (Values::Text(values), ColumnReader::ByteArrayColumnReader(reader)) => {
                for bytes in every_value(reader, rows)? {
                    values.push(bytes.as_utf8()?.to_owned());
                }
            }
            _ => return Err(ParquetError::General("a value of another type".to_owned())),
        }
        Ok(())
    }
}

/// 1 where there is a value, 0 where there is none.
fn levels<T>(values: &[Option<T>]) -> Vec<i16> {
    values.iter().map(|value| i16::from(value.is_some())).collect()
}

fn every_value<T: DataType>(mut reader: ColumnReaderImpl<T>, rows: usize) -> Result<Vec<T::T>> {
    let mut values = Vec::new();
    reader.read_records(rows, None, None, &mut values)?;
    whole(values.len(), rows)?;
    Ok(values)
}

fn values_or_null<T: DataType>(mut reader: ColumnReaderImpl<T>, rows: usize) -> Result<Vec<Option<T::T>>> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    reader.read_records(rows, Some(&mut levels), None, &mut values)?;
    whole(levels.len(), rows)?;
    let mut values = values.into_iter();
    Ok(levels.into_iter().map(|level| if level > 0 { values.next() } else { None }).collect())
}

fn whole(found: usize, rows: usize) -> Result<()> {
    if found == rows {
        return Ok(());
    }
    Err(ParquetError::General(format!("{found} values where there are {rows} rows")))
}
