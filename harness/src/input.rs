//! What a person wrote and got wrong: one line that names the file, the key and the remedy; exit code 2.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Input that cannot be used. Everything that reads what a person wrote answers with this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{problem}; {remedy}", place(.file.as_ref()), key_of(.key.as_ref()))]
pub struct InputError {
    /// The file it stands in; `None` for the command line.
    pub file: Option<PathBuf>,
    /// The key's path within the file, as `guest[1].program`.
    pub key: Option<String>,
    /// What is wrong, with the value.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

fn place(file: Option<&PathBuf>) -> String {
    file.map(|file| format!("{}: ", file.display())).unwrap_or_default()
}

fn key_of(key: Option<&String>) -> String {
    key.map(|key| format!("{key}: ")).unwrap_or_default()
}

impl InputError {
    /// A mistake on the command line, or one whose file and key are added later.
    pub fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { file: None, key: None, problem: problem.into(), remedy: remedy.into() }
    }

    /// The same mistake, in this file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// The same mistake, at this key.
    #[must_use]
    pub fn at(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

/// Reads a TOML file that a person wrote. See [`parse_toml`].
pub fn read_toml<Shape: DeserializeOwned>(file: &Path) -> Result<Shape, InputError> {
    parse_toml(file, &read_text(file)?)
}

/// The text of a file that a person named.
pub fn read_text(file: &Path) -> Result<String, InputError> {
    std::fs::read_to_string(file).map_err(|error| {
        let problem = match error.kind() {
            std::io::ErrorKind::NotFound => "no such file".to_owned(),
            std::io::ErrorKind::InvalidData => "is not text in UTF-8".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        InputError::new(problem, "give the path of a readable file").in_file(file)
    })
}

/// Parses `text`, which stands in `file`, into a raw shape. A mistake is placed at its key, `guest[1].program`, and an
/// unknown key is answered with the nearest known one, provided that the shape denies unknown fields.
pub fn parse_toml<Shape: DeserializeOwned>(file: &Path, text: &str) -> Result<Shape, InputError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map(|span| span.start);
        let key = start.and_then(|start| key_path_at(text, start));
        let line = start.map_or(1, |start| text[..start.min(text.len())].matches('\n').count() + 1);
        let mistake = explain(error.message(), line).in_file(file);
        match key {
            Some(key) => mistake.at(key),
            None => mistake,
        }
    })
}

/// Parses `text`, which stands in `file`, as JSON into a raw shape. A mistake is placed at its line, and an unknown key
/// is answered with the nearest known one, provided that the shape denies unknown fields.
pub fn parse_json<Shape: DeserializeOwned>(file: &Path, text: &str) -> Result<Shape, InputError> {
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
        let mistake = explain(message, error.line()).in_file(file);
        InputError { remedy: mistake.remedy.replace(" = ...", ": ..."), ..mistake }
    })
}

/// Turns the parser's words into a problem and a remedy.
fn explain(message: &str, line: usize) -> InputError {
    let message = message.lines().next().unwrap_or_default();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match (message.split_once(" field `").map(|(kind, _)| kind), quoted.as_slice()) {
        (Some("unknown"), [unknown, known @ ..]) => {
            InputError::new(format!("no key is called {unknown:?} here (line {line})"), suggest(unknown, known))
        }
        (Some("missing"), [missing, ..]) => InputError::new(
            format!("the key {missing:?} is missing (near line {line})"),
            format!("add {missing} = ..."),
        ),
        (Some("duplicate"), [twice, ..]) => {
            InputError::new(format!("the key {twice:?} is given twice (line {line})"), "keep one of them")
        }
        _ => InputError::new(format!("{message} (line {line})"), "correct it"),
    }
}

/// What to do about `unknown` where only `known` names exist: the nearest one if it is near, else all of them.
#[must_use]
pub fn suggest(unknown: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|name| (edits(unknown, name), *name)).min();
    match nearest {
        Some((distance, name)) if distance <= 1 + unknown.chars().count() / 4 => format!("did you mean {name:?}?"),
        Some(_) => format!("choose one of: {}", known.join(", ")),
        None => "leave it out".to_owned(),
    }
}

/// Levenshtein's distance, in characters.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

/// The path of the key that stands at byte `at`: the table header above it, counted if it is one of a list, and the
/// name before the `=` on its line. Keys inside inline tables get the path of the key that holds them.
fn key_path_at(text: &str, at: usize) -> Option<String> {
    // What is missing at the very end of the text belongs to its last line.
    let at = at.min(text.len().saturating_sub(1));
    let mut header: Option<(&str, bool)> = None;
    let mut count = 0usize;
    let mut key = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if start > at {
            break;
        }
        let holds_it = at < start + line.len();
        start += line.len();
        let line = line.trim();
        if let Some(name) = line.strip_prefix("[[").and_then(|rest| rest.split("]]").next()) {
            count = if header == Some((name, true)) { count + 1 } else { 0 };
            header = Some((name, true));
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            header = Some((name, false));
        } else if holds_it && !line.starts_with('#') {
            key = line.split_once('=').map(|(name, _)| name.trim());
        }
    }
    let table = header.map(|(name, listed)| if listed { format!("{name}[{count}]") } else { name.to_owned() });
    match (table, key) {
        (Some(table), Some(key)) => Some(format!("{table}.{key}")),
        (Some(table), None) => Some(table),
        (None, key) => key.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the parsing is under test")]
    struct Shape {
        seed: u64,
        #[serde(default)]
        guest: Vec<Guest>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the parsing is under test")]
    struct Guest {
        name: String,
        program: String,
    }

    fn complaint(text: &str) -> String {
        parse_toml::<Shape>(Path::new("mix.toml"), text).expect_err("wrong on purpose").to_string()
    }

    #[test]
    fn an_unknown_key_is_placed_and_answered_with_the_nearest_known_one() {
        let text = "seed = 1\n[[guest]]\nname = \"a\"\nprogram = \"b\"\n[[guest]]\nname = \"c\"\nprogam = \"d\"\n";
        assert_eq!(
            complaint(text),
            "mix.toml: guest[1].progam: no key is called \"progam\" here (line 7); did you mean \"program\"?"
        );
    }

    #[test]
    fn a_key_that_resembles_nothing_is_answered_with_all_that_exist() {
        assert_eq!(
            complaint("seed = 1\ncolour = 3\n"),
            "mix.toml: colour: no key is called \"colour\" here (line 2); choose one of: seed, guest"
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_placed_at_its_key() {
        assert_eq!(
            complaint("seed = \"one\"\n"),
            "mix.toml: seed: invalid type: string \"one\", expected u64 (line 1); correct it"
        );
    }

    #[test]
    fn a_value_that_is_missing_at_the_end_is_placed_at_its_key() {
        assert!(complaint("seed = ").starts_with("mix.toml: seed: "), "{}", complaint("seed = "));
    }

    #[test]
    fn a_missing_key_names_the_table_that_lacks_it() {
        assert_eq!(
            complaint("seed = 1\n[[guest]]\nname = \"a\"\n"),
            "mix.toml: guest[0]: the key \"program\" is missing (near line 2); add program = ..."
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let complaint = read_toml::<Shape>(Path::new("/nowhere/mix.toml")).expect_err("not there").to_string();
        assert_eq!(complaint, "/nowhere/mix.toml: no such file; give the path of a readable file");
    }

    #[test]
    fn a_mistake_is_one_line_with_file_key_and_remedy() {
        let mistake = InputError::new("no program called \"bzip3\"", "choose one of: bzip2, perl")
            .in_file("mix.toml")
            .at("guest[1].program");
        assert_eq!(
            mistake.to_string(),
            "mix.toml: guest[1].program: no program called \"bzip3\"; choose one of: bzip2, perl"
        );
    }
}
