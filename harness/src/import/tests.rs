//! Claims about imports: every sample of perf's output reads as its expected file says, and no text makes a parser panic.

use std::path::PathBuf;

use predictor::counters::Event;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// The folder of other people's recordings beside the checkout, where it is there.
fn samples_of(folder: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(folder);
    if !folder.is_dir() {
        eprintln!("NOT TESTED: there is no {}", folder.display());
        return None;
    }
    Some(folder)
}

fn strict(text: &str) -> Result<Import, Refusal> {
    parse(text.as_bytes(), None, Strictness::Strict)
}

fn same(found: &Value, expected: &Value) -> bool {
    match (found.as_f64(), expected.as_f64()) {
        (Some(found), Some(expected)) => (found - expected).abs() <= 1e-12 * expected.abs(),
        _ => found == expected,
    }
}

#[test]
fn every_sample_of_perf_reads_as_its_expected_file_says() {
    let Some(folder) = samples_of("perf-text/perf-stat") else { return };
    let mut compared = 0;
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let file = entry.path();
        let expected = file.with_extension("expected.json");
        if !expected.is_file() {
            continue;
        }
        let expected: Value = serde_json::from_slice(&std::fs::read(&expected).expect("readable")).expect("JSON");
        compared += 1;
        let found = read(&file, None, Strictness::Strict);
        if expected.get("refuse").is_some() {
            let mistake = found.expect_err("to be refused").to_string();
            assert!(mistake.contains("'.' groups thousands and ',' is the decimal mark"), "{mistake}");
            continue;
        }
        let found = found.unwrap_or_else(|mistake| panic!("{mistake}"));
        let found = serde_json::to_value(&found.readings).expect("plain data");
        let (found, expected) = (found.as_array().expect("a list"), expected.as_array().expect("a list"));
        assert_eq!(found.len(), expected.len(), "{}", file.display());
        for (found, expected) in found.iter().zip(expected) {
            let (found, expected) = (found.as_object().expect("a map"), expected.as_object().expect("a map"));
            assert!(found.keys().eq(expected.keys()), "{}: {found:?} {expected:?}", file.display());
            for (key, value) in expected {
                assert!(same(&found[key], value), "{}: {key}: {found:?} {expected:?}", file.display());
            }
        }
    }
    assert!(compared >= 15, "only {compared} samples");
}

#[test]
fn the_layouts_of_public_data_sets_are_known_by_their_headers() {
    for (folder, layout, events) in [
        ("counters/spec-skylake", Layout::ThreeRuns, 4),
        ("counters/kvm-guests", Layout::KvmGuests, 2),
        ("counters/numa-solo", Layout::NumaSolo, 5),
    ] {
        let Some(folder) = samples_of(folder) else { return };
        let file = std::fs::read_dir(folder).expect("a folder").flatten().next().expect("a file").path();
        let import = read(&file, None, Strictness::Strict).unwrap_or_else(|mistake| panic!("{mistake}"));
        assert_eq!(import.format, Format::Table(layout));
        let series = to_trace::samples(&file, &import, 0);
        assert_eq!(series.len(), 1, "{}", file.display());
        assert_eq!(series[0].events.len(), events, "{:?}", series[0].events);
        let counted = series[0].samples.iter().filter(|sample| sample.count(Event::Instructions).is_some()).count();
        assert!(counted > 100 && counted + 4 >= series[0].samples.len(), "{counted}");
    }
}

#[test]
fn a_bad_row_is_placed_or_skipped_and_counted() {
    let text = "# started on a day\n\n1,,cycles,5,100.00,,\n12x4,,instructions,5,100.00,,\n3,,branches,5,100,00,,\n";
    let refusal = strict(text).expect_err("a bad row").bad_row.expect("one row");
    assert_eq!((refusal.line, refusal.column), (4, 1));
    let lenient = parse(text.as_bytes(), None, Strictness::Lenient).expect("one row is good");
    assert_eq!(lenient.readings.len(), 1);
    let places: Vec<_> = lenient.skipped.iter().map(|row| (row.line, row.column)).collect();
    assert_eq!(places, [(4, 1), (5, 15)]);
    assert!(parse(b"12x4,,instructions\n", None, Strictness::Lenient).is_err(), "nothing was read");
}

#[test]
fn a_torn_first_row_is_no_header() {
    let text = "ted>,cycles\n7,,cycles,5,100.00,,\n";
    assert_eq!(strict(text).map_err(|refusal| refusal.bad_row.map(|row| row.line)), Err(Some(1)));
    let lenient = parse(text.as_bytes(), None, Strictness::Lenient).expect("one row is good");
    assert_eq!((lenient.readings.len(), lenient.skipped.len()), (1, 1));
}

#[test]
fn tables_of_other_programs_may_have_exponents_and_say_what_is_missing() {
    let text = "t_s,cycles,instructions\n0.1,1.5e+09,NA\n0.2,2E3,7\n";
    let values: Vec<_> = strict(text).expect("well formed").readings.iter().map(|reading| reading.value).collect();
    let expected = [Some(Amount::Real(1.5e9)), None, Some(Amount::Real(2000.0)), Some(Amount::Whole(7))];
    assert_eq!(values, expected);
    for number in ["1e999", "e5", "1e", "1e+-5", "-1e5", "inf"] {
        assert!(strict(&format!("t_s,cycles,instructions\n0.1,{number},7\n")).is_err(), "{number}");
    }
}

#[test]
fn columns_are_characters_and_lines_may_end_as_on_windows() {
    let row = strict("7,,\u{e9}v\u{e9}nement,5,1,,\r\n").expect_err("a bad row").bad_row.expect("one row");
    assert_eq!((row.line, row.column), (1, 16));
}

#[test]
fn what_is_not_text_in_utf_8_is_refused() {
    for bytes in [&b"\xff\xfe1\x00,\x00"[..], b"1,cycles\0", b"7,,\xff,5,100.00"] {
        assert!(parse(bytes, None, Strictness::Strict).is_err(), "{bytes:?}");
    }
    assert!(parse(b"\xef\xbb\xbf1,cycles\n", None, Strictness::Strict).is_ok());
}

#[test]
fn recordings_in_one_file_are_series_of_their_own() {
    let text = "# started\n1.000000000,7,,cycles\n2.000000000,8,,cycles\n# started\n1.000000000,9,,cycles\n0.500000000,3,,cycles\n";
    let series = recorded::series(&strict(text).expect("well formed").readings);
    let lengths: Vec<_> = series.iter().map(|series| (series.run, series.intervals.len())).collect();
    assert_eq!(lengths, [(0, 2), (1, 1), (2, 1)]);
}

#[test]
fn an_interval_that_lacks_an_event_says_so_and_not_zero() {
    let text = "1.000000000,7,,cycles\n1.000000000,<not counted>,,instructions\n2.000000000,8,,cycles\n";
    let import = strict(text).expect("well formed");
    let series = to_trace::samples(Path::new("a.csv"), &import, 0);
    let counts: Vec<_> = series[0]
        .samples
        .iter()
        .map(|sample| (sample.count(Event::Cycles), sample.count(Event::Instructions), sample.elapsed.as_secs()))
        .collect();
    assert_eq!(counts, [(Some(7), None, 1), (Some(8), None, 1)]);
}

#[test]
fn a_table_needs_its_columns_mapped_and_names_those_it_has() {
    let text = "clock,inst,cyc\n1.0,10,20\n2.0,,21\n";
    let refusal = strict(text).expect_err("unknown");
    assert!(refusal.problem.contains("clock, inst, cyc") && refusal.remedy.contains("--columns"), "{refusal:?}");
    let map = ColumnMap::parse("time_s=clock,instructions=inst,cycles=cyc").expect("a map");
    let import = parse(text.as_bytes(), Some(&map), Strictness::Strict).expect("well formed");
    let values: Vec<_> = import.readings.iter().map(|reading| (&*reading.event, reading.value)).collect();
    let whole = |count| Some(Amount::Whole(count));
    assert_eq!(
        values,
        [("cycles", whole(20)), ("instructions", whole(10)), ("cycles", whole(21)), ("instructions", None)]
    );
    let typo = ColumnMap::parse("instructions=ints").expect("a map");
    assert_eq!(
        parse(text.as_bytes(), Some(&typo), Strictness::Strict).map_err(|refusal| refusal.remedy),
        Err("did you mean \"inst\"?".to_owned())
    );
}

#[test]
fn a_table_with_decimal_commas_or_torn_rows_is_refused() {
    for text in
        ["t_s,cycles,instructions\n1,5,7,9\n", "t_s;cycles;instructions\n1,5;7;9\n", "t_s,cycles,instructions\n1.5,7\n"]
    {
        assert!(strict(text).is_err_and(|refusal| refusal.bad_row.is_some_and(|row| row.line == 2)), "{text:?}");
    }
}

#[test]
fn a_trace_is_read_as_what_it_was_made_from() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = "0.500000000,CPU0,7,,cycles,5,50.00,,\n0.500000000,CPU0,9,,instructions,5,100.00,,\n0.500000000,CPU1,8,,instructions,5,100.00,,\n";
    let (csv, file) = (folder.path().join("a.csv"), folder.path().join("a.parquet"));
    std::fs::write(&csv, text).expect("writable");
    let import = read(&csv, None, Strictness::Strict).expect("well formed");
    let series = to_trace::samples(&csv, &import, 0);
    assert_eq!(to_trace::write(&file, &series).expect("writable"), 2);
    let again = read(&file, None, Strictness::Strict).expect("our own");
    assert_eq!(again.format, Format::Trace);
    let samples = |series: Vec<to_trace::Imported>| -> Vec<_> {
        series.into_iter().flat_map(|series| series.samples).map(|sample| (sample.readings, sample.elapsed)).collect()
    };
    assert_eq!(samples(to_trace::samples(&file, &again, 0)), samples(series));
}

/// Lines as perf writes them, with one byte made another.
fn nearly_perf() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::sample::select(vec![
        "     1.000123456,S0,2,635050188,,uncore_imc_0/event=0x4,umask=0x3/,460661543351,100.00,0.50,of all\n",
        "<not counted>,,cycles,0.02%,0,0.00,,\n,,,,,70.1,%  tma_backend_bound\n",
        "{\"interval\" : 1.5, \"core\" : \"S0-D0-C1\", \"counter-value\" : \"7.000000\", \"event\" : \"cycles\", \"pcnt-running\" : 54.00}\n",
        "t_s,cycles,instructions\n0.1,\"7\",8\n0.2,,9\n",
    ]);
    (lines, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(line, place, byte)| {
        let mut bytes = line.as_bytes().to_vec();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        bytes
    })
}

proptest! {
    #[test]
    fn no_bytes_make_an_import_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes, None, Strictness::Lenient);
    }

    #[test]
    fn no_damaged_line_makes_an_import_panic(bytes in nearly_perf()) {
        for strictness in [Strictness::Strict, Strictness::Lenient] {
            if let Ok(import) = parse(&bytes, None, strictness) {
                let series = to_trace::samples(Path::new("a.csv"), &import, 0);
                prop_assert!(series.len() <= import.readings.len());
            }
        }
    }

    #[test]
    fn what_perf_writes_is_read_back(
        count in any::<u64>(),
        nanoseconds in 0u64..1_000_000_000_000,
        percent in 0u32..=10_000,
        cpu in prop::option::of(0u32..512),
    ) {
        let time = format!("{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
        let group = cpu.map(|cpu| format!("CPU{cpu},")).unwrap_or_default();
        let running = format!("{}.{:02}", percent / 100, percent % 100);
        let import = strict(&format!("{time},{group}{count},,cycles,77,{running},,\n")).expect("well formed");
        let reading = &import.readings[0];
        prop_assert_eq!(reading.value, Some(Amount::Whole(count)));
        prop_assert_eq!(reading.time_seconds, time.parse().ok());
        prop_assert!((reading.running_ratio.expect("there") - f64::from(percent) / 10_000.0).abs() < 1e-15);
        prop_assert_eq!(reading.group.as_deref().map(str::to_owned), cpu.map(|cpu| format!("CPU{cpu}")));
    }
}
