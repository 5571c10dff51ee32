//! Claims about traces: what is written is read again, and what is no trace is refused in words that help.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use predictor::counters::{AddressSpace, Event, GuestId, PhaseMark, Reading, Readings, Sample, VcpuId};
use predictor::topology::{CpuId, DomainId, LlcDomain, NodeId, Topology};
use proptest::prelude::*;

use super::{Row, Trace, TraceWriter, schema};
use crate::journal::run::{GuestDescription, RunDescription};

fn run() -> RunDescription {
    let domain = LlcDomain { id: DomainId(0), node: NodeId(0), cpus: vec![CpuId(0)], llc_bytes: Some(1 << 20) };
    let guest =
        |name: &str| GuestDescription { name: name.to_owned(), program: "bzip2".to_owned(), input: "ref".to_owned() };
    RunDescription {
        purpose: "record".to_owned(),
        host: "simulated".to_owned(),
        machine: "one".to_owned(),
        mix: "example".to_owned(),
        policy: "stay-put".to_owned(),
        seed: u64::MAX,
        quantum: Duration::from_micros(5),
        frequency_hz: Some(2_000_000_000),
        llc_latency_cycles: Some(40),
        memory_latency_cycles: Some(200),
        memory_bytes_per_cycle: Some(0.1),
        topology: Topology::new(vec![domain]).expect("sound"),
        events: BTreeSet::from([Event::Instructions]),
        guests: BTreeMap::from([(GuestId(0), guest("alpha"))]),
        revision: "0.1.0".to_owned(),
    }
}

fn sample(guest: u32, instructions: Option<u64>) -> Sample {
    Sample {
        vcpu: VcpuId { guest: GuestId(guest), index: 0 },
        domain: DomainId(0),
        elapsed: Duration::from_micros(5),
        readings: Readings::new(instructions.map(|count| (Event::Instructions, Reading::Exact(count)))),
        address_space: None,
        truth: None,
    }
}

fn reading() -> impl Strategy<Value = Reading> {
    prop_oneof![
        any::<u64>().prop_map(Reading::Exact),
        (any::<u64>(), 0.000_001..0.999_999f64).prop_map(|(estimate, coverage)| Reading::Scaled { estimate, coverage }),
        Just(Reading::Absent),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let readings = proptest::collection::vec(reading(), Event::ALL.len())
        .prop_map(|readings| Readings::new(Event::ALL.into_iter().zip(readings)));
    let sample = (any::<[u32; 3]>(), any::<u64>(), readings, any::<Option<u32>>(), any::<u64>()).prop_map(
        |([guest, index, domain], elapsed_ns, readings, truth, cr3)| Sample {
            vcpu: VcpuId { guest: GuestId(guest), index },
            domain: DomainId(domain),
            elapsed: Duration::from_nanos(elapsed_ns),
            readings,
            address_space: AddressSpace::of_cr3(cr3 % 0x8000),
            truth: truth.map(PhaseMark),
        },
    );
    (any::<u64>(), any::<[String; 3]>(), any::<Option<u64>>(), sample).prop_map(
        |(quantum, [guest_name, program, input], instructions_at_start, sample)| Row {
            quantum,
            guest_name,
            program,
            input,
            instructions_at_start,
            sample,
        },
    )
}

fn write(path: &Path, rows: &[Row]) {
    let mut writer = TraceWriter::create(path, &run()).expect("writable");
    for row in rows {
        writer.add_row(row.clone()).expect("writable");
    }
    assert_eq!(writer.finish().expect("writable"), rows.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_written_is_read_again(rows in proptest::collection::vec(row(), 0..20)) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("t.parquet");
        write(&path, &rows);
        let trace = Trace::read(&path).expect("just written");
        prop_assert_eq!(trace.run, run());
        prop_assert_eq!(trace.rows, rows);
    }
}

#[test]
fn a_trace_longer_than_one_row_group_is_read_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("t.parquet");
    let mut writer = TraceWriter::create(&path, &run()).expect("writable");
    for quantum in 0..20_000 {
        writer.add_quantum(quantum, &[sample(0, Some(quantum))]).expect("writable");
    }
    writer.finish().expect("writable");
    let rows = Trace::read(&path).expect("just written").rows;
    assert_eq!(rows.len(), 20_000);
    assert!((0..).zip(&rows).all(|(quantum, row)| row.quantum == quantum));
}

#[test]
fn cumulative_instructions_are_unknown_after_a_gap() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("t.parquet");
    let mut writer = TraceWriter::create(&path, &run()).expect("writable");
    for (quantum, counts) in [(0, [Some(10), Some(1)]), (1, [None, Some(1)]), (2, [Some(10), Some(1)])] {
        writer.add_quantum(quantum, &[sample(0, counts[0]), sample(1, counts[1])]).expect("writable");
    }
    writer.finish().expect("writable");
    let rows = Trace::read(&path).expect("just written").rows;
    let of = |guest: u32| -> Vec<Option<u64>> {
        let mine = rows.iter().filter(|row| row.sample.vcpu.guest == GuestId(guest));
        mine.map(|row| row.instructions_at_start).collect()
    };
    assert_eq!(of(0), [Some(0), Some(10), None]);
    assert_eq!(of(1), [Some(0), Some(1), Some(2)]);
    assert_eq!((rows[0].guest_name.as_str(), rows[0].program.as_str()), ("alpha", "bzip2"));
    assert_eq!((rows[1].guest_name.as_str(), rows[1].program.as_str()), ("guest-1", ""));
}

#[test]
fn nothing_of_that_name_exists_before_the_trace_is_complete() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("t.parquet");
    let mut writer = TraceWriter::create(&path, &run()).expect("writable");
    writer.add_quantum(0, &[sample(0, Some(1))]).expect("writable");
    assert!(!path.exists());
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

/// What the reader says of a Parquet file of one required column `quantum` and this metadata.
fn complaint_about(message: &str, metadata: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("t.parquet");
    let pairs = metadata.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), (*value).to_owned())).collect();
    let properties = WriterProperties::builder().set_key_value_metadata(Some(pairs)).build();
    let schema = parse_message_type(message).expect("a schema");
    let file = std::fs::File::create(&path).expect("writable");
    let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).expect("writable");
    writer.close().expect("writable");
    let complaint = Trace::read(&path).expect_err("no trace").to_string();
    complaint.replace(&path.display().to_string(), "T")
}

#[test]
fn what_is_no_trace_of_this_version_is_refused_by_name() {
    let one_column = "message m { REQUIRED INT64 quantum (INTEGER(64,false)); }";
    let run = serde_json::to_string(&run()).expect("plain data");
    assert_eq!(
        complaint_about(one_column, &[]),
        "failed to read trace T: it is a Parquet file but no trace of Phasecast; give one that `phasecast record` wrote"
    );
    assert_eq!(
        complaint_about(one_column, &[("phasecast.trace_version", "2")]),
        "failed to read trace T: it has format version \"2\", and this release reads version 1; record it again"
    );
    let version = ("phasecast.trace_version", "1");
    assert_eq!(
        complaint_about(one_column, &[version, ("phasecast.run", &run)]),
        "failed to read trace T: column guest is missing; record the trace again"
    );
    assert_eq!(
        complaint_about("message m { REQUIRED DOUBLE quantum; }", &[version, ("phasecast.run", &run)]),
        "failed to read trace T: column quantum is REQUIRED DOUBLE and should be REQUIRED INT64"
    );
}

#[test]
fn a_trace_from_before_address_spaces_is_read_without_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("t.parquet");
    let at = |address_space| Sample { address_space, ..sample(0, Some(1)) };
    let row = |sample| Row {
        quantum: 0,
        guest_name: "alpha".to_owned(),
        program: String::new(),
        input: String::new(),
        instructions_at_start: Some(0),
        sample,
    };
    let message = schema::message().replace("  OPTIONAL INT64 address_space (INTEGER(64,false));\n", "");
    let message = parse_message_type(&message).expect("a schema");
    let metadata = [
        KeyValue::new("phasecast.trace_version".to_owned(), "1".to_owned()),
        KeyValue::new("phasecast.run".to_owned(), serde_json::to_string(&run()).expect("plain data")),
    ];
    let properties = WriterProperties::builder().set_key_value_metadata(Some(metadata.to_vec())).build();
    let file = std::fs::File::create(&path).expect("writable");
    let mut writer = SerializedFileWriter::new(file, Arc::new(message), Arc::new(properties)).expect("writable");
    let mut group = writer.next_row_group().expect("writable");
    for values in schema::to_columns(&[row(at(AddressSpace::of_cr3(0x4000)))]) {
        let Some(mut column) = group.next_column().expect("writable") else { break };
        values.write(&mut column).expect("writable");
        column.close().expect("writable");
    }
    group.close().expect("writable");
    writer.close().expect("writable");
    assert_eq!(Trace::read(&path).expect("an older trace").rows, [row(at(None))]);
}

#[test]
fn a_trace_cut_short_anywhere_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("t.parquet");
    let mut writer = TraceWriter::create(&path, &run()).expect("writable");
    writer.add_quantum(0, &[sample(0, Some(1))]).expect("writable");
    writer.finish().expect("writable");
    let whole = std::fs::read(&path).expect("just written");
    for length in (0..whole.len()).step_by(97) {
        std::fs::write(&path, &whole[..length]).expect("writable");
        let complaint = Trace::read(&path).expect_err("cut short").to_string();
        assert!(complaint.contains("cut short"), "{length} bytes: {complaint}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_damaged_trace_never_panics_the_reader(place in 0.0..1.0f64, mask in 1u8..) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("t.parquet");
        let mut writer = TraceWriter::create(&path, &run()).expect("writable");
        writer.add_quantum(0, &[sample(0, Some(1)), sample(1, None)]).expect("writable");
        writer.finish().expect("writable");
        let mut bytes = std::fs::read(&path).expect("just written");
        let place = (place * bytes.len() as f64) as usize;
        bytes[place] ^= mask;
        std::fs::write(&path, &bytes).expect("writable");
        // A changed count may still read; what matters is an answer.
        let _answer = Trace::read(&path);
    }
}
