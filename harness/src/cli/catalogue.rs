//! `phasecast catalogue`: which programs a mix may name, what they press and what they read.

use serde_json::{Value, json};
use workloads::catalogue::{CatalogueError, Family, Input, Program};
use workloads::inputs::InputFile;

use crate::cli::cache::CacheCommand;
use crate::cli::print;
use crate::image::suite;
use crate::input::{InputError, suggest};
use crate::interrupt::Interrupt;

/// Arguments of `phasecast catalogue`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the programs with their inputs and what they press.
    #[command(after_help = "Examples:
  phasecast catalogue list
      every program, one a line
  phasecast catalogue list --family real --json
      the programs from Debian, as JSON")]
    List {
        /// Only programs of this family.
        #[arg(long, value_enum)]
        family: Option<FamilyChoice>,
        #[command(flatten)]
        common: CacheCommand,
    },
    /// Say all that is known of one program: command, inputs, generated files, checksums.
    #[command(after_help = "Examples:
  phasecast catalogue show sqlite3
      its command and its inputs
  phasecast catalogue show sqlite3 --json
      the same for programs")]
    Show {
        /// The program's name in mixes.
        program: String,
        #[command(flatten)]
        common: CacheCommand,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum FamilyChoice {
    Kernel,
    Phased,
    Real,
}

impl FamilyChoice {
    fn family(self) -> Family {
        match self {
            Self::Kernel => Family::Kernel,
            Self::Phased => Family::Phased,
            Self::Real => Family::Real,
        }
    }
}

/// Runs the command.
pub fn run(args: &Args, _interrupt: &Interrupt) -> anyhow::Result<()> {
    match &args.command {
        Command::List { family, common } => {
            let catalogue = suite::catalogue(common.cache.named())?;
            let wanted = |program: &&Program| family.is_none_or(|family| program.family == family.family());
            let programs: Vec<&Program> = catalogue.programs().iter().filter(wanted).collect();
            if common.json {
                let programs: Vec<Value> = programs.into_iter().map(described).collect();
                return print(&format!("{:#}", json!({ "programs": programs })));
            }
            print(&programs.into_iter().map(line).collect::<Vec<_>>().join("\n"))
        }
        Command::Show { program, common } => {
            let catalogue = suite::catalogue(common.cache.named())?;
            let program = catalogue.program(program).map_err(|error| unknown(program, error))?;
            print(&if common.json { format!("{:#}", described(program)) } else { details(program) })
        }
    }
}

fn unknown(name: &str, error: CatalogueError) -> InputError {
    match error {
        CatalogueError::UnknownProgram { known, .. } => {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            InputError::new(format!("no program is called \"{name}\""), suggest(name, &known))
        }
        other => InputError::new(other.to_string(), "see: phasecast catalogue list"),
    }
}

fn word(family: Family) -> &'static str {
    match family {
        Family::Kernel => "kernel",
        Family::Phased => "phased",
        Family::Real => "real",
    }
}

fn line(program: &Program) -> String {
    let inputs: Vec<&str> = program.inputs().iter().map(|input| input.name.as_str()).collect();
    format!("{:<26} {:<6} {:<14} {}", program.name, word(program.family), inputs.join(", "), program.stresses)
}

fn details(program: &Program) -> String {
    let mut lines = vec![
        format!("{} ({}): {}", program.name, word(program.family), program.stresses),
        if program.truth { "marks its phases" } else { "does not mark its phases" }.to_owned(),
    ];
    for input in program.inputs() {
        let checksum = input.checksum.map_or_else(|| "a run never ends".to_owned(), |it| format!("checksum {it:016x}"));
        lines.push(format!("input {} ({checksum})", input.name));
        lines.push(format!("  {}", argv(program, input).join(" ")));
        for file in &input.files {
            let seed =
                if file.size_kib == 0 { String::new() } else { format!(", seed {}, {} KiB", file.seed, file.size_kib) };
            lines.push(format!("  {} by {}{seed}", file.path, generator(file)));
        }
    }
    lines.join("\n")
}

fn described(program: &Program) -> Value {
    let inputs: Vec<Value> = program
        .inputs()
        .iter()
        .map(|input| {
            let file = |file: &InputFile| {
                json!({ "path": file.path, "generator": generator(file), "seed": file.seed, "size_kib": file.size_kib })
            };
            json!({
                "name": input.name,
                "argv": argv(program, input),
                "checksum": input.checksum.map(|checksum| format!("{checksum:016x}")),
                "files": input.files.iter().map(file).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "name": program.name,
        "family": word(program.family),
        "stresses": program.stresses,
        "marks_phases": program.truth,
        "inputs": inputs,
    })
}

/// The generator's name as in the catalogue.
fn generator(file: &InputFile) -> String {
    serde_json::to_value(file.generator).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The words that start the program on this input, as in a guest.
fn argv(program: &Program, input: &Input) -> Vec<String> {
    program.launch(Some(&input.name)).map_or_else(|_| input.arguments.clone(), |launch| launch.argv)
}
