//! Random mixes for the simulated host: as many guests as CPUs, each going round a few phases of its own.
//!
//! The rule, all by the seed and the mix's number: a guest gets 2 to 4 kinds of phases (drawn, or from a table), and a round of
//! 2 to 5 stretches of them, no two alike in a row. A stretch lasts, alone, between half the stated length and twice that, all
//! ratios alike. The round is repeated; each time each stretch is up to 10 % longer or shorter, and one time in ten a stretch
//! is followed by another of the round than usual: phases recur, as those of programs do, and not quite. Where guests start is
//! shuffled.

use std::collections::BTreeSet;
use std::time::Duration;

use predictor::counters::Event;
use predictor::topology::DomainId;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::host::simulated::hardware::Hardware;
use crate::host::simulated::script::{KindId, PhaseKind, Script, ScriptedGuest, Stretch};
use crate::host::simulated::sharing::Sharing;

/// How often a round is written down before it starts again as it was.
const ROUNDS: usize = 40;

/// Largest deviation of a stretch's length from round to round.
const JITTER: f64 = 0.1;

/// How often what follows is not what usually does.
const SURPRISE: f64 = 0.1;

/// Largest deviation of costs and rates in a quantum.
const NOISE: f64 = 0.02;

/// Most guests of a mix, however large the machine is.
const MOST_GUESTS: usize = 64;

/// What mixes are drawn for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) hardware: &'a Hardware,
    /// Kinds to choose from; drawn for each guest if empty.
    pub(super) kinds: &'a [PhaseKind],
    pub(super) quantum: Duration,
    /// The middle of the lengths of phases.
    pub(super) phase_quanta: f64,
    pub(super) seed: u64,
}

/// Mix `number`, everybody on the host.
pub(super) fn draw(setting: &Setting<'_>, number: u64) -> Script {
    let mut rng = ChaCha8Rng::seed_from_u64(setting.seed);
    rng.set_stream(number);
    let mut kinds = Vec::new();
    let domains = setting.hardware.topology.domains();
    let mut seats: Vec<DomainId> = domains.iter().flat_map(|domain| domain.cpus.iter().map(|_| domain.id)).collect();
    seats.shuffle(&mut rng);
    seats.truncate(MOST_GUESTS);
    let guests = seats.iter().enumerate().map(|(place, domain)| {
        let own = own_kinds(setting, place, &mut kinds, &mut rng);
        ScriptedGuest {
            name: format!("guest-{place}"),
            vcpus: 1,
            domain: *domain,
            cpu: None,
            stretches: stretches(setting, &own, &kinds, &mut rng),
            arrives: Duration::ZERO,
            departs: None,
        }
    });
    Script {
        guests: guests.collect(),
        hardware: setting.hardware.clone(),
        events: BTreeSet::from(Event::ALL),
        kinds,
        sharing: Sharing::Model,
        noise: NOISE,
    }
}

/// The same with guest `place` and nobody else, in the first LLC domain.
pub(super) fn alone(script: &Script, place: usize) -> Script {
    let guest = ScriptedGuest { domain: DomainId(0), ..script.guests[place].clone() };
    Script { guests: vec![guest], ..script.clone() }
}

fn own_kinds(setting: &Setting<'_>, guest: usize, kinds: &mut Vec<PhaseKind>, rng: &mut ChaCha8Rng) -> Vec<KindId> {
    let count = rng.gen_range(2..=4);
    let first = kinds.len();
    if setting.kinds.is_empty() {
        kinds.extend((0..count).map(|kind| PhaseKind::drawn(&format!("{guest}.{kind}"), rng)));
    } else {
        kinds.extend(setting.kinds.choose_multiple(rng, count).cloned());
    }
    (first..kinds.len()).map(KindId).collect()
}

fn stretches(setting: &Setting<'_>, own: &[KindId], kinds: &[PhaseKind], rng: &mut ChaCha8Rng) -> Vec<Stretch> {
    let mut round: Vec<(KindId, f64)> = Vec::new();
    let quanta = rng.gen_range(2..=5.max(own.len()));
    while round.len() < quanta.max(own.len()) {
        // All of its kinds come, then any.
        let kind = own.get(round.len()).copied().unwrap_or_else(|| own[rng.gen_range(0..own.len())]);
        let length = setting.phase_quanta * 2f64.powf(rng.gen_range(-1.0..1.0));
        if round.last().is_none_or(|(last, _)| *last != kind) {
            round.push((kind, length));
        }
    }
    let cycles = setting.quantum.as_secs_f64() * setting.hardware.frequency_hz as f64;
    let mut stretches = Vec::new();
    let mut place = 0;
    for _ in 0..ROUNDS * round.len() {
        let (kind, length) = round[place];
        let quanta = length * (1.0 + rng.gen_range(-JITTER..JITTER));
        let instructions = (quanta * cycles / kinds[kind.0].cycles_per_instruction).ceil().max(1.0) as u64;
        stretches.push(Stretch { kind, instructions, truth: None });
        let next = (place + 1) % round.len();
        place = if rng.gen_bool(SURPRISE) { rng.gen_range(0..round.len()) } else { next };
    }
    stretches
}
