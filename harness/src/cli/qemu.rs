//! `phasecast qemu`: installs a second QEMU, and lists those that can be used.

use serde_json::json;

use crate::cli::cache::{CacheArg, CacheCommand};
use crate::cli::print;
use crate::cli::spinner::Spinner;
use crate::emulators::{self, ChoiceError, Emulator, Origin, install};
use crate::interrupt::Interrupt;
use crate::qemu::Program;

/// Arguments of `phasecast qemu`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Install QEMU 10.0 of Debian's backports into the cache, unless it is there. Needs no privileges.
    #[command(after_help = "Examples:
  phasecast qemu install
      beside the system's QEMU, which stays as it is; 33 MB are downloaded
  phasecast record mix.toml --out trace.parquet --qemu 10.0
      uses it for one run
  PHASECAST_QEMU=10.0 phasecast experiment run quickstart.toml
      uses it for everything that is started so")]
    Install {
        #[command(flatten)]
        common: CacheCommand,
    },
    /// Say which QEMUs there are and which of them can be used; the first is the default.
    #[command(after_help = "Examples:
  phasecast qemu list
  phasecast qemu list --json | jq '.[] | select(.problem == null) | .name'")]
    List {
        #[command(flatten)]
        common: CacheCommand,
    },
}

/// Which QEMU a command uses.
#[derive(Debug, clap::Args)]
pub struct QemuArg {
    /// The QEMU that runs guests: an installed version as 10.0, or a program [default: $PHASECAST_QEMU, else
    /// qemu-system-x86_64 in PATH].
    #[arg(long, value_name = "VERSION|PROGRAM")]
    qemu: Option<String>,
}

impl QemuArg {
    /// The QEMU that was named, if one was; installed ones are in `cache`.
    pub fn chosen(&self, cache: &CacheArg) -> anyhow::Result<Option<Program>> {
        let Some(name) = &self.qemu else { return Ok(None) };
        match emulators::choose(Some(name), &cache.folder()?) {
            Ok(program) => Ok(Some(program)),
            Err(ChoiceError::Input(mistake)) => Err(mistake.into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Runs the command.
pub fn run(args: &Args, interrupt: &Interrupt) -> anyhow::Result<()> {
    match &args.command {
        Command::Install { common } => install(common, interrupt),
        Command::List { common } => list(common),
    }
}

fn install(common: &CacheCommand, interrupt: &Interrupt) -> anyhow::Result<()> {
    let cache = common.cache.open()?;
    let spinner = Spinner::start();
    let program = install::ensure(&cache, interrupt, &mut |line| spinner.tell(line));
    drop(spinner);
    let program = program?;
    if common.json {
        print(&format!("{:#}", json!({ "program": program.path(), "version": program.version() })))
    } else {
        print(&format!(
            "QEMU {} as {}\nuse it with --qemu 10.0 or PHASECAST_QEMU=10.0",
            program.version(),
            program.path()
        ))
    }
}

fn list(common: &CacheCommand) -> anyhow::Result<()> {
    let cache = common.cache.folder()?;
    let found = emulators::all(Some(&cache));
    if common.json {
        return print(&serde_json::to_string_pretty(&found)?);
    }
    print(&found.iter().map(line_of).collect::<Vec<_>>().join("\n"))
}

fn line_of(emulator: &Emulator) -> String {
    let origin = match emulator.origin {
        Origin::Path => "in PATH",
        Origin::Variable => "in PHASECAST_QEMU",
        Origin::Installed => "installed",
    };
    let version = emulator.version.as_deref().unwrap_or("cannot be used");
    let plugin = match (&emulator.plugin, &emulator.problem) {
        (Some(plugin), _) => format!("plugin {}", plugin.display()),
        (None, Some(problem)) => problem.clone(),
        (None, None) => "no plugin".to_owned(),
    };
    format!("{} ({origin}): {version}\n  {plugin}", emulator.name)
}
