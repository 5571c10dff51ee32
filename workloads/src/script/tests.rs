//! Claims about scripts.

use proptest::prelude::*;

use super::*;

fn script(text: &str) -> Script {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn played(text: &str, rounds: u64, seed: u64) -> Vec<Played> {
    let mut steps = Vec::new();
    script(text).play(rounds, seed, |step| steps.push(step));
    steps
}

/// A letter for each step: A is phase 0.
fn letters(steps: &[Played]) -> String {
    steps.iter().map(|step| char::from(b'A' + step.phase as u8)).collect()
}

#[test]
fn a_phase_is_a_kernel_with_its_working_set_and_keeps_its_number() {
    let text = "chase:64KiB:1M stream:1MiB:2M chase:64KiB:3M chase:32KiB:1k";
    assert_eq!(letters(&played(text, 1, 1)), "ABAC");
    let phases = [(Kind::Chase, 64 << 10), (Kind::Stream, 1 << 20), (Kind::Chase, 32 << 10)];
    assert_eq!(script(text).phases(), phases);
}

#[test]
fn a_script_computes_the_same_in_rounds_as_written_out() {
    let round = script("chase:16KiB:40k blackscholes:8KiB:60k");
    let written_out = script("chase:16KiB:40k blackscholes:8KiB:60k chase:16KiB:40k blackscholes:8KiB:60k");
    assert_eq!(round.run(2, 1), written_out.run(1, 1));
    assert_eq!(round.run(2, 1), script("(chase:16KiB:40k blackscholes:8KiB:60k)x2").run(1, 1));
    assert_ne!(round.run(2, 1), round.run(2, 2));
}

#[test]
fn loops_nest() {
    let (a, b, c) = ("chase:4KiB:1k", "stream:4KiB:2k", "gather:4KiB:3k");
    let text = format!("(({a} {b})x2 {c})x3 {a}");
    assert_eq!(letters(&played(&text, 1, 1)), "ABABC".repeat(3) + "A");
    assert_eq!(letters(&played(&text, 2, 1)), ("ABABC".repeat(3) + "A").repeat(2));
}

#[test]
fn drawn_lengths_stay_in_their_range_as_often_short_as_long() {
    let steps = played("chase:4KiB:1M..100M", 10_000, 3);
    assert!(steps.iter().all(|step| (1_000_000..=100_000_000).contains(&step.instructions)));
    // The geometric mean of the ends parts the draws in halves.
    let short = steps.iter().filter(|step| step.instructions < 10_000_000).count();
    assert!((4800..5200).contains(&short), "{short}");
}

#[test]
fn lengths_with_a_mean_have_it_and_no_memory() {
    let steps = played("chase:4KiB:~10M", 20_000, 4);
    let mean = steps.iter().map(|step| step.instructions as f64).sum::<f64>() / 20_000.0;
    assert!((mean / 1e7 - 1.0).abs() < 0.03, "{mean}");
    // Of those that last the mean, the same share, 1/e, lasts another mean.
    let lasting = |instructions: u64| steps.iter().filter(|step| step.instructions >= instructions).count() as f64;
    for share in [lasting(10_000_000) / lasting(0), lasting(20_000_000) / lasting(10_000_000)] {
        assert!((share - (-1.0_f64).exp()).abs() < 0.015, "{share}");
    }
}

#[test]
fn a_chains_matrix_can_be_read_back_from_its_phases() {
    let matrix = [[0, 70, 30], [50, 0, 50], [15, 60, 25]];
    let rows = matrix.map(|row| row.map(|share: u32| share.to_string()).join(" ")).join(" | ");
    let steps = played(&format!("[chase:4KiB:1k stream:4KiB:2k gather:4KiB:3k | {rows}]x30000"), 1, 9);
    let mut counts = [[0_u32; 3]; 3];
    for pair in steps.windows(2) {
        counts[pair[0].phase][pair[1].phase] += 1;
    }
    for (row, expected) in counts.iter().zip(matrix) {
        let visits = f64::from(row.iter().sum::<u32>());
        for (&count, percent) in row.iter().zip(expected) {
            // Four standard errors of a share.
            let chance = f64::from(percent) / 100.0;
            let bound = 4.0 * (chance * (1.0 - chance) / visits).sqrt();
            assert!((f64::from(count) / visits - chance).abs() <= bound, "{counts:?}");
        }
    }
}

#[test]
fn the_seed_decides_what_is_drawn() {
    let text = "[chase:4KiB:~1M stream:4KiB:1M..9M | 50 50 | 50 50]x50";
    assert_eq!(played(text, 2, 1), played(text, 2, 1));
    assert_ne!(played(text, 1, 1), played(text, 1, 2));
    let both = played(text, 2, 1);
    assert_ne!(both[..50], both[50..], "each round is drawn anew");
}

#[test]
fn a_wrong_script_is_answered_with_the_word_and_the_remedy() {
    let message = |text: &str| text.parse::<Script>().expect_err("not a script").to_string();
    assert!(message("chase:64KiB:1M chess:1MiB:1M").starts_with("\"chess:1MiB:1M\": no kernel called \"chess\""));
    assert!(message("chase:64:1M").contains("no unit"));
    assert!(message("chase:1KiB:1M").contains("below 4096 bytes"));
    assert!(message("chase:64KiB:0").contains("out of range"));
    assert!(message("chase:64KiB:9M..1M").contains("the range \"9M..1M\" is empty"));
    assert!(message("").contains("there is no step"));
    assert!(message("()x3").contains("there is no step"));
    assert!(message("(chase:4KiB:1M").contains("\")\" and a count"));
    assert!(message("(chase:4KiB:1M)").starts_with("\")\": \")\" and a count"));
    assert!(message("chase:4KiB:1M)x3").starts_with("\")x3\": opens nowhere"));
    assert!(message("((chase:4KiB:1M)x2000)x2000").contains("4000000 steps a round"));
    let chain = |rows: &str| message(&format!("[chase:4KiB:1M stream:4KiB:1M {rows}]x9"));
    assert!(chain("| 0 100").contains("1 rows for 2 states"));
    assert!(chain("| 0 100 | 100").contains("1 chances for 2 states"));
    assert!(chain("| 0 100 | 50 60").starts_with("\"50 60\": a row of chances has to sum to 100"));
    assert!(message("[chase:4KiB:1M (stream:4KiB:1M)x2 | 100]x9").contains("\"]\" and a count"));
}

fn length() -> impl Strategy<Value = Length> {
    prop_oneof![
        (1_u64..1 << 50).prop_map(Length::Exact),
        (1_u64..1 << 50).prop_map(Length::Mean),
        (1_u64..1 << 50, 0_u64..1 << 50).prop_map(|(least, more)| Length::Between { least, most: least + more }),
    ]
}

proptest! {
    #[test]
    fn a_step_written_is_the_step_read(
        kind in prop::sample::select(&Kind::ALL[..]), bytes in 4096_usize..1 << 40, length in length(),
    ) {
        let step = Step { kind, working_set_bytes: bytes, length };
        prop_assert_eq!(step.to_string().parse::<Step>(), Ok(step));
    }

    #[test]
    fn no_text_makes_reading_a_script_panic(text in "[a-z0-9:x|.~ ()\\[\\]]{0,60}") {
        let _ = text.parse::<Script>();
    }
}
