//! The catalogue: every program a mix may run, its inputs, and what a right answer is.
//!
//! `catalogue.toml` beside this crate's manifest is the only place where programs are named; it is compiled in. A program has at least
//! one input; the first is the default. The checksum of an input is the FNV-1a hash of what the program writes to its
//! standard output, recorded by running it natively in the image's tree and confirmed in a guest.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;

use crate::inputs::{Generator, InputFile};

/// The folder of generated inputs in the guest's file system.
pub const DATA_FOLDER: &str = "/data/";

/// What kind of program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// One benchmark kernel.
    Kernel,
    /// A script of kernels with marked phases.
    Phased,
    /// A program people use, from Debian.
    Real,
}

/// A program with the inputs it can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name in mixes; unique.
    pub name: String,
    /// What kind of program it is.
    pub family: Family,
    /// Which resources it presses, for people.
    pub stresses: String,
    /// Whether it marks its phases.
    pub truth: bool,
    /// The disk that it stands on, if that is not the image's own.
    pub disk: Option<Disk>,
    command: Vec<String>,
    inputs: Vec<Input>,
}

/// A second disk for the guest: that of a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The ext4 image on the host.
    pub image: PathBuf,
    /// What names its content.
    pub digest: String,
}

/// One way to run a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its name; unique within the program.
    pub name: String,
    /// Arguments after the program's command.
    pub arguments: Vec<String>,
    /// Generated files that it reads.
    pub files: Vec<InputFile>,
    /// FNV-1a of the standard output of one run; `None` if a run never ends, or if nobody knows.
    pub checksum: Option<u64>,
}

/// Everything needed to start a program in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program's path in the guest and its arguments.
    pub argv: Vec<String>,
    /// Generated files that it reads.
    pub files: Vec<InputFile>,
    /// FNV-1a of the standard output of one run; `None` if a run never ends, or if nobody knows.
    pub checksum: Option<u64>,
    /// The disk that the program stands on, if that is not the image's own.
    pub disk: Option<Disk>,
}

/// A name the catalogue does not have, or a catalogue that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// No program of this name.
    #[error("no program called \"{name}\"; choose one of: {}", known.join(", "))]
    UnknownProgram {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The program has no input of this name.
    #[error("{program} has no input called \"{name}\"; choose one of: {}", known.join(", "))]
    UnknownInput {
        /// The program.
        program: String,
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The text is no catalogue.
    #[error("{key}: {problem}")]
    Invalid {
        /// Where it stands, as `program[3].input[0].checksum`.
        key: String,
        /// What is wrong there.
        problem: String,
    },
}

/// All programs, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    programs: Vec<Program>,
}

impl Catalogue {
    /// The catalogue that is compiled in.
    ///
    /// # Panics
    /// Never: a test parses it.
    #[must_use]
    pub fn builtin() -> Self {
        Self::parse(include_str!("../catalogue.toml")).expect("the compiled-in catalogue is valid")
    }

    /// Reads a catalogue.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let raw: raw::Catalogue = toml::from_str(text)
            .map_err(|error| CatalogueError::Invalid { key: "catalogue".to_owned(), problem: error.to_string() })?;
        let mut names = BTreeSet::new();
        let mut programs = Vec::new();
        for (index, program) in raw.program.into_iter().enumerate() {
            let key = format!("program[{index}]");
            if !names.insert(program.name.clone()) {
                return Err(invalid(format!("{key}.name"), format!("\"{}\" stands twice", program.name)));
            }
            programs.push(checked(program, &key)?);
        }
        Ok(Self { programs })
    }

    /// Adds the programs of `other`, all of which stand on `disk`, behind those there are.
    pub fn extend(&mut self, other: Self, disk: &Disk) -> Result<(), CatalogueError> {
        for program in other.programs {
            if self.program(&program.name).is_ok() {
                return Err(invalid("program.name".to_owned(), format!("\"{}\" stands twice", program.name)));
            }
            self.programs.push(Program { disk: Some(disk.clone()), ..program });
        }
        Ok(())
    }

    /// All programs, in the order of the file.
    #[must_use]
    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// The program of this name.
    pub fn program(&self, name: &str) -> Result<&Program, CatalogueError> {
        self.programs.iter().find(|program| program.name == name).ok_or_else(|| CatalogueError::UnknownProgram {
            name: name.to_owned(),
            known: self.programs.iter().map(|program| program.name.clone()).collect(),
        })
    }

    /// Every generated file that any program reads, each once, in the order of their paths.
    #[must_use]
    pub fn files(&self) -> Vec<InputFile> {
        let inputs = self.programs.iter().flat_map(|program| &program.inputs);
        inputs.flat_map(|input| input.files.iter().cloned()).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl Program {
    /// Its inputs; the first is the default.
    #[must_use]
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// How to start it on the input of this name, or on its first.
    pub fn launch(&self, input: Option<&str>) -> Result<Launch, CatalogueError> {
        let input = match input {
            None => &self.inputs[0],
            Some(name) => self.inputs.iter().find(|input| input.name == name).ok_or_else(|| {
                let known = self.inputs.iter().map(|input| input.name.clone()).collect();
                CatalogueError::UnknownInput { program: self.name.clone(), name: name.to_owned(), known }
            })?,
        };
        let argv = self.command.iter().chain(&input.arguments).cloned().collect();
        Ok(Launch { argv, files: input.files.clone(), checksum: input.checksum, disk: self.disk.clone() })
    }
}

/// The shape of the file, before anything is checked.
mod raw {
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Catalogue {
        pub(super) program: Vec<Program>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Program {
        pub(super) name: String,
        pub(super) family: super::Family,
        pub(super) stresses: String,
        pub(super) truth: bool,
        pub(super) command: Vec<String>,
        pub(super) input: Vec<Input>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Input {
        pub(super) name: String,
        #[serde(default)]
        pub(super) arguments: Vec<String>,
        #[serde(default)]
        pub(super) file: Vec<File>,
        pub(super) checksum: Option<String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct File {
        pub(super) path: String,
        pub(super) generator: super::Generator,
        pub(super) seed: u64,
        pub(super) size_kib: u32,
    }
}

fn invalid(key: String, problem: impl Into<String>) -> CatalogueError {
    CatalogueError::Invalid { key, problem: problem.into() }
}

fn checked(program: raw::Program, key: &str) -> Result<Program, CatalogueError> {
    if !program.command.first().is_some_and(|path| path.starts_with('/')) {
        return Err(invalid(format!("{key}.command"), "has to begin with the program's absolute path in the guest"));
    }
    if program.input.is_empty() {
        return Err(invalid(format!("{key}.input"), "a program needs at least one input"));
    }
    let inputs = program.input.into_iter().enumerate();
    let inputs = inputs.map(|(index, input)| checked_input(input, &format!("{key}.input[{index}]")));
    Ok(Program {
        name: program.name,
        family: program.family,
        stresses: program.stresses,
        truth: program.truth,
        disk: None,
        command: program.command,
        inputs: inputs.collect::<Result<_, _>>()?,
    })
}

fn checked_input(input: raw::Input, key: &str) -> Result<Input, CatalogueError> {
    let checksum = match input.checksum {
        None => None,
        Some(digits) if digits.len() == 16 => Some(
            u64::from_str_radix(&digits, 16)
                .map_err(|_| invalid(format!("{key}.checksum"), format!("\"{digits}\" is not hexadecimal")))?,
        ),
        Some(digits) => return Err(invalid(format!("{key}.checksum"), format!("\"{digits}\" is not 16 digits"))),
    };
    for (index, file) in input.file.iter().enumerate() {
        let plain = file.path.strip_prefix(DATA_FOLDER).is_some_and(|name| !name.contains('/') && !name.is_empty());
        if !plain {
            let problem = format!("\"{}\" is not directly in {DATA_FOLDER}", file.path);
            return Err(invalid(format!("{key}.file[{index}].path"), problem));
        }
    }
    let files = input.file.into_iter().map(|file| InputFile {
        path: file.path,
        generator: file.generator,
        seed: file.seed,
        size_kib: file.size_kib,
    });
    Ok(Input { name: input.name, arguments: input.arguments, files: files.collect(), checksum })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::{COMMAND_LINE_LIMIT, encode_argv};
    use crate::script::Script;

    #[test]
    fn the_built_in_catalogue_is_valid_and_fits_the_kernels_command_line() {
        let catalogue = Catalogue::builtin();
        for program in catalogue.programs() {
            for input in program.inputs() {
                let launch = program.launch(Some(&input.name)).expect("its own input");
                // The harness adds some 300 bytes of its own.
                assert!(encode_argv(&launch.argv).len() < COMMAND_LINE_LIMIT - 500, "{}", program.name);
                for file in &launch.files {
                    assert!(launch.argv.contains(&file.path), "{} does not name {}", program.name, file.path);
                }
            }
        }
    }

    #[test]
    fn every_phased_program_is_a_script_with_at_least_two_phases() {
        let catalogue = Catalogue::builtin();
        let phased = catalogue.programs().iter().filter(|program| program.family == Family::Phased);
        for program in phased {
            assert!(program.truth, "{}", program.name);
            for input in program.inputs() {
                let script: Script = input.arguments[0].parse().expect("a script");
                assert!(script.phases().len() >= 2, "{}", program.name);
            }
        }
    }

    #[test]
    fn a_path_is_made_by_one_generator_only() {
        let files = Catalogue::builtin().files();
        let paths: BTreeSet<_> = files.iter().map(|file| &file.path).collect();
        assert_eq!(paths.len(), files.len());
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_names_there_are() {
        let catalogue = Catalogue::builtin();
        let message = catalogue.program("bzip3").expect_err("there is no bzip3").to_string();
        assert!(message.starts_with("no program called \"bzip3\"; choose one of: ") && message.contains("bzip2"));
        let program = catalogue.program("bzip2").expect("bzip2");
        let message = program.launch(Some("huge")).expect_err("no such input").to_string();
        assert_eq!(message, "bzip2 has no input called \"huge\"; choose one of: ref, new");
    }

    #[test]
    fn a_wrong_catalogue_says_where() {
        let text = "[[program]]\nname = \"a\"\nfamily = \"real\"\nstresses = \"x\"\ntruth = false\ncommand = [\"/a\"]\n\
                    [[program.input]]\nname = \"ref\"\nchecksum = \"12\"\n";
        let error = Catalogue::parse(text).expect_err("two digits");
        assert_eq!(error.to_string(), "program[0].input[0].checksum: \"12\" is not 16 digits");
        assert!(Catalogue::parse(&text.replace("checksum", "checksums")).is_err());
        assert!(Catalogue::parse(&text.replace("/a", "a")).is_err());
    }
}
