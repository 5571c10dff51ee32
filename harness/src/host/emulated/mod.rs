//! Stock Linux guests under QEMU TCG on an emulated machine.
//!
//! One QEMU process a guest, each with our plugin, all sharing one segment that holds the emulated machine: the plugin
//! counts and computes virtual cycles, the segment keeps the guests in step, and this file grants one quantum after the
//! other and reads the counters when everybody is parked. Guests start from saved states, so that a run depends on the
//! machine, the guests and the seed only.
//!
//! What the counters mean is the `machine` crate's; processes are [`crate::qemu`]'s.

mod launch;
mod plan;
pub mod plugin;
mod talk;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use machine::segment::{Progress, Segment, Slot};
use machine::spec::Machine;
use predictor::counters::{AddressSpace, Event, GuestId, Sample, VcpuId};
use predictor::placement::Move;
use predictor::topology::Topology;

pub use launch::{LaunchError, description};
pub use plan::{GuestPlan, QEMU_OVERHEAD_MIB, check, check_one_by_one, check_vcpus};

use self::launch::Restorer;
use self::talk::{Line, wrong_answer};
use super::sampling::{self, Sums};
use super::seating::{Answer, Seating, cycles_in};
use super::{Arrival, GuestEvent, Host, HostError, MoveOutcome, Observation};
use crate::image::Image;
use crate::input::InputError;
use crate::interrupt::Interrupt;
use crate::qemu::snapshot::Snapshots;
use crate::qemu::{Program, Qemu, QemuError, RunFolder};

/// From `go` to the begin mark a guest executes a few thousand instructions.
const BEGIN_WITHIN: Duration = Duration::from_secs(60);
/// A quantum takes about a second of wall time for each hundred million instructions; one that takes this long hangs.
const QUANTUM_WITHIN: Duration = Duration::from_secs(120);
/// QEMU that was asked to end does so in a moment, with megabytes of a stream to write at most.
const END_WITHIN: Duration = Duration::from_secs(30);
/// How often a wait looks for guests that have died.
const SLICE: Duration = Duration::from_millis(100);

/// What to launch, and with what.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// The emulated machine.
    pub machine: &'a Machine,
    /// The guests, in the order of their ids.
    pub guests: &'a [GuestPlan],
    /// What executes them.
    pub qemu: &'a Program,
    /// What they boot.
    pub image: &'a Image,
    /// The cache in which saved states are kept.
    pub cache: &'a Path,
    /// Chooses the guests' page colours.
    pub seed: u64,
    /// Where console logs are kept if a guest fails; nowhere if absent.
    pub consoles: Option<&'a Path>,
    /// Told what is being done, for people.
    pub progress: &'a (dyn Fn(&str) + Sync),
}

/// A running emulated machine with its guests. Dropping it ends them.
pub struct EmulatedHost {
    machine: Machine,
    seating: Seating,
    events: BTreeSet<Event>,
    guests: Vec<Guest>,
    announced: bool,
    quantum_within: Duration,
    consoles: Option<PathBuf>,
    // Fields are dropped in this order: guests first, then what they use.
    segment: Segment,
    run: RunFolder,
}

struct Guest {
    qemu: Qemu,
    sums: Sums,
    expected_checksum: Option<u64>,
    completed_runs: u64,
}

impl EmulatedHost {
    /// Checks the plan, restores every guest and brings each to its begin mark. No virtual time has passed then.
    pub fn launch(setup: &Setup<'_>, interrupt: &Interrupt) -> Result<Self, LaunchError> {
        Self::start(setup, None, interrupt)
    }

    /// As [`EmulatedHost::launch`], with one guest, whose references to the LLC are recorded into `stream`: a file that has
    /// a stream's header and nothing else. It is whole after [`EmulatedHost::end_recording`].
    pub fn record(setup: &Setup<'_>, stream: &File, interrupt: &Interrupt) -> Result<Self, LaunchError> {
        if setup.guests.len() != 1 {
            let problem = format!("{} guests are to be recorded into one stream", setup.guests.len());
            return Err(InputError::new(problem, "record each alone").into());
        }
        Self::start(setup, Some(stream), interrupt)
    }

    fn start(setup: &Setup<'_>, stream: Option<&File>, interrupt: &Interrupt) -> Result<Self, LaunchError> {
        check(setup.machine, setup.guests)?;
        let plugin = plugin::find(setup.qemu.interface())?;
        let run = RunFolder::create()?;
        let snapshots = Snapshots::open(setup.cache)?;
        let slots = u32::try_from(setup.guests.len()).expect("fewer guests than CPUs");
        let segment = Segment::create(setup.machine, slots, setup.seed)?;
        let restored = Restorer {
            program: setup.qemu,
            plugin: &plugin,
            snapshots: &snapshots,
            image: setup.image,
            segment: &segment,
            run: &run,
            stream,
            interrupt,
            progress: setup.progress,
        }
        .restore_all(setup.guests)
        .inspect_err(|_| keep(&run, setup.consoles))?;
        let guest = |(qemu, plan): (Qemu, &GuestPlan)| Guest {
            qemu,
            sums: Sums::zero(),
            expected_checksum: plan.launch.checksum,
            completed_runs: 0,
        };
        let mut host = Self {
            machine: setup.machine.clone(),
            seating: Seating::new(setup.machine, setup.guests.iter().map(|guest| guest.cpu).collect()),
            events: Event::ALL.into_iter().collect(),
            guests: restored.into_iter().zip(setup.guests).map(guest).collect(),
            announced: false,
            quantum_within: QUANTUM_WITHIN,
            consoles: setup.consoles.map(Path::to_owned),
            segment,
            run,
        };
        (setup.progress)("start all guests");
        if let Err(error) = host.begin(interrupt) {
            host.end();
            return Err(error);
        }
        Ok(host)
    }

    /// The same host, which takes a guest for hung if a quantum lasts longer than this on the wall clock. By default two
    /// minutes, many times what a slow machine needs.
    #[must_use]
    pub fn with_deadline(mut self, quantum_within: Duration) -> Self {
        self.quantum_within = quantum_within;
        self
    }

    /// Ends the guest that was recorded in order, so that its stream is whole.
    pub fn end_recording(mut self) -> Result<(), HostError> {
        self.segment.release();
        let ended = self.guests.iter_mut().try_for_each(|guest| guest.qemu.quit(END_WITHIN));
        ended.map_err(host_error)
    }

    /// How many runs of its program each guest has completed, in the order of their ids.
    #[must_use]
    pub fn completed_runs(&self) -> Vec<(GuestId, u64)> {
        self.ids().zip(&self.guests).map(|(vcpu, guest)| (vcpu.guest, guest.completed_runs)).collect()
    }

    /// The process of each guest, in the order of their ids.
    #[must_use]
    pub fn processes(&self) -> Vec<(GuestId, u32)> {
        self.ids().zip(&self.guests).map(|(vcpu, guest)| (vcpu.guest, guest.qemu.pid())).collect()
    }

    /// CPU time of this machine that each guest has cost so far, in the order of their ids.
    pub fn cpu_time(&self) -> Result<Vec<(GuestId, Duration)>, QemuError> {
        self.ids().zip(&self.guests).map(|(vcpu, guest)| Ok((vcpu.guest, guest.qemu.cpu_time()?))).collect()
    }

    /// The machine that is emulated.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    fn ids(&self) -> impl Iterator<Item = VcpuId> + use<> {
        self.seating.ids()
    }

    fn begin(&mut self, interrupt: &Interrupt) -> Result<(), LaunchError> {
        for (slot, guest) in (0..).map(Slot).zip(&mut self.guests) {
            self.segment.place(slot, self.seating.cpu(slot))?;
            guest.qemu.send("go")?;
            guest.qemu.resume()?;
        }
        let deadline = Instant::now() + BEGIN_WITHIN;
        while self.wait_slice("start", deadline, BEGIN_WITHIN)? {
            self.hear("start")?;
            interrupt.check().map_err(QemuError::from)?;
        }
        Ok(())
    }

    /// Waits a moment for all guests to be parked; whether there is more to wait for. Fails if a guest died, or if the
    /// deadline has passed.
    fn wait_slice(&mut self, action: &str, deadline: Instant, within: Duration) -> Result<bool, QemuError> {
        match self.segment.wait(SLICE) {
            Progress::AllParked => return Ok(false),
            Progress::Failed(slot) => {
                let reason = self.segment.failure(slot).unwrap_or_else(|| "its plugin gave up".to_owned());
                return Err(self.guest(slot).qemu.failure(action, reason));
            }
            Progress::Pending(pending) => {
                if let Some(dead) = self.guests.iter_mut().find_map(|guest| {
                    let status = guest.qemu.ended()?;
                    Some(guest.qemu.failure(action, crate::qemu::end_of(status)))
                }) {
                    return Err(dead);
                }
                if Instant::now() > deadline {
                    return Err(self.hung(action, &pending, within));
                }
            }
        }
        Ok(true)
    }

    /// The guest that all others wait for: the one whose turn it is, or that has not come to its begin mark.
    fn hung(&mut self, action: &str, pending: &[Slot], within: Duration) -> QemuError {
        let blocks = |slot: &&Slot| self.segment.has_turn(**slot) || !self.segment.arrived(**slot);
        let slot = pending.iter().find(blocks).or(pending.first()).copied().unwrap_or(Slot(0));
        let reason = format!("it hangs: the others have waited for it for {} s", within.as_secs());
        self.guest(slot).qemu.failure(action, reason)
    }

    fn guest(&mut self, slot: Slot) -> &mut Guest {
        &mut self.guests[slot.0 as usize]
    }

    /// Reads what guests have said.
    fn hear(&mut self, action: &str) -> Result<Vec<GuestEvent>, QemuError> {
        let mut events = Vec::new();
        for (vcpu, guest) in self.ids().zip(&mut self.guests) {
            while let Some(line) = guest.qemu.next_line()? {
                match Line::parse(&line) {
                    Some(Line::Begin) => {}
                    Some(Line::Done { run, status, checksum }) => {
                        if let Some(wrong) = wrong_answer(guest.expected_checksum, run, status, checksum) {
                            return Err(guest.qemu.failure(action, wrong));
                        }
                        guest.completed_runs += 1;
                        let checksum = Some(format!("{checksum:016x}"));
                        events.push(GuestEvent::RunCompleted { guest: vcpu.guest, run, checksum });
                    }
                    Some(Line::Error(text)) => return Err(guest.qemu.failure(action, format!("it says: {text}"))),
                    None => return Err(guest.qemu.failure(action, format!("it said {line:?}, which is no message"))),
                }
            }
        }
        Ok(events)
    }

    fn pass(&mut self, cycles: u64) -> Result<(), HostError> {
        let refused = |error: machine::segment::SegmentError| HostError { action: error.action, reason: error.reason };
        self.segment.grant(cycles).map_err(refused)?;
        let deadline = Instant::now() + self.quantum_within;
        while self.wait_slice("run", deadline, self.quantum_within).map_err(host_error)? {}
        Ok(())
    }

    fn observe(&mut self, quantum: Duration, cycles: u64) -> Result<Observation, HostError> {
        self.pass(cycles)?;
        let guest_events = self.hear("run").map_err(host_error)?;
        let samples = self.ids().map(|vcpu| self.sample(vcpu, quantum)).collect();
        let arrivals = if self.announced { Vec::new() } else { self.arrivals() };
        self.announced = true;
        Ok(Observation { samples, arrivals, guest_events, ..Observation::default() })
    }

    fn sample(&mut self, vcpu: VcpuId, elapsed: Duration) -> Sample {
        let slot = Slot(vcpu.guest.0);
        let now = Sums { counters: self.segment.counters(slot), marks: self.segment.mark_instructions(slot) };
        let domain = self.seating.domain(vcpu);
        let before = std::mem::replace(&mut self.guest(slot).sums, now);
        let readings = sampling::readings(&before.counters, &now.counters);
        let address_space = self.segment.address_space(slot).and_then(|space| AddressSpace::of_cr3(space.0));
        let truth = sampling::truth(&before.marks, &now.marks);
        Sample { vcpu, domain, elapsed, readings, address_space, truth }
    }

    fn arrivals(&self) -> Vec<Arrival> {
        let arrival = |(vcpu, guest): (VcpuId, &Guest)| Arrival {
            vcpu,
            name: guest.qemu.name().to_owned(),
            domain: self.seating.domain(vcpu),
        };
        self.ids().zip(&self.guests).map(arrival).collect()
    }

    /// Ends all guests; the host is of no more use.
    fn end(&mut self) {
        // A parked vCPU would not notice anything but a signal; released, none waits for a peer that is gone.
        self.segment.release();
        if !self.guests.is_empty() {
            keep(&self.run, self.consoles.as_deref());
        }
        self.guests.clear();
    }
}

impl Host for EmulatedHost {
    fn topology(&self) -> &Topology {
        self.seating.topology()
    }

    fn events(&self) -> &BTreeSet<Event> {
        &self.events
    }

    /// `quantum` is virtual time; it has to be a multiple of the machine's epoch.
    fn advance(&mut self, quantum: Duration) -> Result<Observation, HostError> {
        if self.guests.is_empty() {
            let action = "advance the emulated host".to_owned();
            return Err(HostError { action, reason: "its guests have ended after an earlier failure".to_owned() });
        }
        let cycles = cycles_in("emulated", quantum, &self.machine)?;
        self.observe(quantum, cycles).inspect_err(|_| self.end())
    }

    fn apply(&mut self, moves: &[Move]) -> Result<Vec<MoveOutcome>, HostError> {
        let Answer { outcomes, changes } = self.seating.answer(moves)?;
        for (slot, cpu) in changes {
            let action = || format!("move guest {} to CPU {}", slot.0, cpu.0);
            self.segment.place(slot, cpu).map_err(|error| HostError { action: action(), reason: error.to_string() })?;
        }
        Ok(outcomes)
    }
}

impl Drop for EmulatedHost {
    fn drop(&mut self) {
        self.segment.release();
    }
}

fn keep(run: &RunFolder, consoles: Option<&Path>) {
    if let Some(folder) = consoles
        && let Err(error) = run.keep_consoles(folder)
    {
        // The failure that led here says more; the last lines are in its message.
        eprintln!("phasecast: {error}");
    }
}

fn host_error(error: QemuError) -> HostError {
    match error {
        QemuError::Guest { action, guest, reason, console } => HostError {
            action: format!("{action} guest \"{guest}\""),
            reason: format!("{reason}{}", crate::qemu::last_words(&console)),
        },
        other => HostError { action: "run the guests".to_owned(), reason: other.to_string() },
    }
}
