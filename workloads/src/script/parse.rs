//! From the text of a script to its parts.

use std::iter::Peekable;
use std::str::FromStr;
use std::vec::IntoIter;

use super::{Length, Part, Script, ScriptError, Step, parse_bytes, parse_count};
use crate::kernels::Kind;

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = words(text).into_iter().peekable();
        let parts = parts(&mut words)?;
        match words.next() {
            None => Script::new(parts),
            Some(word) => Err(failed(&word, "opens nowhere")),
        }
    }
}

/// Brackets that open and bars are words; a bracket that closes begins one, with its count.
fn words(text: &str) -> Vec<String> {
    let mut spaced = String::new();
    for letter in text.chars() {
        match letter {
            '(' | '[' | '|' => spaced.extend([' ', letter, ' ']),
            ')' | ']' => spaced.extend([' ', letter]),
            _ => spaced.push(letter),
        }
    }
    spaced.split_whitespace().map(str::to_owned).collect()
}

/// Everything up to a bracket that closes, or to the end.
fn parts(words: &mut Peekable<IntoIter<String>>) -> Result<Vec<Part>, ScriptError> {
    let mut found = Vec::new();
    while let Some(word) = words.next_if(|word| !word.starts_with([')', ']', '|'])) {
        found.push(match word.as_str() {
            "(" => Part::Loop { parts: parts(words)?, times: times(words, ')')? },
            "[" => chain(words)?,
            step => Part::Step(step.parse()?),
        });
    }
    Ok(found)
}

fn chain(words: &mut Peekable<IntoIter<String>>) -> Result<Part, ScriptError> {
    let mut states = Vec::new();
    while let Some(word) = words.next_if(|word| !word.starts_with(['|', ']', ')', '(', '['])) {
        states.push(word.parse()?);
    }
    let mut percent = Vec::new();
    while words.next_if(|word| word == "|").is_some() {
        let mut row = Vec::new();
        while let Some(word) = words.next_if(|word| word.starts_with(|letter: char| letter.is_ascii_digit())) {
            row.push(word.parse().map_err(|_| failed(&word, "no whole number of percent"))?);
        }
        percent.push(row);
    }
    Ok(Part::Chain { states, percent, steps: times(words, ']')? })
}

/// The count behind the bracket that closes, as `)x3`.
fn times(words: &mut Peekable<IntoIter<String>>, bracket: char) -> Result<u64, ScriptError> {
    let expected = format!("\"{bracket}\" and a count have to stand here, as {bracket}x3");
    let word = words.next().ok_or_else(|| failed("", expected.clone()))?;
    let digits = word.strip_prefix(bracket).and_then(|rest| rest.strip_prefix('x'));
    digits.and_then(|digits| parse_count(digits).ok()).ok_or_else(|| failed(&word, expected))
}

fn failed(at: &str, problem: impl Into<String>) -> ScriptError {
    ScriptError { at: at.to_owned(), problem: problem.into() }
}

impl FromStr for Step {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let [kind, size, length] = text.split(':').collect::<Vec<_>>()[..] else {
            return Err(failed(text, "not three parts"));
        };
        let kind: Kind = kind.parse().map_err(|problem: String| failed(text, problem))?;
        let working_set_bytes = parse_bytes(size).map_err(|problem| failed(text, problem))?;
        if working_set_bytes < kind.least_bytes() {
            return Err(failed(text, format!("a working set below {} bytes", kind.least_bytes())));
        }
        let length = length.parse().map_err(|problem: String| failed(text, problem))?;
        Ok(Step { kind, working_set_bytes, length })
    }
}

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(mean) = text.strip_prefix('~') {
            return Ok(Length::Mean(parse_count(mean)?));
        }
        let Some((least, most)) = text.split_once("..") else { return Ok(Length::Exact(parse_count(text)?)) };
        let (least, most) = (parse_count(least)?, parse_count(most)?);
        if least > most {
            return Err(format!("the range \"{text}\" is empty"));
        }
        Ok(Length::Between { least, most })
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}B:{}", self.kind, self.working_set_bytes, self.length)
    }
}

impl std::fmt::Display for Length {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Length::Exact(instructions) => write!(out, "{instructions}"),
            Length::Between { least, most } => write!(out, "{least}..{most}"),
            Length::Mean(mean) => write!(out, "~{mean}"),
        }
    }
}
