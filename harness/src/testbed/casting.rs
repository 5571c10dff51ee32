//! Which scripted phases stand for which programs when a mix is played on the simulated host.
//!
//! Kernels and scripts of kernels play their own phases, with marks where the program marks them; a real program gets
//! a sequence of phases drawn from a seed made of its name, always the same. The figures are rough and serve tests.

use std::collections::BTreeMap;

use predictor::counters::{Event, PhaseMark};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use workloads::catalogue::Family;
use workloads::kernels::Kind;
use workloads::script::parse_bytes;

use crate::host::simulated::script::{KindId, PhaseKind, Script, ScriptedGuest, Stretch};
use crate::mix::{Mix, MixGuest};

/// A kind of phase whose data fits in the private caches, whatever it does with them.
const RESIDENT: KindId = KindId(Kind::ALL.len());

/// A kind of phase that does next to nothing.
const IDLE: KindId = KindId(Kind::ALL.len() + 1);

/// Largest relative deviation in a quantum.
const NOISE: f64 = 0.02;

/// Instructions of a phase without an end.
const ENDLESS: u64 = 1 << 60;

/// What a simulated host plays for `mix`.
pub(super) fn script(mix: &Mix) -> Script {
    let cast = |guest: &MixGuest| ScriptedGuest {
        name: guest.name.clone(),
        vcpus: guest.vcpus,
        domain: guest.domain,
        stretches: stretches(guest, mix.machine.l2().map_or(0, |l2| l2.bytes())),
        arrives: std::time::Duration::ZERO,
        departs: None,
    };
    Script {
        topology: mix.topology(),
        frequency_hz: u64::from(mix.machine.frequency_mhz()) * 1_000_000,
        events: Event::ALL.into(),
        kinds: kinds(),
        interference: interference(),
        guests: mix.guests.iter().map(cast).collect(),
        noise: NOISE,
        cold_cycles: mix.machine.refill_cycles(),
    }
}

fn stretches(guest: &MixGuest, private_bytes: u64) -> Vec<Stretch> {
    match guest.family {
        Family::Phased => phased(guest, private_bytes),
        Family::Kernel => {
            let words = || guest.launch.argv.iter();
            let working_set = words().find_map(|word| parse_bytes(word).ok());
            let kind = words().find_map(|word| word.parse::<Kind>().ok());
            let kind = match kind {
                Some(kind) => cast(kind, working_set.unwrap_or(usize::MAX), private_bytes),
                None if words().any(|word| word == "idle") => IDLE,
                None => RESIDENT,
            };
            vec![Stretch { kind, instructions: ENDLESS, truth: None }]
        }
        Family::Real => drawn(guest),
    }
}

/// The steps of the script among the program's arguments.
fn phased(guest: &MixGuest, private_bytes: u64) -> Vec<Stretch> {
    let script = guest.launch.argv.iter().find_map(|word| word.parse::<workloads::script::Script>().ok());
    let Some(script) = script else { return drawn(guest) };
    let phases = script.phases();
    let stretch = |step: &workloads::script::Step| {
        let mark = (0..).zip(&phases).find(|(_, phase)| **phase == (step.kind, step.working_set_bytes));
        Stretch {
            kind: cast(step.kind, step.working_set_bytes, private_bytes),
            instructions: step.instructions,
            truth: mark.map(|(mark, _)| PhaseMark(mark)).filter(|_| guest.truth),
        }
    };
    script.steps().iter().map(stretch).collect()
}

/// Three to five phases, drawn from the names of program and input.
fn drawn(guest: &MixGuest) -> Vec<Stretch> {
    let mut seed = [0; 32];
    for (place, byte) in guest.program.bytes().chain([b'/']).chain(guest.input.bytes()).enumerate() {
        seed[place % 32] = u8::wrapping_mul(seed[place % 32], 31).wrapping_add(byte);
    }
    let mut rng = ChaCha8Rng::from_seed(seed);
    let mut kinds: Vec<KindId> = (0..=RESIDENT.0).map(KindId).collect();
    kinds.shuffle(&mut rng);
    kinds.truncate(rng.gen_range(3..=5));
    let stretch = |kind| Stretch { kind, instructions: rng.gen_range(80_000_000..400_000_000), truth: None };
    kinds.into_iter().map(stretch).collect()
}

fn cast(kind: Kind, working_set_bytes: usize, private_bytes: u64) -> KindId {
    if working_set_bytes as u64 <= private_bytes {
        return RESIDENT;
    }
    Kind::ALL.iter().position(|known| *known == kind).map_or(RESIDENT, KindId)
}

fn kinds() -> Vec<PhaseKind> {
    let kernels = Kind::ALL.map(|kind| match kind {
        Kind::Chase => phase("chase", 12.0, [280.0, 4.0, 270.0, 230.0], 0.05),
        Kind::Gather => phase("gather", 4.0, [250.0, 4.0, 230.0, 200.0], 0.1),
        Kind::Stream => phase("stream", 2.5, [250.0, 125.0, 60.0, 45.0], 0.9),
        Kind::Stencil => phase("stencil", 1.4, [350.0, 80.0, 40.0, 20.0], 0.5),
        Kind::Blackscholes => phase("blackscholes", 0.9, [220.0, 60.0, 2.0, 0.2], 0.1),
    });
    let resident = phase("resident", 0.7, [300.0, 100.0, 5.0, 0.1], 0.1);
    let idle = PhaseKind { name: "idle", idle_share: 0.999, kernel_share: 1.0, ..resident.clone() };
    kernels.into_iter().chain([resident, idle]).collect()
}

/// Loads, stores, L1 misses and LLC references per thousand instructions.
fn phase(name: &'static str, cycles_per_instruction: f64, rates: [f64; 4], llc_miss_ratio: f64) -> PhaseKind {
    let [loads, stores, l1_misses, llc_references] = rates;
    PhaseKind {
        name,
        cycles_per_instruction,
        idle_share: 0.0,
        kernel_share: 0.005,
        loads,
        stores,
        l1_misses,
        llc_references,
        llc_miss_ratio,
    }
}

/// How much longer each kind takes beside one of each other: a product of how much the one suffers and the other
/// presses.
fn interference() -> BTreeMap<(KindId, KindId), f64> {
    let suffers = |kind| match kind {
        Kind::Chase => 1.5,
        Kind::Gather => 1.0,
        Kind::Stream => 0.5,
        Kind::Stencil => 0.6,
        Kind::Blackscholes => 0.02,
    };
    let presses = |kind| match kind {
        Kind::Chase => 0.4,
        Kind::Gather => 0.6,
        Kind::Stream => 1.0,
        Kind::Stencil => 0.6,
        Kind::Blackscholes => 0.01,
    };
    let all = || Kind::ALL.into_iter().enumerate();
    all()
        .flat_map(|(victim, sufferer)| {
            all().map(move |(neighbour, presser)| {
                ((KindId(victim), KindId(neighbour)), suffers(sufferer) * presses(presser))
            })
        })
        .collect()
}
