//! A test bench for the emulated host: the guest image, the plugin, guests to launch, and sums over quanta.
//!
//! The image is built once into a cache that all tests share (`$PHASECAST_CACHE`, else `phasecast-cache` in the target
//! folder). Tests that run guests take turns, across processes: each measures or uses all of a small machine. Where QEMU
//! is missing a test says so and passes, unless `REQUIRE_HOSTS` names `emulated`, or `replayed`, whose streams are recorded
//! there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::emulators;
use harness::host::emulated::{EmulatedHost, GuestPlan, LaunchError, Setup, description, plugin};
use harness::host::replayed::{ReplayedGuest, ReplayedHost};
use harness::host::{GuestEvent, Host, Observation};
use harness::image::{Cache, Image};
use harness::interrupt::Interrupt;
use harness::qemu::snapshot::Snapshots;
use harness::qemu::{Program, Qemu, RunFolder, Start, Uncounted};
use harness::streams::{Lengths, Recorder, Recording, Streams, StreamsError, Wanted};
use machine::replay::ReplayError;
use machine::spec::{Cpu, Machine};
use predictor::counters::{Event, Sample};
use workloads::catalogue::{Catalogue, Launch};

/// Set by a test that has the bench, for programs that it starts.
pub const TAKEN: &str = "PHASECAST_BENCH_IS_TAKEN";

/// Chooses page colours.
const SEED: u64 = 1;

/// Memory of every test guest.
const MEMORY_MIB: u32 = 256;

/// What the tests of the emulated host stand on. While it lives, no other test runs guests.
pub struct Bench {
    /// What guests boot.
    pub image: Image,
    /// Where saved states are kept.
    pub cache: PathBuf,
    /// What executes guests.
    pub qemu: Program,
    _turn: Option<File>,
}

impl Bench {
    /// The bench, once it is this test's turn; `None` where this machine cannot emulate guests, which is said on
    /// standard error and is a failure if `REQUIRE_HOSTS` names `emulated`.
    ///
    /// # Panics
    /// If the host is required and absent, or if the image cannot be built.
    #[must_use]
    pub fn take() -> Option<Self> {
        let taken = Self::take_with(None);
        if let Err(reason) = &taken {
            assert!(!required(), "REQUIRE_HOSTS names emulated: {reason}");
            eprintln!("NOT TESTED: the emulated host is not available: {reason}");
        }
        taken.ok()
    }

    /// The bench with the QEMU of that name, a version that is installed or a program, once it is this test's turn; else
    /// why it cannot be used.
    ///
    /// # Panics
    /// If the image cannot be built.
    pub fn take_with(qemu: Option<&str>) -> Result<Self, String> {
        let cache = Cache::open(cache_folder()).expect("a folder for images");
        let qemu = emulators::choose(qemu, cache.folder()).map_err(|error| whole(&error))?;
        plugin::find(qemu.interface()).map_err(|error| error.to_string())?;
        let turn = std::env::var_os(TAKEN).is_none().then(|| turn(&cache));
        let image = Image::ensure(&cache, &Interrupt::default(), &mut |line| eprintln!("image: {line}"));
        Ok(Self { image: image.expect("a guest image"), cache: cache.folder().to_owned(), qemu, _turn: turn })
    }

    /// Launches guests.
    pub fn try_launch(&self, machine: &Machine, guests: &[GuestPlan]) -> Result<EmulatedHost, LaunchError> {
        self.launch_until(machine, guests, &Interrupt::default())
    }

    /// Launches guests unless interrupted.
    pub fn launch_until(
        &self,
        machine: &Machine,
        guests: &[GuestPlan],
        interrupt: &Interrupt,
    ) -> Result<EmulatedHost, LaunchError> {
        let setup = Setup {
            machine,
            guests,
            qemu: &self.qemu,
            image: &self.image,
            cache: &self.cache,
            seed: SEED,
            consoles: None,
            progress: &|line| eprintln!("{line}"),
        };
        EmulatedHost::launch(&setup, interrupt)
    }

    /// Launches guests that are known to start.
    ///
    /// # Panics
    /// If they do not, with the whole reason.
    #[must_use]
    pub fn launch(&self, machine: &Machine, guests: &[GuestPlan]) -> EmulatedHost {
        self.try_launch(machine, guests).unwrap_or_else(|error| panic!("{}", whole(&error)))
    }

    /// The guests' streams, each recorded alone on the machine for so many quanta unless `streams` has it as long.
    pub fn record(
        &self,
        streams: &Streams,
        machine: &Machine,
        guests: &[GuestPlan],
        quanta: u64,
    ) -> Result<Vec<Recording>, StreamsError> {
        let cycles = quanta * QUANTUM_CYCLES;
        let wanted: Vec<Wanted<'_>> = guests.iter().map(|guest| Wanted { machine, guest, cycles }).collect();
        let recorder = Recorder {
            streams,
            lengths: &Lengths::default(),
            qemu: &self.qemu,
            image: &self.image,
            cache: &self.cache,
            consoles: None,
            interrupt: &Interrupt::default(),
            progress: &|line| eprintln!("{line}"),
        };
        recorder.ensure_all(&wanted)
    }

    /// A host that plays these recordings in place of the guests.
    pub fn play(
        &self,
        machine: &Machine,
        guests: &[GuestPlan],
        recordings: Vec<Recording>,
    ) -> Result<ReplayedHost, ReplayError> {
        let guest = |(plan, recording): (&GuestPlan, Recording)| ReplayedGuest {
            name: plan.name.clone(),
            stream: recording.stream,
            completions: recording.completions,
            cpu: plan.cpu,
        };
        ReplayedHost::new(machine, guests.iter().zip(recordings).map(guest).collect(), SEED)
    }

    /// Replays guests that are known to start, for so many quanta; their streams are kept beside the saved states.
    ///
    /// # Panics
    /// If they do not, with the whole reason.
    #[must_use]
    pub fn replay(&self, machine: &Machine, guests: &[GuestPlan], quanta: u64) -> ReplayedHost {
        let streams = Streams::open(&self.cache).expect("a folder for streams");
        let recorded = self.record(&streams, machine, guests, quanta);
        let recorded = recorded.unwrap_or_else(|error| panic!("{}", whole(&error)));
        self.play(machine, guests, recorded).unwrap_or_else(|error| panic!("{}", whole(&error)))
    }

    /// CPU time of one run of a guest's program that is not counted, from the same saved state: without a plugin, or with
    /// one that is called and counts nothing.
    ///
    /// # Panics
    /// If the guest does not run.
    #[must_use]
    pub fn uncounted_run(&self, plan: &GuestPlan, calls: Option<&str>) -> Duration {
        let plugin = plugin::find(self.qemu.interface()).expect("it was there before");
        let uncounted = calls.map(|calls| Uncounted { file: &plugin, calls });
        let interrupt = Interrupt::default();
        let program = &self.qemu;
        let folder = RunFolder::create().expect("a run folder");
        let description = description(plan, &self.image);
        let snapshots = Snapshots::open(&self.cache).expect("a folder for saved states");
        let state = snapshots.ensure(program, &description, &self.image.digest, &folder, &interrupt);
        let start = Start { plugin: None, uncounted, state: Some(state.expect("a saved state")) };
        let mut guest = Qemu::start(program, &description, start, &folder).expect("it starts");
        guest.wait_restored(&interrupt).expect("it is restored");
        let before = guest.cpu_time().expect("it is there");
        guest.send("go").expect("its port is open");
        guest.resume().expect("it runs");
        let mut next = || guest.wait_line("run", Duration::from_secs(120), &interrupt).expect("a line");
        assert_eq!(next(), "begin");
        let line = next();
        assert!(line.starts_with("done run=0 status=0 "), "{line}");
        guest.cpu_time().expect("it runs").saturating_sub(before)
    }

    /// CPU time of one run of a guest's program alone on the emulated machine, and what was counted until the quantum in
    /// which it ended was over.
    ///
    /// # Panics
    /// If the guest does not run.
    #[must_use]
    pub fn counted_run(&self, plan: &GuestPlan) -> (Duration, Totals) {
        let mut host = self.launch(&small_machine(), std::slice::from_ref(plan));
        let spent = |host: &EmulatedHost| host.cpu_time().expect("it runs")[0].1;
        let before = spent(&host);
        let completed = |event: &GuestEvent| matches!(event, GuestEvent::RunCompleted { run: 0, .. });
        let mut counted = Totals::default();
        loop {
            let observed = observe(&mut host, 1);
            counted.add(Totals::of(&observed[0].samples[0]));
            if observed[0].guest_events.iter().any(completed) {
                return (spent(&host).checked_sub(before).expect("time goes on"), counted);
            }
        }
    }
}

/// An error with all its causes on one line.
#[must_use]
pub fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}

/// Held by a test that uses all of the machine, or measures it; waits for this test's turn.
///
/// # Panics
/// If the file cannot be locked.
#[must_use]
pub fn turn(cache: &Cache) -> File {
    let turn = File::create(cache.folder().join("tests.lock")).expect("a lock file");
    turn.lock().expect("this test's turn");
    turn
}

/// Whether a machine without the emulated host fails the tests.
fn required() -> bool {
    std::env::var("REQUIRE_HOSTS")
        .is_ok_and(|hosts| hosts.split(',').any(|host| ["emulated", "replayed"].contains(&host.trim())))
}

/// The cache that all tests share.
///
/// # Panics
/// If this test has no executable.
#[must_use]
pub fn cache_folder() -> PathBuf {
    let beside_the_build = || {
        let executable = std::env::current_exe().expect("a test has an executable");
        // TARGET/PROFILE/deps/TEST, whatever the target folder is called.
        let target = executable.ancestors().nth(3);
        target.unwrap_or(Path::new("target")).join("phasecast-cache")
    };
    std::env::var_os("PHASECAST_CACHE").filter(|value| !value.is_empty()).map_or_else(beside_the_build, PathBuf::from)
}

/// The machine of the tests.
///
/// # Panics
/// Never: it comes with the program.
#[must_use]
pub fn small_machine() -> Machine {
    Machine::preset("small-2x2").expect("it comes with the program")
}

/// The same machine with some lines of its description replaced.
///
/// # Panics
/// If a line is not there, or what stands there instead describes no machine.
#[must_use]
pub fn small_machine_with(replaced: &[(&str, &str)]) -> Machine {
    let mut text = small_machine().text().to_owned();
    for (line, other) in replaced {
        assert!(text.contains(line), "small-2x2 has no {line:?}");
        text = text.replace(line, other);
    }
    Machine::from_toml(&text).expect("still a machine")
}

/// A guest that runs a program of the catalogue on its default input.
///
/// # Panics
/// If the catalogue does not have it.
#[must_use]
pub fn guest(name: &str, program: &str, cpu: u32) -> GuestPlan {
    let catalogue = Catalogue::builtin();
    let program = catalogue.program(program).expect("it is in the catalogue");
    plan(name, program.launch(None).expect("it has an input"), cpu)
}

/// A guest that runs `kernels` with these arguments, whatever comes out.
#[must_use]
pub fn kernel(name: &str, arguments: &str, cpu: u32) -> GuestPlan {
    let words: Vec<&str> = std::iter::once("/usr/bin/kernels").chain(arguments.split(' ')).collect();
    program(name, &words, cpu)
}

/// A guest that runs a program of its image with these words, whatever comes out.
#[must_use]
pub fn program(name: &str, words: &[&str], cpu: u32) -> GuestPlan {
    let argv = words.iter().map(|&word| word.to_owned()).collect();
    plan(name, Launch { argv, files: Vec::new(), checksum: None, disk: None }, cpu)
}

fn plan(name: &str, launch: Launch, cpu: u32) -> GuestPlan {
    GuestPlan { name: name.to_owned(), launch, memory_mib: MEMORY_MIB, vcpus: 1, cpu: Cpu(cpu) }
}

/// Ten million cycles of the machine of the tests.
pub const QUANTUM: Duration = Duration::from_millis(5);

/// The cycles of [`QUANTUM`].
const QUANTUM_CYCLES: u64 = 10_000_000;

/// What one vCPU did over some quanta.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Totals {
    /// Instructions.
    pub instructions: u64,
    /// Cycles in which it ran.
    pub cycles: u64,
    /// Cycles in which it did not.
    pub idle_cycles: u64,
    /// Loads.
    pub loads: u64,
    /// Stores.
    pub stores: u64,
    /// Loads and stores that missed the L1.
    pub l1_misses: u64,
    /// L2 misses.
    pub llc_references: u64,
    /// LLC misses.
    pub llc_misses: u64,
    /// Cycles in which it waited for memory.
    pub stall_cycles: u64,
}

impl Totals {
    /// Sums of one sample.
    ///
    /// # Panics
    /// If a counter is absent, which none is on the emulated host.
    #[must_use]
    pub fn of(sample: &Sample) -> Self {
        let count = |event| sample.count(event).expect("the emulated host counts everything");
        Self {
            instructions: count(Event::Instructions),
            cycles: count(Event::Cycles),
            idle_cycles: count(Event::IdleCycles),
            loads: count(Event::Loads),
            stores: count(Event::Stores),
            l1_misses: count(Event::L1Misses),
            llc_references: count(Event::LlcReferences),
            llc_misses: count(Event::LlcMisses),
            stall_cycles: count(Event::StallCycles),
        }
    }

    /// Cycles for each instruction.
    #[must_use]
    pub fn cycles_per_instruction(&self) -> f64 {
        self.cycles as f64 / self.instructions as f64
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: Self) {
        self.instructions += other.instructions;
        self.cycles += other.cycles;
        self.idle_cycles += other.idle_cycles;
        self.loads += other.loads;
        self.stores += other.stores;
        self.l1_misses += other.l1_misses;
        self.llc_references += other.llc_references;
        self.llc_misses += other.llc_misses;
        self.stall_cycles += other.stall_cycles;
    }
}

/// Lets quanta pass and keeps what was seen.
///
/// # Panics
/// If the host fails.
pub fn observe(host: &mut EmulatedHost, quanta: usize) -> Vec<Observation> {
    (0..quanta).map(|_| host.advance(QUANTUM).unwrap_or_else(|error| panic!("{error}"))).collect()
}

/// Lets quanta pass and sums each vCPU's counters, in the order of their ids.
///
/// # Panics
/// If the host fails.
pub fn totals(host: &mut EmulatedHost, quanta: usize) -> Vec<Totals> {
    let observed = observe(host, quanta);
    let mut sums = vec![Totals::default(); observed.first().map_or(0, |first| first.samples.len())];
    for observation in &observed {
        for (sum, sample) in sums.iter_mut().zip(&observation.samples) {
            sum.add(Totals::of(sample));
        }
    }
    sums
}
