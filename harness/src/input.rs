//! What a person wrote and got wrong: one line that names the file, the key and the remedy; exit code 2.

use std::path::PathBuf;

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

#[cfg(test)]
mod tests {
    use super::*;

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
