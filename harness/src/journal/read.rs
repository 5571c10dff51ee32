//! Reading a journal, whole or cut short, and refusing what is none.

use std::path::Path;

use predictor::policy::Decision;
use predictor::policy::score::MoveScore;

use super::note::{Note, Part, UnixMillis};
use super::run::RunDescription;
use super::{Ending, JournalError, Line, OLDEST, Turn, VERSION};
use crate::host::Observation;

/// A journal, whole in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Journal {
    /// What the run was.
    pub run: RunDescription,
    /// Which part of it this is.
    pub part: Part,
    /// What was noted beside the quanta, in the order in which it was.
    pub notes: Vec<Noted>,
    /// The quanta that were seen, decided and done.
    pub turns: Vec<Turn>,
    /// The quantum in which the run stopped, if it stopped within one.
    pub unfinished: Option<Unfinished>,
    /// How the run ended; `None` if it was killed.
    pub ending: Option<Ending>,
    /// Whether the file breaks off in the middle of a line. Everything before that line is here.
    pub cut_short: bool,
}

/// What was noted, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Noted {
    /// After so many quanta.
    pub quantum: u64,
    /// When, where the run kept wall time.
    pub at: Option<UnixMillis>,
    /// What.
    pub note: Note,
}

/// A quantum that was not finished.
#[derive(Debug, Clone, PartialEq)]
pub struct Unfinished {
    /// Its number.
    pub quantum: u64,
    /// When it was over, where the run kept wall time.
    pub at: Option<UnixMillis>,
    /// What the host saw.
    pub observation: Observation,
    /// What moves of earlier quanta were worth, if it came to that.
    pub scores: Vec<MoveScore>,
    /// What the policy decided, if it came to that. What became of it is not known.
    pub decision: Option<Decision>,
}

impl Journal {
    /// Reads the journal at `path`. A last line that breaks off is left out and reported; everything else that is not
    /// as it should be is refused.
    pub fn read(path: &Path) -> Result<Self, JournalError> {
        let text = std::fs::read(path);
        let text = text.map_err(|cause| JournalError::Io { action: "open", file: path.to_owned(), cause })?;
        let unreadable = |(line, problem)| JournalError::Unreadable { file: path.to_owned(), line, problem };
        parse(&text).map_err(unreadable)
    }

    /// Reads a journal from memory; an error says which line and what is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        parse(text).map_err(|(line, problem)| format!("line {line}: {problem}"))
    }
}

/// Reads the lines of a journal, or answers the number of the line that is wrong and what is wrong with it.
fn parse(text: &[u8]) -> Result<Journal, (usize, String)> {
    let mut lines = text.split_inclusive(|byte| *byte == b'\n').zip(1..);
    let none = || (1, "it is no journal of Phasecast; give one that a run wrote".to_owned());
    let (head, _) = lines.next().ok_or_else(none)?;
    let (part, run) = parse_header(head).map_err(|problem| (1, problem))?;
    let mut journal =
        Journal { run, part, notes: Vec::new(), turns: Vec::new(), unfinished: None, ending: None, cut_short: false };
    for (line, number) in lines {
        // What breaks off may still be valid JSON by chance; a line is a line when its end is there.
        if !line.ends_with(b"\n") {
            journal.cut_short = true;
            break;
        }
        let line =
            serde_json::from_slice(line).map_err(|error| (number, format!("it cannot be understood: {error}")))?;
        journal.add(line).map_err(|problem| (number, problem))?;
    }
    journal.complete_turn_without_moves();
    Ok(journal)
}

fn parse_header(line: &[u8]) -> Result<(Part, RunDescription), String> {
    let header: Option<serde_json::Value> = serde_json::from_slice(line).ok();
    let version = header.as_ref().and_then(|header| header.get("header")?.get("version"));
    match version {
        None => {
            Err("it is no journal of Phasecast, or it breaks off in its first line; give one that a run wrote".into())
        }
        Some(version) if !version.as_u64().is_some_and(|known| (OLDEST.into()..=VERSION.into()).contains(&known)) => {
            Err(format!(
                "it has format version {version}, and this release reads versions {OLDEST} and {VERSION}; run the \
                 experiment again"
            ))
        }
        Some(_) => match serde_json::from_slice(line) {
            Ok(Line::Header { part, run, .. }) => Ok((part, run)),
            Ok(_) => Err("the first line is no header".to_owned()),
            Err(error) => Err(format!("its description of the run cannot be understood: {error}")),
        },
    }
}

impl Journal {
    /// Takes in the next line, or says why it cannot stand here.
    fn add(&mut self, line: Line) -> Result<(), String> {
        if self.ending.is_some() {
            return Err("it stands after the end of the run".to_owned());
        }
        match line {
            Line::Header { .. } => return Err("a second header".to_owned()),
            Line::Noted { quantum, at, note } => {
                // Also within a quantum that was not finished: what was done about that.
                self.notes.push(Noted { quantum, at, note });
            }
            Line::Saw { quantum, at, observation } => {
                self.complete_turn_without_moves();
                let expected = self.turns.last().map_or(self.part.first_quantum, |turn| turn.quantum + 1);
                let is_next = if self.part.quiet_kept_one_in > 1 { quantum >= expected } else { quantum == expected };
                if self.unfinished.is_some() || !is_next {
                    return Err(format!("quantum {quantum} begins where quantum {expected} is not finished"));
                }
                self.unfinished = Some(Unfinished { quantum, at, observation, scores: Vec::new(), decision: None });
            }
            Line::Scored { quantum, scores } => match &mut self.unfinished {
                Some(turn) if turn.quantum == quantum && turn.decision.is_none() && turn.scores.is_empty() => {
                    turn.scores = scores;
                }
                _ => {
                    return Err(format!(
                        "scores in quantum {quantum}, which was not seen, or is scored or decided already"
                    ));
                }
            },
            Line::Decided { quantum, decision } => match &mut self.unfinished {
                Some(turn) if turn.quantum == quantum && turn.decision.is_none() => turn.decision = Some(decision),
                _ => return Err(format!("a decision for quantum {quantum}, which was not seen")),
            },
            Line::Did { quantum, outcomes } => match self.unfinished.take() {
                Some(Unfinished { quantum: seen, at, observation, scores, decision: Some(decision) })
                    if seen == quantum =>
                {
                    self.turns.push(Turn { quantum, at, observation, scores, decision, outcomes });
                }
                _ => return Err(format!("moves in quantum {quantum}, for which nothing was decided")),
            },
            Line::Ended { how, .. } => {
                self.complete_turn_without_moves();
                self.ending = Some(how);
            }
        }
        Ok(())
    }

    /// A decision without moves has no answer; its turn is whole as it stands.
    fn complete_turn_without_moves(&mut self) {
        self.unfinished = match self.unfinished.take() {
            Some(Unfinished { quantum, at, observation, scores, decision: Some(decision) })
                if decision.moves.is_empty() =>
            {
                self.turns.push(Turn { quantum, at, observation, scores, decision, outcomes: Vec::new() });
                None
            }
            unfinished => unfinished,
        };
    }
}
