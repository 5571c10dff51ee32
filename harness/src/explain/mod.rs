//! A journal in sentences: which moves were made, why, and what they were worth afterwards.
//!
//! Owns the selection and the words. Reading is [`crate::journal`]'s business; the reasons themselves are sentences of the
//! policy ([`predictor::policy::rationale`]).
//!
//! Two questions are answered. Without a moment: what was moved, all along. With one: what was known and decided then, about
//! everybody or one guest, moved or not; where the quantum of that moment was too quiet to be kept, the last one kept before it.

mod moment;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use predictor::counters::{GuestId, VcpuId};
use predictor::policy::score::MoveScore;
use predictor::topology::DomainId;
use serde::Serialize;

pub use self::moment::Moment;
use crate::input::InputError;
use crate::journal::folder::files_in;
use crate::journal::note::{Mode, Note, UnixMillis};
use crate::journal::{Ending, Journal, JournalError, Turn};
use crate::provenance::time_of_millis;

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// About guests of this name or number alone.
    pub guest: Option<String>,
    /// About this moment alone.
    pub at: Option<Moment>,
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// The file it stands in.
    pub file: PathBuf,
    /// After which quantum.
    pub quantum: u64,
    /// When, in UTC, where the journal knows.
    pub at: Option<String>,
    /// What is told, the headline first.
    pub sentences: Vec<String>,
}

/// Files that a person means by `path`: a journal, or a folder of them.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, InputError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let listed = files_in(path).map_err(|error| {
        InputError::new(error.to_string(), "give a journal or a folder that can be read").in_file(path)
    })?;
    if listed.is_empty() {
        let remedy = "give the journal.folder of a daemon's configuration, or one journal";
        return Err(InputError::new("no journal lies in this folder", remedy).in_file(path));
    }
    Ok(listed.into_iter().map(|(_, file)| file).collect())
}

/// Answers from `files`, the oldest first; one file is in memory at a time.
pub fn explain(files: &[PathBuf], question: &Question) -> Result<Vec<Told>, JournalError> {
    let (names, wanted) = (BTreeMap::new(), BTreeMap::new());
    let mut teller = Teller { question, names, wanted, mode: None, told: Vec::new(), quiet: None };
    for file in files {
        let journal = match Journal::read(file) {
            // The daemon at work may have removed its oldest file since they were listed.
            Err(JournalError::Io { cause, .. }) if files.len() > 1 && cause.kind() == std::io::ErrorKind::NotFound => {
                continue;
            }
            read => read?,
        };
        teller.read(file, &journal);
    }
    teller.told.extend(teller.quiet);
    Ok(teller.told)
}

struct Teller<'a> {
    question: &'a Question,
    names: BTreeMap<GuestId, String>,
    /// What was last wanted of a vCPU and not done: it is told once, however often it is wanted again.
    wanted: BTreeMap<VcpuId, (DomainId, String)>,
    mode: Option<Mode>,
    told: Vec<Told>,
    /// The last quantum before the moment that is asked about.
    quiet: Option<Told>,
}

impl Teller<'_> {
    fn read(&mut self, file: &Path, journal: &Journal) {
        let worth = worth(journal);
        let mut notes = journal.notes.iter().peekable();
        if let Some(guests) = (!journal.run.guests.is_empty()).then_some(&journal.run.guests) {
            self.names.extend(guests.iter().map(|(guest, known)| (*guest, known.name.clone())));
        }
        for turn in &journal.turns {
            while let Some(noted) = notes.next_if(|noted| noted.quantum <= turn.quantum) {
                self.note(file, noted.quantum, noted.at, &noted.note);
            }
            let arrivals = turn.observation.arrivals.iter();
            self.names.extend(arrivals.map(|arrival| (arrival.vcpu.guest, arrival.name.clone())));
            match self.question.at {
                None => self.moves(file, turn, &worth),
                Some(moment) if moment.is_reached(turn) => self.quiet = Some(self.everything(file, turn, &worth)),
                Some(_) => {}
            }
        }
        for noted in notes {
            self.note(file, noted.quantum, noted.at, &noted.note);
        }
        if self.question.at.is_none() {
            self.end(file, journal);
        }
    }

    fn note(&mut self, file: &Path, quantum: u64, at: Option<UnixMillis>, note: &Note) {
        let sentence = match note {
            Note::Present { vcpus } => {
                self.names.extend(vcpus.iter().map(|known| (known.vcpu.guest, known.name.clone())));
                return;
            }
            Note::Mode { mode } if self.mode.replace(*mode) == Some(*mode) => return,
            Note::Mode { mode: Mode::DryRun } => "From here on this is a dry run: nobody is moved.".to_owned(),
            Note::Mode { mode: Mode::Acting } => "From here on moves are made.".to_owned(),
            Note::Mode { mode: Mode::Holding } => "From here on nobody is moved, for comparison.".to_owned(),
            Note::Happened { kind, text } => format!("{kind}: {text}"),
        };
        if self.question.at.is_none() && self.question.guest.is_none() {
            self.told.push(told(file, quantum, at, vec![sentence]));
        }
    }

    /// What was moved in a quantum, or was to be.
    fn moves(&mut self, file: &Path, turn: &Turn, worth: &BTreeMap<(u64, VcpuId), &MoveScore>) {
        for outcome in &turn.outcomes {
            let moved = outcome.requested;
            let before = match &outcome.refusal {
                Some(why) => self.wanted.insert(moved.vcpu, (moved.to, why.clone())),
                None => self.wanted.remove(&moved.vcpu).map(|_| (moved.from, String::new())),
            };
            let is_told = before.is_some_and(|(to, why)| to == moved.to && outcome.refusal.as_ref() == Some(&why));
            if is_told || !self.is_asked(moved.vcpu) {
                continue;
            }
            let way = format!("from LLC domain {} to {}", moved.from.0, moved.to.0);
            let name = self.name(moved.vcpu);
            let mut sentences = vec![match &outcome.refusal {
                None if moved.from == moved.to => format!("{name} is held in LLC domain {}.", moved.to.0),
                Some(why) if moved.from == moved.to => {
                    format!("{name} was to be held in LLC domain {} and is not: {why}.", moved.to.0)
                }
                None => format!("{name} moved {way}."),
                Some(why) => format!("{name} was to move {way} and did not: {why}."),
            }];
            sentences.extend(self.reasons(turn, Some(moved.vcpu)));
            sentences.extend(worth.get(&(turn.quantum, moved.vcpu)).map(|score| worth_text(score)));
            self.told.push(told(file, turn.quantum, turn.at, sentences));
        }
    }

    /// All that was known and decided in a quantum.
    fn everything(&self, file: &Path, turn: &Turn, worth: &BTreeMap<(u64, VcpuId), &MoveScore>) -> Told {
        let rationale = &turn.decision.rationale;
        let mut sentences = vec![format!(
            "Policy {}: {} vCPUs were seen, {} were to move{}.",
            rationale.policy,
            turn.observation.samples.len(),
            turn.decision.moves.len(),
            self.mode.map(|mode| format!(" ({})", mode.name())).unwrap_or_default(),
        )];
        if rationale.cost_before > 0.0 {
            let (before, after) = (rationale.cost_before, rationale.cost_after);
            sentences
                .push(format!("Slowdowns were expected to sum up to {before:.2}, and to {after:.2} after moving."));
        }
        sentences.extend(self.reasons(turn, None));
        for outcome in turn.outcomes.iter().filter(|outcome| self.is_asked(outcome.requested.vcpu)) {
            let name = self.name(outcome.requested.vcpu);
            sentences.extend(outcome.refusal.as_ref().map(|why| format!("{name} did not move: {why}.")));
            sentences.extend(worth.get(&(turn.quantum, outcome.requested.vcpu)).map(|score| worth_text(score)));
        }
        told(file, turn.quantum, turn.at, sentences)
    }

    /// The policy's own sentences, about one vCPU or all that are asked about.
    fn reasons(&self, turn: &Turn, only: Option<VcpuId>) -> Vec<String> {
        let rationale = &turn.decision.rationale;
        let is_meant = |vcpu: VcpuId| only.map_or_else(|| self.is_asked(vcpu), |only| only == vcpu);
        let own = rationale.vcpus.iter().filter(|reason| is_meant(reason.vcpu));
        let named = own.map(|reason| {
            let text = reason.to_string();
            // The policy knows numbers; people know names.
            let said = text.strip_prefix(&reason.vcpu.to_string()).unwrap_or(&text).to_owned();
            format!("{}{said}.", self.name(reason.vcpu))
        });
        let note = (!rationale.note.is_empty()).then(|| format!("{}: {}.", rationale.policy, rationale.note));
        note.into_iter().chain(named).collect()
    }

    fn end(&mut self, file: &Path, journal: &Journal) {
        let quantum = journal.turns.last().map_or(journal.part.first_quantum, |turn| turn.quantum);
        let at = journal.turns.last().and_then(|turn| turn.at);
        let sentence = match &journal.ending {
            Some(Ending::GoesOn) => return,
            Some(Ending::Complete) => "The run was complete.".to_owned(),
            Some(Ending::Interrupted) => "It was asked to end, and ended.".to_owned(),
            Some(Ending::Failed(why)) => format!("It ended because of an error: {why}."),
            None => {
                let torn = if journal.cut_short { ", in the middle of a line" } else { "" };
                format!("The journal breaks off here{torn}: it is being written, or its writer was killed.")
            }
        };
        if self.question.guest.is_none() {
            self.told.push(told(file, quantum, at, vec![sentence]));
        }
    }

    fn is_asked(&self, vcpu: VcpuId) -> bool {
        self.question.guest.as_ref().is_none_or(|asked| {
            vcpu.guest.0.to_string() == *asked || self.names.get(&vcpu.guest).is_some_and(|name| name == asked)
        })
    }

    fn name(&self, vcpu: VcpuId) -> String {
        match self.names.get(&vcpu.guest) {
            Some(name) => format!("{name} vCPU {}", vcpu.index),
            None => vcpu.to_string(),
        }
    }
}

fn told(file: &Path, quantum: u64, at: Option<UnixMillis>, sentences: Vec<String>) -> Told {
    Told { file: file.to_owned(), quantum, at: at.map(|at| time_of_millis(at.0)), sentences }
}

/// What each move turned out to be worth, by the quantum of its decision.
fn worth(journal: &Journal) -> BTreeMap<(u64, VcpuId), &MoveScore> {
    let scores = journal.turns.iter().flat_map(|turn| &turn.scores);
    scores.flat_map(|score| score.moves.iter().map(move |moved| ((score.decided, moved.vcpu), score))).collect()
}

fn worth_text(score: &MoveScore) -> String {
    let with = match score.moves.len() {
        1 => String::new(),
        moves => format!(" with {} others", moves - 1),
    };
    let verdict = if score.realised_gain > 0.0 { "it paid" } else { "it did not pay" };
    format!(
        "Afterwards{with}: over {} quanta {verdict}, by {:+.2} slowdown-quanta, where {:+.2} were foreseen.",
        score.quanta, score.realised_gain, score.predicted_gain
    )
}

/// For a terminal.
#[must_use]
pub fn as_text(told: &[Told]) -> String {
    let mut text = String::new();
    for one in told {
        let at = one.at.as_ref().map(|at| format!("{at} ")).unwrap_or_default();
        for (place, sentence) in one.sentences.iter().enumerate() {
            let head = if place == 0 { format!("{at}quantum {}: ", one.quantum) } else { "    ".to_owned() };
            text.push_str(&format!("{head}{sentence}\n"));
        }
    }
    if text.is_empty() { "Nothing of that is in the journal.".to_owned() } else { text.trim_end().to_owned() }
}

#[cfg(test)]
mod tests;
