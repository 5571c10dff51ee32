//! One run of a survey: guests that nobody moves, for so many quanta.

use std::path::{Path, PathBuf};

use machine::spec::Machine;
use predictor::counters::Sample;
use predictor::policy::{Policy, PolicyKind};
use predictor::topology::DomainId;
use workloads::catalogue::{Catalogue, Program};

use super::SurveyError;
use crate::control::{self, ControlError, RunLength};
use crate::experiment::Surroundings;
use crate::host::GuestEvent;
use crate::input::{InputError, suggest};
use crate::journal::JournalWriter;
use crate::mix::{DEFAULT_MEMORY_MIB, Mix, MixGuest};
use crate::testbed::{BedKind, TestBed};
use crate::trace::TraceWriter;

/// What a run is and where it leaves what.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// For people.
    pub label: &'a str,
    /// What it is for, for the head of its trace.
    pub purpose: &'a str,
    /// Who runs where.
    pub mix: &'a Mix,
    /// For how long.
    pub quanta: u64,
    /// Where its samples go as a trace, if anywhere.
    pub trace: Option<&'a Path>,
    /// Where console logs of guests that fail go.
    pub consoles: &'a Path,
}

/// What was seen of one guest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Played {
    /// Its samples, one a quantum.
    pub samples: Vec<Sample>,
    /// Runs of its program that ended in it, each with the right answer: a wrong one fails the run.
    pub completed_runs: u64,
}

/// Launches the guests and lets them run; answers what was seen of each, in the order of the mix.
pub fn play(bed: &TestBed, run: &Run<'_>, around: &Surroundings<'_>) -> Result<Vec<Played>, SurveyError> {
    let Run { label, purpose, mix, quanta, trace, consoles } = *run;
    let bar = around.progress.run(label, quanta);
    let mut host = bed
        .launch(mix, quanta, Some(consoles), around.interrupt, &|line| bar.preparing(line))
        .map_err(|source| SurveyError::Bed { what: label.to_owned(), source: Box::new(source) })?;
    let description = mix.describe(purpose, bed.kind().name(), PolicyKind::StayPut.name(), host.events());
    let mut trace = trace.map(|file| TraceWriter::create(file, &description)).transpose()?;
    let failed = |source: ControlError| SurveyError::Run { what: label.to_owned(), source };
    let journal = JournalWriter::new(std::io::sink(), &description).map_err(|error| failed(error.into()))?;
    let mut policy = Policy::stay_put(mix.topology());
    let mut played = vec![Played::default(); mix.guests.len()];
    let length = RunLength { quanta, quantum: mix.quantum() };
    control::run(&mut *host, &mut policy, journal, length, around.interrupt, &mut |turn| {
        for sample in &turn.observation.samples {
            played[sample.vcpu.guest.0 as usize].samples.push(sample.clone());
        }
        for event in &turn.observation.guest_events {
            let GuestEvent::RunCompleted { guest, .. } = event;
            played[guest.0 as usize].completed_runs += 1;
        }
        bar.quantum();
        trace.as_mut().map_or(Ok(()), |trace| Ok(trace.add_quantum(turn.quantum, &turn.observation.samples)?))
    })
    .map_err(failed)?;
    drop(host);
    bar.done();
    trace.map(TraceWriter::finish).transpose()?;
    Ok(played)
}

/// The test bed of this kind, ready to launch guests.
pub fn prepare(host: BedKind, around: &Surroundings<'_>) -> Result<TestBed, SurveyError> {
    let note = |line: &str| around.progress.note(line);
    TestBed::prepare_with(host, around.cache, around.qemu, around.interrupt, &note)
        .map_err(|source| SurveyError::Bed { what: "the test bed".to_owned(), source: Box::new(source) })
}

/// A program of the catalogue on one of its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work<'a> {
    /// The program.
    pub program: &'a Program,
    /// The name of one of its inputs.
    pub input: &'a str,
}

impl Work<'_> {
    /// The program's first input.
    #[must_use]
    pub fn first(program: &Program) -> Work<'_> {
        Work { program, input: &program.inputs()[0].name }
    }

    /// `program/input`; the program alone if that is its first.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.program.name, self.input)
    }
}

/// A mix of `works`, all in the machine's first LLC domain; guest n is called after its program and n.
pub fn mix_of(works: &[Work<'_>], machine: &Machine, quantum_cycles: u64, seed: u64) -> Result<Mix, InputError> {
    let guest = |(place, work): (usize, &Work<'_>)| -> Result<MixGuest, InputError> {
        let launch = work.program.launch(Some(work.input));
        let launch = launch.map_err(|error| InputError::new(error.to_string(), "choose another").at("--program"))?;
        Ok(MixGuest {
            name: format!("{}-{}", (b'a' + u8::try_from(place).unwrap_or(25)) as char, work.program.name),
            program: work.program.name.clone(),
            family: work.program.family,
            truth: work.program.truth,
            input: work.input.to_owned(),
            launch,
            domain: DomainId(0),
            cpu: None,
            memory_mib: DEFAULT_MEMORY_MIB,
            vcpus: 1,
        })
    };
    Ok(Mix {
        name: works.iter().map(Work::name).collect::<Vec<_>>().join("+"),
        file: PathBuf::from("survey"),
        machine: machine.clone(),
        machine_file: None,
        quantum_cycles,
        seed,
        guests: works.iter().enumerate().map(guest).collect::<Result<_, _>>()?,
    })
}

/// The programs of these names in the order of the catalogue; all of it if there is no name.
pub fn choose<'a>(catalogue: &'a Catalogue, names: &[String]) -> Result<Vec<&'a Program>, InputError> {
    let known: Vec<&str> = catalogue.programs().iter().map(|program| program.name.as_str()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(
            InputError::new(format!("no program is called {unknown:?}"), suggest(unknown, &known)).at("--program")
        );
    }
    let wanted = |program: &&Program| names.is_empty() || names.contains(&program.name);
    Ok(catalogue.programs().iter().filter(wanted).collect())
}
