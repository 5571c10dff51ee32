//! Two guests ever further apart: on one CPU, on two hardware threads of a core, in one LLC domain, in another, on another node,
//! there with their memory left behind. What does each step cost or save?
//!
//! On the simulated host, which has hardware threads and nodes where the machine has them: what it says of each relation follows from
//! its rules, and the survey shows what these come to, pair by pair. [`report`] makes the table.

mod report;

use std::collections::BTreeSet;
use std::time::Duration;

use predictor::counters::{Event, GuestId, VcpuId};
use predictor::placement::Move;
use predictor::topology::{CpuId, DomainId};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::folder::{Plan, SurveyFolder};
use super::play::prepare;
use super::{Collected, Outcome, SurveyError, TextFile};
use crate::experiment::Surroundings;
use crate::host::Host;
use crate::host::simulated::SimulatedHost;
use crate::host::simulated::hardware::Hardware;
use crate::host::simulated::script::{KindId, PhaseKind, Script, ScriptedGuest, Stretch};
use crate::host::simulated::sharing::Sharing;
use crate::report::ReportError;
use crate::testbed::{BedError, BedKind};

/// Kinds of phases that are paired, where a table has more.
const KINDS: usize = 8;

/// Instructions of a phase without an end.
const ENDLESS: u64 = 1 << 60;

/// How two vCPUs stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// They take turns.
    SameCpu,
    /// Hardware threads of one core.
    SameCore,
    /// Two cores of one LLC domain.
    SameLlc,
    /// Two LLC domains of one node.
    OtherLlc,
    /// Two nodes, each with its memory.
    OtherNode,
    /// Two nodes; the second vCPU's memory is on the first's.
    MemoryLeftBehind,
}

impl Relation {
    /// All, the closest first.
    pub const ALL: [Relation; 6] = [
        Relation::SameCpu,
        Relation::SameCore,
        Relation::SameLlc,
        Relation::OtherLlc,
        Relation::OtherNode,
        Relation::MemoryLeftBehind,
    ];

    /// The name used in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Relation::SameCpu => "same CPU",
            Relation::SameCore => "same core",
            Relation::SameLlc => "same LLC",
            Relation::OtherLlc => "other LLC",
            Relation::OtherNode => "other node",
            Relation::MemoryLeftBehind => "other node, memory left behind",
        }
    }

    /// Two CPUs of `hardware` that stand so to each other, where it has any; the first is its first.
    fn on(self, hardware: &Hardware) -> Option<[(DomainId, CpuId); 2]> {
        let domains = hardware.topology.domains();
        let (home, first) = (&domains[0], domains[0].cpus[0]);
        let siblings = |cpu: CpuId| hardware.cores.iter().any(|core| core.contains(&first) && core.contains(&cpu));
        let elsewhere = |fits: &dyn Fn(&predictor::topology::LlcDomain) -> bool| {
            domains[1..].iter().find(|domain| fits(domain)).map(|domain| (domain.id, domain.cpus[0]))
        };
        let within = |cpu: Option<&CpuId>| cpu.map(|cpu| (home.id, *cpu));
        let second = match self {
            Relation::SameCpu => Some((home.id, first)),
            Relation::SameCore => within(home.cpus[1..].iter().find(|cpu| siblings(**cpu))),
            Relation::SameLlc => within(home.cpus[1..].iter().find(|cpu| !siblings(**cpu))),
            Relation::OtherLlc => elsewhere(&|domain| domain.node == home.node),
            Relation::OtherNode | Relation::MemoryLeftBehind => elsewhere(&|domain| domain.node != home.node),
        };
        Some([(home.id, first), second?])
    }
}

/// What to survey.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The machine's name.
    pub machine: String,
    /// The machine as text, for the plan.
    pub machine_text: String,
    /// The machine.
    pub hardware: Hardware,
    /// The control period in cycles.
    pub quantum_cycles: u64,
    /// Length of each run.
    pub quanta: u64,
    /// The seed of everything random.
    pub seed: u64,
    /// Kinds of phases; one of each family, drawn, if empty.
    pub kinds: Vec<PhaseKind>,
}

/// One pair in one relation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placed {
    /// How they stand to each other.
    pub relation: Relation,
    /// What runs; the second is the one that goes ever further away.
    pub kinds: [String; 2],
    /// How many times as long as alone the work of each took.
    pub slowdowns: [f64; 2],
}

/// All that the survey found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placements {
    /// The machine's name.
    pub machine: String,
    /// How much longer everything takes beside a busy hardware thread of the same core.
    pub sibling_slowdown: f64,
    /// How much longer waiting for another node's memory takes, as a share.
    pub remote_share: f64,
    /// The control period in cycles.
    pub quantum_cycles: u64,
    /// Length of each run.
    pub quanta: u64,
    /// The seed.
    pub seed: u64,
    /// Relations that the machine does not have.
    pub lacking: Vec<Relation>,
    /// By relation, then by pair.
    pub placed: Vec<Placed>,
}

/// Runs the survey to its end, into a results folder of its own.
pub fn run(request: &Request, around: &Surroundings<'_>) -> Result<Outcome<Placements>, SurveyError> {
    let bed = prepare(BedKind::Simulated, around)?;
    let kinds = kinds(request);
    let (there, lacking): (Vec<Relation>, Vec<Relation>) =
        Relation::ALL.into_iter().partition(|relation| relation.on(&request.hardware).is_some());
    let pairs = (0..kinds.len()).flat_map(|one| (0..kinds.len()).map(move |other| [one, other]));
    let pairs: Vec<[usize; 2]> = pairs.collect();
    let jobs: Vec<(Relation, [usize; 2])> =
        there.iter().flat_map(|relation| pairs.iter().map(move |pair| (*relation, *pair))).collect();
    let name = |(relation, [one, other]): &(Relation, [usize; 2])| {
        format!("{}.{one}+{other}", relation.name().replace(", ", "-").replace(' ', "-"))
    };
    let names: Vec<String> = jobs.iter().map(name).collect();
    let cycles = (request.quantum_cycles, request.quanta);
    let plan = Plan::here(Placements::SURVEY, &bed, &request.machine_text, cycles, request.seed, names.clone());
    let folder = SurveyFolder::open(plan, around)?;
    let placed = folder.findings(&names, 1, around, &|place, label| {
        let (relation, pair) = jobs[place];
        measure(request, relation, pair.map(|kind| &kinds[kind]), label)
    })?;
    let found = Placements {
        machine: request.machine.clone(),
        sibling_slowdown: request.hardware.sibling_slowdown,
        remote_share: request.hardware.remote_share,
        quantum_cycles: request.quantum_cycles,
        quanta: request.quanta,
        seed: request.seed,
        lacking,
        placed,
    };
    Ok(Outcome { folder: folder.complete(&found, &bed)?, found })
}

/// What is paired: some of the table's, drawn by the seed, or one of each family.
fn kinds(request: &Request) -> Vec<PhaseKind> {
    let mut rng = ChaCha8Rng::seed_from_u64(request.seed);
    if request.kinds.is_empty() {
        return PhaseKind::one_of_each(&mut rng);
    }
    let mut kinds: Vec<PhaseKind> = request.kinds.choose_multiple(&mut rng, KINDS).cloned().collect();
    kinds.sort_by(|one, other| one.name.cmp(&other.name));
    kinds
}

fn measure(request: &Request, relation: Relation, kinds: [&PhaseKind; 2], label: &str) -> Result<Placed, SurveyError> {
    let seats = relation.on(&request.hardware).expect("only relations that the machine has are asked");
    let left_behind = relation == Relation::MemoryLeftBehind;
    let guest = |place: usize| {
        // Whoever leaves its memory behind starts beside the other, and goes.
        let (domain, cpu) = if left_behind { (seats[0].0, None) } else { (seats[place].0, Some(seats[place].1)) };
        ScriptedGuest {
            name: kinds[place].name.clone(),
            vcpus: 1,
            domain,
            cpu,
            stretches: vec![Stretch { kind: KindId(place), instructions: ENDLESS, truth: None }],
            arrives: Duration::ZERO,
            departs: None,
        }
    };
    let script = Script {
        hardware: request.hardware.clone(),
        events: BTreeSet::from(Event::ALL),
        kinds: kinds.map(Clone::clone).to_vec(),
        sharing: Sharing::Model,
        guests: vec![guest(0), guest(1)],
        noise: 0.0,
    };
    let failed = |source: BedError| SurveyError::Bed { what: label.to_owned(), source: Box::new(source) };
    let mut host = SimulatedHost::new(script, request.seed).map_err(|error| failed(error.into()))?;
    let quantum = Duration::from_secs_f64(request.quantum_cycles as f64 / request.hardware.frequency_hz as f64);
    let stopped = |cause| SurveyError::Run {
        what: label.to_owned(),
        source: crate::control::ControlError::Host { quantum: 0, cause },
    };
    let alone = |host: &SimulatedHost| -> Vec<f64> { host.alone_times().map(|(_, time)| time.as_secs_f64()).collect() };
    // The first two quanta are not counted: somebody may have to move, and to warm a cache.
    host.advance(quantum).map_err(stopped)?;
    if left_behind {
        let vcpu = VcpuId { guest: GuestId(1), index: 0 };
        host.apply(&[Move { vcpu, from: seats[0].0, to: seats[1].0 }]).map_err(stopped)?;
    }
    host.advance(quantum).map_err(stopped)?;
    let before = alone(&host);
    for _ in 0..request.quanta {
        host.advance(quantum).map_err(stopped)?;
    }
    let took = quantum.as_secs_f64() * request.quanta as f64;
    let after = alone(&host);
    let slowdowns = [0, 1].map(|place| took / (after[place] - before[place]));
    Ok(Placed { relation, kinds: kinds.map(|kind| kind.name.clone()), slowdowns })
}

impl Collected for Placements {
    const SURVEY: &'static str = "placements";

    fn check(&self) -> Result<(), String> {
        if self.placed.is_empty() {
            return Err("it has no pair".to_owned());
        }
        Ok(())
    }

    fn render(&self) -> Result<Vec<TextFile>, ReportError> {
        Ok(report::render(self))
    }

    fn for_people(&self) -> String {
        report::for_terminal(self)
    }

    fn for_programs(&self) -> serde_json::Value {
        report::as_json(self)
    }
}

#[cfg(test)]
mod tests {
    use machine::spec::Machine;

    use super::*;

    fn rome() -> Hardware {
        Hardware::of_machine(&Machine::preset("rome-4x2").expect("it comes with the program"))
    }

    #[test]
    fn a_machine_has_the_relations_that_it_has() {
        let has = |hardware: &Hardware| Relation::ALL.map(|relation| relation.on(hardware).is_some());
        assert_eq!(has(&rome()), [true, false, true, true, true, true]);
        assert_eq!(has(&rome().with_threads_per_core(2)), [true, true, false, true, true, true]);
        let small = Hardware::of_machine(&Machine::preset("small-2x2").expect("it comes with the program"));
        assert_eq!(has(&small), [true, false, true, true, false, false]);
    }

    #[test]
    fn each_relation_costs_what_its_rule_says() {
        let mut hardware = rome().with_threads_per_core(2);
        hardware.remote_share = 1.0;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let kinds = PhaseKind::one_of_each(&mut rng);
        let (compute, stream) = (&kinds[0], &kinds[2]);
        let request = Request {
            machine: String::new(),
            machine_text: String::new(),
            hardware,
            quantum_cycles: 10_000_000,
            quanta: 5,
            seed: 1,
            kinds: Vec::new(),
        };
        let of = |relation, pair| measure(&request, relation, pair, "").expect("it runs").slowdowns;
        let close = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
        let both = |found: [f64; 2], expected: f64| found.into_iter().for_each(|found| close(found, expected));
        both(of(Relation::SameCpu, [stream, stream]), 2.0);
        both(of(Relation::OtherNode, [stream, stream]), 1.0);
        assert!(of(Relation::SameCore, [compute, stream])[0] >= 1.6 - 1e-9);
        let [stayed, left] = of(Relation::MemoryLeftBehind, [stream, stream]);
        close(stayed, 1.0);
        assert!(left > 1.1, "a stream waits for memory: {left}");
    }
}
