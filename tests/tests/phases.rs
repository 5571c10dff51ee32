//! Phases belong to the guest: neighbours change how long its work takes, and not which phase it is in. Seen through real
//! guests, a kernel that marks its phases and a real program.

use std::time::Duration;

use harness::host::Host;
use harness::report::collected::Series;
use harness::report::metrics::{truth_agreement, work_agreement};
use predictor::counters::{Event, Reading, Readings, Sample};
use predictor::features::Observed;
use predictor::model::{self, Model};
use predictor::train::{self, TrainSettings, train};
use tests::bench::{Bench, QUANTUM, guest, kernel, small_machine};

/// Long enough for both phases of the kernel, and for bzip2 to go from sorting to coding several times.
const QUANTA: usize = 60;
/// Samples taken in a quantum, so that it can be cut anew where the other run cuts it.
const SAMPLES_PER_QUANTUM: usize = 10;
const STREAM: &str = "stream --size 8MiB --instructions 900G";

/// The kernel's phases last for many quanta, so its labels are compared as a policy sees them, quantum by quantum.
/// bzip2 changes within a quantum. A quantum holds less of its work when it is slowed, so its quanta begin and end
/// elsewhere and mix other parts: they are cut anew, to equal work, before they are labelled.
#[test]
fn phase_labels_beside_a_noisy_neighbour_are_those_of_the_guest_alone() {
    let Some(bench) = Bench::take() else { return };
    let watched = [guest("phased", "phased-sensitive-first", 0), guest("bzip2", "bzip2", 2)];
    // One in each LLC domain, and domains share nothing: both are alone.
    let mut alone = samples(&bench, &watched);
    let mut crowd = watched.to_vec();
    crowd.extend([kernel("stream-0", STREAM, 1), kernel("stream-1", STREAM, 3)]);
    let mut beside = samples(&bench, &crowd);

    let work = instructions(&alone[1]) / QUANTA as f64;
    for run in [&mut alone, &mut beside] {
        run[0] = run[0].chunks(SAMPLES_PER_QUANTUM).map(|quantum| cut(quantum, 1)[0].clone()).collect();
        let intervals = (instructions(&run[1]) / work) as usize;
        let whole = work * intervals as f64 / instructions(&run[1]);
        run[1] = cut_part(&run[1], intervals, whole);
    }

    let model = learn(&alone[..2]);
    for ((plan, alone), beside) in watched.iter().zip(&alone).zip(&beside) {
        let (alone, beside) = (label(&model, alone), label(&model, beside));
        let slowed = cycles_per_instruction(&beside) / cycles_per_instruction(&alone);
        let agreement = work_agreement(&alone, &beside).expect("both ran");
        eprintln!("{} alone and beside a stream\n{}\n{}", plan.name, letters(&alone), letters(&beside));
        eprintln!("{slowed:.2} times the cycles, {:.1} % labelled alike", 100.0 * agreement);
        assert!(slowed > 1.1, "{} was not disturbed, so nothing is shown: {slowed:.3}", plan.name);
        assert!(agreement >= 0.95, "{}: {:.1} % has the phase it has alone", plan.name, 100.0 * agreement);
    }
    let marked = truth_agreement(&label(&model, &alone[0])).expect("it marks its phases");
    assert!(marked >= 0.9, "{:.1} % of quanta have the marked phase", 100.0 * marked);
}

/// The samples of each guest.
fn samples(bench: &Bench, guests: &[harness::host::emulated::GuestPlan]) -> Vec<Vec<Sample>> {
    let mut host = bench.launch(&small_machine(), guests);
    let mut samples = vec![Vec::new(); guests.len()];
    for _ in 0..QUANTA * SAMPLES_PER_QUANTUM {
        let observation = host.advance(QUANTUM / SAMPLES_PER_QUANTUM as u32).unwrap_or_else(|error| panic!("{error}"));
        samples.iter_mut().zip(observation.samples).for_each(|(of, sample)| of.push(sample));
    }
    samples
}

fn count(sample: &Sample, event: Event) -> f64 {
    sample.count(event).expect("the emulated host counts everything") as f64
}

fn instructions(samples: &[Sample]) -> f64 {
    samples.iter().map(|sample| count(sample, Event::Instructions)).sum()
}

/// The same counts in `parts` intervals of equal work.
fn cut(samples: &[Sample], parts: usize) -> Vec<Sample> {
    cut_part(samples, parts, 1.0)
}

/// The first `share` of the work, in `parts` intervals of equal work. Within a sample, counts are spread evenly.
fn cut_part(samples: &[Sample], parts: usize, share: f64) -> Vec<Sample> {
    let step = instructions(samples) * share / parts as f64;
    let upto = |event: Event, work: f64| -> f64 {
        let (mut done, mut sum) = (0.0, 0.0);
        for sample in samples {
            let here = count(sample, Event::Instructions);
            sum += count(sample, event) * ((work - done) / here).clamp(0.0, 1.0);
            done += here;
        }
        sum
    };
    let interval = |part: usize| {
        let (begin, end) = (part as f64 * step, (part + 1) as f64 * step);
        let reading = |event| (event, Reading::Exact((upto(event, end) - upto(event, begin)).round() as u64));
        let first = &samples[part * samples.len() / parts];
        let elapsed: Duration = first.elapsed * samples.len() as u32 / parts as u32;
        Sample { elapsed, readings: Readings::new(Event::ALL.map(reading)), ..first.clone() }
    };
    (0..parts).map(interval).collect()
}

fn learn(alone: &[Vec<Sample>]) -> Model {
    let machine = model::Machine {
        quantum_nanoseconds: QUANTUM.as_nanos() as u64,
        llc_bytes: None,
        memory_bytes_per_cycle: None,
        miss_per_hit_time: None,
    };
    let series: Vec<train::Series> =
        alone.iter().map(|samples| train::Series { name: "alone".to_owned(), samples: samples.clone() }).collect();
    train(&series, &machine, &TrainSettings::default()).expect("enough samples")
}

fn label(model: &Model, samples: &[Sample]) -> Series {
    let phases = &model.parts().phases;
    let mut series = Series::of("watched");
    for sample in samples {
        let phase = match phases.features.observe(sample) {
            Observed::Active(vector) => Some(phases.classify(&vector).phase),
            _ => None,
        };
        series.push(sample, phase, None);
    }
    series
}

fn letters(series: &Series) -> String {
    series.phase.iter().map(|phase| phase.map_or('.', |phase| char::from(b'A' + phase as u8))).collect()
}

fn cycles_per_instruction(series: &Series) -> f64 {
    let sum = |counts: &[Option<u64>]| counts.iter().flatten().sum::<u64>() as f64;
    sum(&series.cycles) / sum(&series.instructions)
}
