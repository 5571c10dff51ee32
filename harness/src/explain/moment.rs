//! A moment as a person writes it: the number of a quantum, or a time in UTC.

use std::str::FromStr;

use crate::journal::Turn;
use crate::provenance::time_of_millis;

/// A moment in a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A quantum by its number.
    Quantum(u64),
    /// A time: the digits of a UTC time as text, compared as such.
    Time([u8; 19]),
}

impl Moment {
    /// Whether `turn` is not after it. Turns without wall time are never reached by a time.
    pub(super) fn is_reached(&self, turn: &Turn) -> bool {
        match self {
            Moment::Quantum(quantum) => turn.quantum <= *quantum,
            Moment::Time(time) => turn
                .at
                .is_some_and(|at| time_of_millis(at.0).as_bytes().get(..19).is_some_and(|at| at <= time.as_slice())),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(quantum) = text.parse() {
            return Ok(Self::Quantum(quantum));
        }
        let time = text.trim_end_matches('Z').replace(' ', "T");
        let shape = "dddd-dd-ddTdd:dd:dd";
        let fits = time.len() == shape.len()
            && time.chars().zip(shape.chars()).all(|(letter, wanted)| match wanted {
                'd' => letter.is_ascii_digit(),
                wanted => letter == wanted,
            });
        match <[u8; 19]>::try_from(time.as_bytes()) {
            Ok(digits) if fits => Ok(Self::Time(digits)),
            _ => Err(format!(
                "{text:?} is no moment; give the number of a quantum, or a time in UTC as 2026-01-31T23:59:59"
            )),
        }
    }
}
