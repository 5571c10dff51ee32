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

use crate::host::simulated::hardware::Hardware;
use crate::host::simulated::script::{KindId, PhaseKind, Script, ScriptedGuest, Stretch};
use crate::host::simulated::sharing::Sharing;
use crate::mix::{Mix, MixGuest};

/// A kind of phase whose data fits in the private caches, whatever it does with them.
const RESIDENT: KindId = KindId(Kind::ALL.len());

/// A kind of phase that does next to nothing.
const IDLE: KindId = KindId(Kind::ALL.len() + 1);

/// Largest relative deviation in a quantum.
const NOISE: f64 = 0.02;

/// Cycles per instruction of a core that never waits; what a phase costs beyond it is stall.
const CORE_CYCLES_PER_INSTRUCTION: f64 = 0.5;

/// Rounds of a script that are played before it starts again.
const MOST_ROUNDS: u64 = 100;

/// Instructions of a phase without an end.
const ENDLESS: u64 = 1 << 60;

/// What a simulated host plays for `mix`.
pub(super) fn script(mix: &Mix) -> Script {
    let cast = |guest: &MixGuest| ScriptedGuest {
        name: guest.name.clone(),
        vcpus: guest.vcpus,
        domain: guest.domain,
        cpu: guest.cpu,
        stretches: stretches(guest, mix.machine.l2().map_or(0, |l2| l2.bytes())),
        arrives: std::time::Duration::ZERO,
        departs: None,
    };
    Script {
        hardware: Hardware::of_machine(&mix.machine),
        events: Event::ALL.into(),
        kinds: kinds(),
        sharing: Sharing::Table(interference()),
        guests: mix.guests.iter().map(cast).collect(),
        noise: NOISE,
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

/// The steps of the script among the program's arguments, as often as these say, within reason.
fn phased(guest: &MixGuest, private_bytes: u64) -> Vec<Stretch> {
    let argv = &guest.launch.argv;
    let script = argv.iter().find_map(|word| word.parse::<workloads::script::Script>().ok());
    let Some(script) = script else { return drawn(guest) };
    let option = |name: &str| argv.windows(2).find(|pair| pair[0] == name).and_then(|pair| pair[1].parse().ok());
    let rounds = option("--repeat").map_or(1, |rounds: u64| rounds.clamp(1, MOST_ROUNDS));
    let mut stretches = Vec::new();
    script.play(rounds, option("--seed").unwrap_or(1), |step| {
        let (kind, working_set_bytes) = script.phases()[step.phase];
        stretches.push(Stretch {
            kind: cast(kind, working_set_bytes, private_bytes),
            instructions: step.instructions,
            truth: u32::try_from(step.phase).ok().map(PhaseMark).filter(|_| guest.truth),
        });
    });
    stretches
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
    let kernels = Kind::ALL.map(|kind| {
        let (cycles_per_instruction, rates, llc_miss_ratio) = match kind {
            Kind::Chase => (12.0, [280.0, 4.0, 270.0, 230.0], 0.05),
            Kind::Gather => (4.0, [250.0, 4.0, 230.0, 200.0], 0.1),
            Kind::Stream => (2.5, [250.0, 125.0, 60.0, 45.0], 0.9),
            Kind::Stencil => (1.4, [350.0, 80.0, 40.0, 20.0], 0.5),
            Kind::Blackscholes => (0.9, [220.0, 60.0, 2.0, 0.2], 0.1),
            Kind::Canneal => (1.1, [170.0, 70.0, 19.0, 16.0], 0.1),
            Kind::Swaptions => (0.7, [370.0, 43.0, 0.2, 0.2], 0.1),
            Kind::Streamcluster => (1.2, [320.0, 1.0, 40.0, 39.0], 0.3),
            Kind::Fluidanimate => (0.7, [185.0, 8.0, 0.8, 0.5], 0.1),
            Kind::Dedup => (0.8, [166.0, 4.0, 2.0, 1.8], 0.8),
            Kind::Viterbi => (0.9, [320.0, 110.0, 13.0, 13.0], 0.2),
            Kind::EventQueue => (1.3, [150.0, 85.0, 13.0, 8.0], 0.2),
            Kind::Stringwalk => (1.6, [225.0, 7.0, 19.0, 11.0], 0.2),
            Kind::Spmv => (1.1, [500.0, 74.0, 44.0, 25.0], 0.4),
            Kind::Btree => (1.6, [125.0, 7.0, 19.0, 11.0], 0.2),
        };
        phase(kind.name(), cycles_per_instruction, rates, llc_miss_ratio)
    });
    let resident = phase("resident", 0.7, [300.0, 100.0, 5.0, 0.1], 0.1);
    let idle = PhaseKind { name: "idle".to_owned(), idle_share: 0.999, kernel_share: 1.0, ..resident.clone() };
    kernels.into_iter().chain([resident, idle]).collect()
}

/// Loads, stores, L1 misses and LLC references per thousand instructions.
fn phase(name: &str, cycles_per_instruction: f64, rates: [f64; 4], llc_miss_ratio: f64) -> PhaseKind {
    let [loads, stores, l1_misses, llc_references] = rates;
    PhaseKind {
        name: name.to_owned(),
        cycles_per_instruction,
        stall_share: (1.0 - CORE_CYCLES_PER_INSTRUCTION / cycles_per_instruction).max(0.0),
        footprint_share: 1.0,
        idle_share: 0.0,
        kernel_share: 0.005,
        loads,
        stores,
        l1_misses,
        llc_references,
        llc_miss_ratio,
        profile: None,
    }
}

/// How much longer each kind takes beside one of each other: a product of how much the one suffers and the other
/// presses.
fn interference() -> BTreeMap<(KindId, KindId), f64> {
    let suffers_and_presses = |kind| match kind {
        Kind::Chase => (1.5, 0.4),
        Kind::Gather => (1.0, 0.6),
        Kind::Stream => (0.5, 1.0),
        Kind::Stencil => (0.6, 0.6),
        Kind::Blackscholes | Kind::Swaptions | Kind::Fluidanimate => (0.02, 0.01),
        Kind::Canneal => (0.6, 0.4),
        Kind::Streamcluster => (0.8, 0.7),
        Kind::Dedup => (0.1, 0.4),
        Kind::Viterbi => (0.4, 0.4),
        Kind::EventQueue => (0.6, 0.3),
        Kind::Stringwalk | Kind::Btree => (1.0, 0.3),
        Kind::Spmv => (0.6, 0.7),
    };
    let all = || Kind::ALL.into_iter().enumerate();
    all()
        .flat_map(|(victim, sufferer)| {
            all().map(move |(neighbour, presser)| {
                let (suffers, presses) = (suffers_and_presses(sufferer).0, suffers_and_presses(presser).1);
                ((KindId(victim), KindId(neighbour)), suffers * presses)
            })
        })
        .collect()
}
