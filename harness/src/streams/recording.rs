//! Recording the streams that are missing: each guest alone on the emulated host, for as long as a run will need it.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use machine::spec::{Cpu, Machine};
use machine::stream::Header;
use predictor::counters::Event;

use super::about::digest_of;
use super::length::{Lengths, with_margin};
use super::{ABOUT, About, Key, RECORDING, Recording, STREAM, Streams, StreamsError, open};
use crate::host::emulated::{EmulatedHost, GuestPlan, Setup};
use crate::host::replayed::Completion;
use crate::host::{GuestEvent, Host, HostError, Observation};
use crate::image::Image;
use crate::input::InputError;
use crate::interrupt::Interrupt;
use crate::qemu::Program;
use crate::workers::{at_once, side_by_side};

/// Time passes in steps of about so many cycles, so that completed runs of the program are placed closely.
const STEP_CYCLES: u64 = 1_000_000;
/// How often a recording says how far it is, in parts of it.
const REPORTS: u64 = 4;
/// Seed of the page colours while recording. A stream holds physical lines and does not depend on it; its length in
/// cycles does, a little.
const SEED: u64 = 1;

/// A stream that a run needs.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The machine of the run.
    pub machine: &'a Machine,
    /// The guest.
    pub guest: &'a GuestPlan,
    /// How long the run is, in virtual cycles.
    pub cycles: u64,
}

/// What recordings are made with.
pub struct Recorder<'a> {
    /// Where they are kept.
    pub streams: &'a Streams,
    /// How long known ones are.
    pub lengths: &'a Lengths,
    /// What executes the guests.
    pub qemu: &'a Program,
    /// What the guests boot.
    pub image: &'a Image,
    /// The cache with saved states.
    pub cache: &'a Path,
    /// Where console logs are kept if a guest fails.
    pub consoles: Option<&'a Path>,
    /// Asked between steps.
    pub interrupt: &'a Interrupt,
    /// Told what is being done, for people.
    pub progress: &'a (dyn Fn(&str) + Sync),
}

impl Recorder<'_> {
    /// A stream for each of `wanted`, in their order: from the cache if it is long enough there, else recorded now, as many
    /// at once as there are CPUs and memory.
    pub fn ensure_all(&self, wanted: &[Wanted<'_>]) -> Result<Vec<Recording>, StreamsError> {
        let largest = wanted.iter().map(|wanted| wanted.guest.memory_mib).max().unwrap_or(0);
        side_by_side(wanted.len(), at_once(1, largest), &|number| self.ensure(wanted[number]))
    }

    fn ensure(&self, wanted: Wanted<'_>) -> Result<Recording, StreamsError> {
        let key = Key::of(self.qemu, self.image, wanted.guest, wanted.machine);
        if let Some(found) = self.long_enough(&key, wanted)? {
            return Ok(found);
        }
        // Guests that run the same program share one: whoever comes second waits for the first, and then finds it.
        let _lock = self.streams.lock(&key, self.interrupt)?;
        match self.long_enough(&key, wanted)? {
            Some(found) => Ok(found),
            None => self.record(&key, wanted),
        }
    }

    fn long_enough(&self, key: &Key, wanted: Wanted<'_>) -> Result<Option<Recording>, StreamsError> {
        let Some(longest) = self.streams.longest(key) else { return Ok(None) };
        let lasts = self.lengths.lasts(&longest, wanted.machine, wanted.cycles)?;
        Ok(lasts.then_some(longest))
    }

    fn record(&self, key: &Key, wanted: Wanted<'_>) -> Result<Recording, StreamsError> {
        let folder = &self.streams.folder;
        let building = tempfile::Builder::new().prefix(RECORDING).tempdir_in(folder);
        let building = building.map_err(StreamsError::io("create a folder in", folder))?;
        let stream = building.path().join(STREAM);
        let mut file = File::create(&stream).map_err(StreamsError::io("create", &stream))?;
        // Held by us and by QEMU: whoever clears up sees that the recording is going on.
        file.lock().map_err(StreamsError::io("lock", &stream))?;
        let header = Header {
            program: wanted.guest.launch.argv.clone(),
            image: self.image.digest.clone(),
            machine: wanted.machine.name().to_owned(),
            private: wanted.machine.private_digest(),
        };
        header.write(&mut file)?;
        let played = self.play(&file, wanted)?;
        drop(file);
        // Also verifies it, to the last byte.
        let written = machine::stream::Stream::open(&stream)?;
        let about = About {
            format: About::FORMAT,
            program: header.program,
            image: header.image,
            qemu: self.qemu.version().to_owned(),
            memory_mib: wanted.guest.memory_mib,
            machine: header.machine,
            machine_digest: digest_of(wanted.machine),
            private: header.private,
            cycles: played.cycles,
            instructions: written.instructions(),
            references: written.references(),
            completions: played.completions,
        };
        let text = serde_json::to_vec_pretty(&about).expect("plain data");
        let path = building.path().join(ABOUT);
        fs::write(&path, text).map_err(StreamsError::io("write", &path))?;
        for path in [&stream, &path] {
            File::open(path).and_then(|file| file.sync_all()).map_err(StreamsError::io("write", path))?;
        }
        self.streams.publish(building, key, about.instructions)
    }

    /// Lets the guest run alone for as long as it is wanted.
    fn play(&self, stream: &File, wanted: Wanted<'_>) -> Result<Played, StreamsError> {
        let Wanted { machine, guest, cycles } = wanted;
        let name = &guest.name;
        let cycles = with_margin(machine, cycles);
        let first = machine.domains().first().and_then(|(_, cpus)| cpus.first().copied()).unwrap_or(Cpu(0));
        let alone = [GuestPlan { cpu: first, ..guest.clone() }];
        let setup = Setup {
            machine,
            guests: &alone,
            qemu: self.qemu,
            image: self.image,
            cache: self.cache,
            seed: SEED,
            consoles: self.consoles,
            progress: self.progress,
        };
        let launched = EmulatedHost::record(&setup, stream, self.interrupt);
        let mut host =
            launched.map_err(|source| StreamsError::Launch { guest: name.clone(), source: Box::new(source) })?;
        let failed = |source: HostError| StreamsError::Run { guest: name.clone(), source };
        let (step_cycles, step) = step(machine);
        let mut played = Played::default();
        let mut told = None;
        while played.cycles < cycles {
            self.interrupt.check()?;
            let part = REPORTS * played.cycles / cycles;
            if told != Some(part) {
                told = Some(part);
                (self.progress)(&format!("record the stream of \"{name}\": {} %", 100 * part / REPORTS));
            }
            played.add(step_cycles, &host.advance(step).map_err(failed)?);
        }
        host.end_recording().map_err(failed)?;
        Ok(played)
    }
}

/// A guest's time alone.
#[derive(Debug, Default)]
struct Played {
    cycles: u64,
    instructions: u64,
    completions: Vec<Completion>,
}

impl Played {
    fn add(&mut self, cycles: u64, seen: &Observation) {
        self.cycles += cycles;
        let executed = seen.samples.iter().filter_map(|sample| sample.count(Event::Instructions));
        self.instructions += executed.sum::<u64>();
        for GuestEvent::RunCompleted { run, checksum, .. } in &seen.guest_events {
            let (run, checksum) = (*run, checksum.clone());
            self.completions.push(Completion { instructions: self.instructions, run, checksum });
        }
    }
}

/// The shortest step of [`STEP_CYCLES`] or more that is whole epochs and whole nanoseconds.
fn step(machine: &Machine) -> (u64, Duration) {
    let (epoch, frequency_mhz) = (machine.epoch_cycles(), u64::from(machine.frequency_mhz()));
    let least = STEP_CYCLES.div_ceil(epoch);
    let steps = (least..=least + frequency_mhz).map(|epochs| epochs * epoch);
    let whole = steps.map(|cycles| (cycles, cycles * 1000)).find(|(_, scaled)| scaled.is_multiple_of(frequency_mhz));
    let (cycles, scaled) = whole.expect("one of as many steps as the clock has MHz is whole");
    (cycles, Duration::from_nanos(scaled / frequency_mhz))
}

impl Streams {
    /// Held while a stream of this key is recorded.
    fn lock(&self, key: &Key, interrupt: &Interrupt) -> Result<File, StreamsError> {
        let path = self.folder.join(format!("{}.lock", key.text()));
        let opened = File::options().create(true).append(true).open(&path);
        let file = opened.map_err(StreamsError::io("open", &path))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::WouldBlock) => {}
                Err(fs::TryLockError::Error(error)) => return Err(StreamsError::io("lock", &path)(error)),
            }
            interrupt.check()?;
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Gives a complete recording its name, and removes the shorter and the broken ones of its key. Lengths of recordings of the
    /// same cycles differ a little, so a broken one may be longer.
    fn publish(&self, building: tempfile::TempDir, key: &Key, instructions: u64) -> Result<Recording, StreamsError> {
        let entry = self.folder.join(format!("{}-{instructions:015}", key.text()));
        if entry.exists() {
            // Only a broken one can stand there: a whole one would have been used.
            super::remove(&entry).map_err(StreamsError::io("remove", &entry))?;
        }
        fs::rename(building.path(), &entry).map_err(StreamsError::io("keep", &entry))?;
        // The name is the recording's now; there is nothing left to remove.
        let _ = building.keep();
        for (other, folder) in self.folders_of(key)? {
            if other < instructions || folder != entry && open(&folder).is_err() {
                self.remove(&super::entry(&folder))?;
            }
        }
        open(&entry).map_err(|error: InputError| error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_whole_epochs_and_whole_nanoseconds() {
        let small = Machine::preset("small-2x2").expect("it comes with the program");
        assert_eq!(step(&small), (1_000_000, Duration::from_micros(500)));
        let odd = small.text().replace("frequency_mhz = 2000", "frequency_mhz = 2300");
        let odd = Machine::from_toml(&odd).expect("a machine");
        let (cycles, duration) = step(&odd);
        assert!(cycles >= STEP_CYCLES && cycles.is_multiple_of(odd.epoch_cycles()));
        assert_eq!(duration.as_nanos() * 2300, u128::from(cycles) * 1000);
    }
}
