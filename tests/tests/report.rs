//! A report says what was collected, the same way every time. The collected results here are made up by arithmetic:
//! two guests with opposite phases that double each other's cost when they meet, and two that do not care.

use expect_test::expect_file;
use harness::report::collected::{Collected, Guest, MachineFacts, ModelFacts, Run, Series, VERSION};
use harness::report::{render, summary};

const QUANTA: u64 = 120;
const PHASE_INSTRUCTIONS: u64 = 200_000_000;
const QUANTUM_CYCLES: u64 = 10_000_000;

/// What one guest does: cycles per instruction alone in its two alternating phases, and whether it presses the cache.
struct Script {
    name: &'static str,
    program: &'static str,
    cost: [f64; 2],
    presses: [bool; 2],
    marked: bool,
}

const SCRIPTS: [Script; 4] = [
    Script { name: "alpha", program: "phased-memory-first", cost: [2.0, 0.6], presses: [true, false], marked: true },
    Script { name: "beta", program: "phased-compute-first", cost: [0.6, 2.0], presses: [false, true], marked: true },
    Script { name: "gamma", program: "bzip2", cost: [0.9, 1.1], presses: [true, true], marked: false },
    Script { name: "delta", program: "povray", cost: [0.7, 0.7], presses: [false, false], marked: false },
];

fn phase_at(instructions: u64) -> usize {
    (instructions / PHASE_INSTRUCTIONS % 2) as usize
}

/// Runs the scripts side by side; `swap_lag` is how many quanta after a clash alpha and gamma trade places, if at all.
fn play(swap_lag: Option<u64>, alone: bool, called: bool) -> (Vec<Series>, u64) {
    let mut series: Vec<Series> = SCRIPTS.iter().map(|script| Series::of(script.name)).collect();
    let mut done = [0u64; SCRIPTS.len()];
    let mut domains = [0u32, 1, 0, 1];
    let (mut clash, mut moves) = (0, 0);
    for _ in 0..QUANTA {
        let phases = done.map(phase_at);
        let presses = |guest: usize| SCRIPTS[guest].presses[phases[guest]];
        clash = if (0..2).any(|domain| domains_pressed(&domains, domain, presses) > 1) { clash + 1 } else { 0 };
        if swap_lag.is_some_and(|lag| clash > lag) {
            domains.swap(0, 1);
            (clash, moves) = (0, moves + 2);
        }
        for guest in 0..SCRIPTS.len() {
            let rivals = domains_pressed(&domains, domains[guest], presses) - usize::from(presses(guest));
            let stretch = if alone || !presses(guest) { 1.0 } else { 1.0 + rivals as f64 };
            let retired = (QUANTUM_CYCLES as f64 / (SCRIPTS[guest].cost[phases[guest]] * stretch)) as u64;
            let before = done[guest];
            done[guest] += retired;
            let phase = if presses(guest) { 1 } else { 0 };
            let column = &mut series[guest];
            column.elapsed_ns.push(5_000_000);
            column.instructions.push(Some(retired));
            column.cycles.push(Some(QUANTUM_CYCLES));
            column.llc_references.push(Some(retired / 50));
            column.llc_misses.push(Some(retired / 200));
            column.domain.push(domains[guest]);
            column.truth.push(SCRIPTS[guest].marked.then_some(phases[guest] as u32));
            column.phase.push(Some(phase));
            let last = column.phase.iter().rev().nth(1).copied().flatten();
            let forecast = if called && before / PHASE_INSTRUCTIONS > 1 { Some(phase) } else { last };
            column.forecast.push(if alone { None } else { forecast });
        }
    }
    (series, moves)
}

fn domains_pressed(domains: &[u32; 4], domain: u32, presses: impl Fn(usize) -> bool) -> usize {
    (0..domains.len()).filter(|guest| domains[*guest] == domain && presses(*guest)).count()
}

fn run(policy: &str, repeat: u32, swap_lag: Option<u64>) -> Run {
    let (series, moves) = play(swap_lag, false, policy == "predictive");
    Run { policy: policy.to_owned(), repeat, moves, refusals: 0, series }
}

fn collected() -> Collected {
    let guest = |script: &Script| Guest {
        name: script.name.to_owned(),
        program: script.program.to_owned(),
        input: "ref".to_owned(),
        about: "made up by arithmetic".to_owned(),
    };
    Collected {
        version: VERSION,
        experiment: "made-up".to_owned(),
        host: "simulated".to_owned(),
        demonstration: Some("Its phases are opposite, so that there is something to win.".to_owned()),
        machine: MachineFacts {
            name: "small-2x2".to_owned(),
            cpus_per_domain: vec![2, 2],
            llc_kib: Some(1024),
            frequency_mhz: Some(2000),
            refill_cycles: Some(2_600_000),
        },
        quantum_cycles: QUANTUM_CYCLES,
        seed: 1,
        guests: SCRIPTS.iter().map(guest).collect(),
        model: ModelFacts {
            phases: 2,
            features: vec!["llc_references".to_owned(), "loads".to_owned()],
            forecaster: "run lengths".to_owned(),
        },
        solo: play(None, true, false).0,
        runs: vec![
            run("stay-put", 1, None),
            run("reactive", 1, Some(3)),
            run("reactive", 2, Some(4)),
            run("predictive", 1, Some(0)),
            run("predictive", 2, Some(0)),
        ],
    }
}

#[test]
fn the_summary_of_fixed_results_is_the_golden_one() {
    let report = render(&collected()).expect("complete");
    expect_file!["../golden/summary.md"].assert_eq(&report.summary);
}

#[test]
fn a_report_is_the_same_after_its_results_were_written_and_read() {
    let collected = collected();
    let text = serde_json::to_string(&collected).expect("plain data");
    let read: Collected = serde_json::from_str(&text).expect("own text");
    assert_eq!(render(&read).expect("complete"), render(&collected).expect("complete"));
}

#[test]
fn every_figure_is_named_in_the_summary_and_keeps_within_its_sheet() {
    let report = render(&collected()).expect("complete");
    assert_eq!(report.figures.len(), 4);
    for figure in &report.figures {
        assert!(report.summary.contains(&format!("]({})", figure.file)), "{}", figure.file);
        assert!(figure.svg.trim_end().ends_with("</svg>"), "{}", figure.file);
        assert!(!figure.svg.contains("=\"-"), "{} draws left of or above its sheet", figure.file);
        if let Some(folder) = std::env::var_os("KEEP_FIGURES") {
            let file = std::path::Path::new(&folder).join(&figure.file);
            std::fs::write(file, &figure.svg).expect("the folder can be written");
        }
    }
}

#[test]
fn a_win_within_the_spread_of_repeats_is_not_called_one() {
    let mut collected = collected();
    assert!(summary::verdict(&collected).starts_with("**Predictive beat reactive**"));
    for run in collected.runs.iter_mut().filter(|run| run.policy == "predictive") {
        run.series = play(Some(4), false, true).0;
    }
    assert!(summary::verdict(&collected).starts_with("**Predictive did not beat reactive**"));
}

#[test]
fn a_column_cut_short_is_refused_by_name() {
    let mut collected = collected();
    collected.runs[3].series[1].instructions.pop();
    let error = render(&collected).expect_err("incomplete").to_string();
    assert!(error.contains("run 1 of predictive") && error.contains("beta"), "{error}");
}
