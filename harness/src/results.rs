//! Results folders: a folder is called `...-partial` while somebody writes into it, and bears its own name when all of it is
//! there. What is written belongs to experiments and surveys.

use std::path::{Path, PathBuf};

/// Ends the name of a folder in which work is going on, or stopped half-way.
const PARTIAL: &str = "-partial";

/// A file or folder of results that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system said no.
    #[error("failed to {action} {}: {cause}", .file.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        file: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// It is there and makes no sense.
    #[error("failed to read {}: {problem}", .file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl FileError {
    /// What to make of the file system's answer when `action` was tried on `file`.
    pub(crate) fn io<'a>(action: &'static str, file: &'a Path) -> impl FnOnce(std::io::Error) -> Self + use<'a> {
        move |cause| Self::Io { action, file: file.to_owned(), cause }
    }

    /// What to make of a `problem` with what stands in `file`.
    pub(crate) fn unreadable(file: &Path) -> impl Fn(String) -> Self + use<'_> {
        move |problem| Self::Unreadable { file: file.to_owned(), problem }
    }
}

/// Makes `<results>/<name>-partial` with the folders `inner` in it; where that, or the complete folder, exists, a number
/// follows the name.
pub(crate) fn begin(results: &Path, name: &str, inner: &[&str]) -> Result<PathBuf, FileError> {
    std::fs::create_dir_all(results).map_err(FileError::io("create", results))?;
    for number in 1u32.. {
        let name = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
        if results.join(&name).exists() {
            continue;
        }
        let partial = results.join(name + PARTIAL);
        match std::fs::create_dir(&partial) {
            Ok(()) => {
                for inner in inner.iter().map(|inner| partial.join(inner)) {
                    std::fs::create_dir(&inner).map_err(FileError::io("create", &inner))?;
                }
                return Ok(partial);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(FileError::io("create", &partial)(error)),
        }
    }
    unreachable!("there are fewer folders than numbers")
}

/// Whether it is called as folders are in which work is going on.
pub(crate) fn is_partial(folder: &Path) -> bool {
    complete_name(folder).is_some()
}

/// Gives a folder that [`begin`] made its own name: all of it is there. Nobody else has taken the name, since whoever
/// finds the partial folder begins another.
pub(crate) fn complete(partial: &Path) -> Result<PathBuf, FileError> {
    let complete = complete_name(partial).expect("its name says that it is partial");
    std::fs::rename(partial, &complete).map_err(FileError::io("complete", &complete))?;
    Ok(complete)
}

fn complete_name(partial: &Path) -> Option<PathBuf> {
    Some(partial.with_file_name(partial.file_name()?.to_str()?.strip_suffix(PARTIAL)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_bears_its_name_when_complete_and_a_taken_name_gets_a_number() {
        let results = tempfile::tempdir().expect("a temporary folder");
        let begin = || begin(&results.path().join("made"), "a-5", &["raw"]).expect("free");
        let name = |folder: &Path| folder.file_name().map(|name| name.to_string_lossy().into_owned()).expect("a name");
        let (first, second) = (begin(), begin());
        assert_eq!((name(&first), name(&second)), ("a-5-partial".to_owned(), "a-5-2-partial".to_owned()));
        assert!(first.join("raw").is_dir() && is_partial(&first));
        let complete = complete(&first).expect("free");
        assert_eq!(name(&complete), "a-5");
        assert!(!is_partial(&complete) && !first.exists());
        assert_eq!(name(&begin()), "a-5-3-partial");
    }
}
