//! The loop on the simulated host, from recording to moving: what is recorded is what was seen, what is trained is
//! used, and the same spec and seed give the same bytes.

use harness::artefact;
use harness::journal::Journal;
use harness::trace::{Trace, TraceWriter};
use predictor::counters::PhaseMark;
use predictor::policy::PolicyKind;
use tests::simulated;

#[test]
fn the_same_spec_and_seed_write_the_same_journal_byte_for_byte() {
    let mix = simulated::mix();
    let model = simulated::model_of(&mix);
    for kind in PolicyKind::ALL {
        let journal = |mix| {
            let (_, journal) = simulated::run(mix, simulated::launch(mix).as_mut(), kind, &model, 60);
            journal.unwrap_or_else(|error| panic!("{kind}: {error}"))
        };
        let first = journal(&mix);
        assert!(first == journal(&mix), "{kind}: two runs differ");
        let other_seed = harness::mix::Mix { seed: 2, ..mix.clone() };
        assert!(first != journal(&other_seed), "{kind}: the seed makes no difference");
    }
}

#[test]
fn training_twice_makes_the_same_model() {
    let mix = simulated::mix();
    assert_eq!(simulated::model_of(&mix), simulated::model_of(&mix));
}

#[test]
fn traces_of_guests_alone_make_a_model_that_moves_guests_in_the_mix() {
    let mix = simulated::mix();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut files = Vec::new();
    for index in 0..mix.guests.len() {
        let alone = mix.alone(index).expect("one of its guests");
        let mut host = simulated::launch(&alone);
        let file = folder.path().join(format!("{}.parquet", alone.guests[0].name));
        let run = simulated::describe(&alone, host.as_ref(), PolicyKind::StayPut);
        let mut trace = TraceWriter::create(&file, &run).expect("writable");
        for quantum in 0..120 {
            let seen = host.advance(alone.quantum()).expect("no fault");
            trace.add_quantum(quantum, &seen.samples).expect("writable");
        }
        trace.finish().expect("writable");
        files.push(file);
    }
    let data = artefact::series::read(&files).unwrap_or_else(|mistake| panic!("{mistake}"));
    let settings = predictor::train::TrainSettings::default();
    let trained = predictor::train::train(&data.series, &data.machine, &settings).expect("plain data");
    assert_eq!(trained, simulated::model_of(&mix), "a trace loses nothing that training wants");

    let file = folder.path().join("model.json");
    artefact::save(&file, &trained).expect("writable");
    let model = artefact::load(&file).expect("just saved");
    let mut host = simulated::launch(&mix);
    let (turns, ended) = simulated::run(&mix, host.as_mut(), PolicyKind::Reactive, &model, 60);
    assert!(ended.is_ok());
    assert!(turns.iter().any(|turn| !turn.outcomes.is_empty()), "the worst neighbours are parted");
    assert!(turns.iter().flat_map(|turn| &turn.outcomes).all(|outcome| outcome.refusal.is_none()));
}

#[test]
fn parting_the_worst_neighbours_lets_all_guests_do_more() {
    let mix = simulated::mix();
    let model = simulated::model_of(&mix);
    let work = |kind| {
        let (turns, _) = simulated::run(&mix, simulated::launch(&mix).as_mut(), kind, &model, 120);
        let mut work = std::collections::BTreeMap::new();
        for sample in turns.iter().flat_map(|turn| &turn.observation.samples) {
            let instructions = sample.count(predictor::counters::Event::Instructions).expect("counted");
            *work.entry(sample.vcpu).or_insert(0u64) += instructions;
        }
        work
    };
    let (still, reactive) = (work(PolicyKind::StayPut), work(PolicyKind::Reactive));
    let gain: f64 = still.iter().map(|(vcpu, before)| reactive[vcpu] as f64 / *before as f64).sum();
    assert!(gain > still.len() as f64, "the guests did {gain:.3} of {} times their work", still.len());
}

#[test]
fn the_journal_and_the_trace_of_a_run_agree() {
    let mix = simulated::mix();
    let model = simulated::model_of(&mix);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut host = simulated::launch(&mix);
    let run = simulated::describe(&mix, host.as_ref(), PolicyKind::Reactive);
    let (turns, journal) = simulated::run(&mix, host.as_mut(), PolicyKind::Reactive, &model, 60);

    let (journal_file, trace_file) = (folder.path().join("journal.jsonl"), folder.path().join("trace.parquet"));
    std::fs::write(&journal_file, journal.expect("no fault")).expect("writable");
    let mut trace = TraceWriter::create(&trace_file, &run).expect("writable");
    for turn in &turns {
        trace.add_quantum(turn.quantum, &turn.observation.samples).expect("writable");
    }
    trace.finish().expect("writable");

    let journal = Journal::read(&journal_file).unwrap_or_else(|error| panic!("{error}"));
    let trace = Trace::read(&trace_file).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(journal.turns, turns);
    assert_eq!(trace.run, journal.run);
    let seen = journal.turns.iter().flat_map(|turn| &turn.observation.samples);
    assert!(seen.eq(trace.rows.iter().map(|row| &row.sample)));
    let marked = trace.rows.iter().filter(|row| row.program == "press-then-compute");
    let truths: std::collections::BTreeSet<_> = marked.map(|row| row.sample.truth).collect();
    assert_eq!(truths, [Some(PhaseMark(0)), Some(PhaseMark(1))].into(), "ground truth stands in the trace");
}

#[test]
fn a_trace_of_guests_that_share_a_cache_is_refused_for_training() {
    let mix = simulated::mix();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("mix.parquet");
    let mut host = simulated::launch(&mix);
    let run = simulated::describe(&mix, host.as_ref(), PolicyKind::StayPut);
    let mut trace = TraceWriter::create(&file, &run).expect("writable");
    trace.add_quantum(0, &host.advance(mix.quantum()).expect("no fault").samples).expect("writable");
    trace.finish().expect("writable");
    let complaint = artefact::series::read(&[file]).expect_err("they share").to_string();
    assert!(complaint.contains("guests \"alpha\" and \"beta\" share LLC domain 0 in quantum 0"), "{complaint}");
}

#[test]
fn the_page_about_traces_explains_every_column() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/trace-format.md");
    let page = std::fs::read_to_string(page).expect("docs/trace-format.md");
    let message = harness::trace::schema::message();
    let columns = message.lines().filter_map(|line| line.split_whitespace().nth(2));
    let columns = columns.map(|column| column.trim_end_matches(';'));
    let columns: Vec<&str> = columns.filter(|column| !column.ends_with("_coverage") && *column != "{").collect();
    assert!(columns.len() > 20, "{columns:?}");
    let missing: Vec<_> = columns.iter().filter(|column| !page.contains(&format!("`{column}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(page.contains(&format!("Version {}", harness::trace::VERSION)));
}
