//! Writing a trace while a run goes on.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use predictor::counters::{Event, Sample, VcpuId};
use tempfile::NamedTempFile;

use super::{Row, TraceError, VERSION, schema};
use crate::journal::run::{GuestDescription, RunDescription};

/// Rows gathered before a row group is written: a few megabytes.
const GROUP_ROWS: usize = 16 * 1024;

/// A trace in the making. Until [`TraceWriter::finish`] only a temporary file stands beside its path; dropping the
/// writer removes that.
pub struct TraceWriter {
    path: PathBuf,
    run: RunDescription,
    file: SerializedFileWriter<NamedTempFile>,
    pending: Vec<Row>,
    rows: u64,
    instructions: BTreeMap<VcpuId, Option<u64>>,
}

impl TraceWriter {
    /// Begins a trace that will stand at `path`.
    pub fn create(path: &Path, run: &RunDescription) -> Result<Self, TraceError> {
        let io = |cause| TraceError::Io { action: "create", file: path.to_owned(), cause };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let temporary = tempfile::Builder::new()
            .prefix(".trace-")
            .suffix(".partial")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(folder)
            .map_err(io)?;
        let write = |reason: ParquetError| TraceError::Write { file: path.to_owned(), reason: reason.to_string() };
        let run_text = serde_json::to_string(run).map_err(|error| io(error.into()))?;
        let metadata = [("phasecast.trace_version", VERSION.to_string()), ("phasecast.run", run_text)];
        let metadata = metadata.map(|(key, value)| KeyValue::new(key.to_owned(), value));
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("phasecast {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(metadata.to_vec()))
            .build();
        let message = parse_message_type(&schema::message()).map_err(write)?;
        let file = SerializedFileWriter::new(temporary, Arc::new(message), Arc::new(properties)).map_err(write)?;
        let (path, run) = (path.to_owned(), run.clone());
        Ok(Self { path, run, file, pending: Vec::new(), rows: 0, instructions: BTreeMap::new() })
    }

    /// Adds the samples of one quantum; names and cumulative instructions come from what the writer knows of the run.
    pub fn add_quantum(&mut self, quantum: u64, samples: &[Sample]) -> Result<(), TraceError> {
        for sample in samples {
            let known = self.run.guests.get(&sample.vcpu.guest).cloned();
            let GuestDescription { name, program, input } = known.unwrap_or_else(|| GuestDescription {
                name: format!("guest-{}", sample.vcpu.guest.0),
                program: String::new(),
                input: String::new(),
            });
            let done = self.instructions.entry(sample.vcpu).or_insert(Some(0));
            let instructions_at_start = *done;
            *done = done.zip(sample.count(Event::Instructions)).map(|(done, more)| done.saturating_add(more));
            let sample = sample.clone();
            self.add_row(Row { quantum, guest_name: name, program, input, instructions_at_start, sample })?;
        }
        Ok(())
    }

    /// Adds a row as it is.
    pub fn add_row(&mut self, row: Row) -> Result<(), TraceError> {
        self.pending.push(row);
        self.rows += 1;
        if self.pending.len() >= GROUP_ROWS { self.write_group() } else { Ok(()) }
    }

    fn write_group(&mut self) -> Result<(), TraceError> {
        let columns = schema::to_columns(&self.pending);
        let mut write = || -> Result<(), ParquetError> {
            let mut group = self.file.next_row_group()?;
            for values in &columns {
                if let Some(mut column) = group.next_column()? {
                    values.write(&mut column)?;
                    column.close()?;
                }
            }
            group.close()?;
            Ok(())
        };
        write().map_err(|reason| TraceError::Write { file: self.path.clone(), reason: reason.to_string() })?;
        self.pending.clear();
        Ok(())
    }

    /// Completes the file and gives it its name, replacing what was there. Answers the number of rows.
    pub fn finish(mut self) -> Result<u64, TraceError> {
        if !self.pending.is_empty() {
            self.write_group()?;
        }
        let Self { path, file, rows, .. } = self;
        let temporary =
            file.into_inner().map_err(|reason| TraceError::Write { file: path.clone(), reason: reason.to_string() })?;
        let io = |cause| TraceError::Io { action: "complete", file: path.clone(), cause };
        temporary.as_file().sync_all().map_err(io)?;
        temporary.persist(&path).map_err(|error| io(error.error))?;
        Ok(rows)
    }
}
