//! `phasecast image`: builds and inspects the guest image, and removes old ones.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::cache::CacheCommand;
use crate::cli::print;
use crate::cli::spinner::Spinner;
use crate::image::suite::{self, Added, Suite, SuiteError};
use crate::image::{Fate, Image, Pruned};
use crate::interrupt::Interrupt;

/// Arguments of `phasecast image`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Build the image of this release, unless the cache has it.
    #[command(after_help = "Examples:
  phasecast image build
      the first time, or after the guest's programs changed
  phasecast image build --refresh --cache /var/tmp/phasecast
      with the newest packages, into a folder of its own")]
    Build {
        /// Ask the mirror for the current versions of Debian's packages.
        #[arg(long)]
        refresh: bool,
        #[command(flatten)]
        common: CacheCommand,
    },
    /// Remove the images of other builds, unless somebody is using them.
    #[command(after_help = "Examples:
  phasecast image prune --dry-run
      what would be removed
  phasecast image prune
      all but this build's; streams that were recorded from them go with `phasecast stream prune`
  phasecast image prune --all")]
    Prune {
        /// This build's too.
        #[arg(long)]
        all: bool,
        /// Only say what would be removed.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        common: CacheCommand,
    },
    /// Put a suite that you have onto a second disk for guests, so that mixes may name its benchmarks.
    #[command(after_help = "Examples:
  phasecast image add-suite spec2017 --root /opt/cpu2017
      then a guest may have: program = \"spec2017/505.mcf_r\", input = \"test\"
  phasecast image add-suite parsec --root /opt/parsec-3.0 --json
      what was found and what is missing, for programs")]
    AddSuite(SuiteArgs),
    /// Say which images the cache has, what is in them, and whether they are whole.
    #[command(after_help = "Examples:
  phasecast image show
      every image, its files with their digests, and its packages
  phasecast image show --json
      the same for programs")]
    Show {
        #[command(flatten)]
        common: CacheCommand,
    },
}

#[derive(Debug, clap::Args)]
struct SuiteArgs {
    /// Which suite.
    #[arg(value_enum)]
    suite: Suite,
    /// The folder it was installed and built in.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    #[command(flatten)]
    common: CacheCommand,
}

/// Runs the command.
pub fn run(args: &Args, interrupt: &Interrupt) -> anyhow::Result<()> {
    match &args.command {
        Command::Build { refresh, common } => build(common, *refresh, interrupt),
        Command::Prune { all, dry_run, common } => prune(common, *all, *dry_run),
        Command::AddSuite(args) => add_suite(args, interrupt),
        Command::Show { common } => show(common),
    }
}

fn build(common: &CacheCommand, refresh: bool, interrupt: &Interrupt) -> anyhow::Result<()> {
    let cache = common.cache.open()?;
    if refresh {
        cache.refresh()?;
    }
    let spinner = Spinner::start();
    let image = Image::ensure(&cache, interrupt, &mut |line| spinner.tell(line));
    drop(spinner);
    let image = image?;
    if common.json { print_json(&describe(&image)) } else { print(&summary(&image)) }
}

fn prune(common: &CacheCommand, all: bool, dry_run: bool) -> anyhow::Result<()> {
    let cache = common.cache.open()?;
    let pruned = cache.prune(all, dry_run)?;
    let fate = |image: &Pruned| match image.fate {
        Fate::Removed if dry_run => "would be removed",
        Fate::Removed => "removed",
        Fate::Current => "kept: this build's",
        Fate::InUse => "kept: it is being used",
    };
    let freed: u64 = pruned.iter().filter(|image| image.fate == Fate::Removed).map(|image| image.bytes).sum();
    if common.json {
        let images = pruned.iter().map(|image| {
            json!({ "digest": image.digest, "bytes": image.bytes, "removed": image.fate == Fate::Removed, "fate": fate(image) })
        });
        let images: Vec<_> = images.collect();
        return print_json(&json!({ "images": images, "bytes": freed, "dry_run": dry_run }));
    }
    let mut lines: Vec<String> =
        pruned.iter().map(|image| format!("{}  {:>5} MiB  {}", image.digest, image.bytes >> 20, fate(image))).collect();
    lines.push(format!("{} MiB {}", freed >> 20, if dry_run { "would be freed" } else { "freed" }));
    print(&lines.join("\n"))
}

fn add_suite(args: &SuiteArgs, interrupt: &Interrupt) -> anyhow::Result<()> {
    let cache = args.common.cache.open()?;
    let spinner = Spinner::start();
    let added = suite::add(&cache, args.suite, &args.root, interrupt, &mut |line| spinner.tell(line));
    drop(spinner);
    let added = added.map_err(|error| match error {
        SuiteError::Input(mistake) => anyhow::Error::from(mistake),
        SuiteError::Image(error) => error.into(),
    })?;
    if args.common.json { print_json(&serde_json::to_value(&added)?) } else { print(&describe_suite(&added)) }
}

fn describe_suite(added: &Added) -> String {
    let mut lines = vec![format!(
        "{} {}: {} programs on a disk of {} MiB, {}",
        added.suite,
        added.version,
        added.programs.len(),
        added.disk_bytes >> 20,
        added.disk.display(),
    )];
    for program in &added.programs {
        let inputs = program.inputs.iter();
        let inputs = inputs.map(|input| format!("{}{}", input.name, if input.verified { "" } else { " (unverified)" }));
        lines.push(format!("  {}: {}", program.name, inputs.collect::<Vec<_>>().join(", ")));
    }
    if !added.missing.is_empty() {
        lines.push("left out:".to_owned());
        lines.extend(added.missing.iter().map(|missing| format!("  {}: {}", missing.what, missing.reason)));
    }
    lines.join("\n")
}

fn show(common: &CacheCommand) -> anyhow::Result<()> {
    let cache = common.cache.open()?;
    let images = cache.images()?;
    if common.json {
        let described: Vec<_> = images
            .iter()
            .map(|image| match image {
                Ok(image) => describe(image),
                Err(problem) => json!({ "broken": problem.to_string() }),
            })
            .collect();
        print_json(&json!({ "cache": cache.folder(), "images": described }))?;
    } else if images.is_empty() {
        print(&format!("{} has no image; build one with: phasecast image build", cache.folder().display()))?;
    } else {
        let shown = images.iter().map(|image| match image {
            Ok(image) => details(image),
            Err(problem) => format!("broken: {problem}"),
        });
        print(&shown.collect::<Vec<_>>().join("\n"))?;
    }
    // All are listed first; then a script can tell by the exit code that one of them is broken.
    images.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(())
}

fn print_json(value: &serde_json::Value) -> anyhow::Result<()> {
    print(&format!("{value:#}"))
}

fn describe(image: &Image) -> serde_json::Value {
    json!({
        "digest": image.digest,
        "kernel": image.kernel,
        "initramfs": image.initramfs,
        "rootfs": image.rootfs,
        "manifest": image.manifest,
    })
}

fn summary(image: &Image) -> String {
    let bytes: u64 = image.manifest.artefacts.iter().map(|artefact| artefact.size_bytes).sum();
    format!(
        "image {} (kernel {}, {} packages, {} MiB) in {}",
        &image.digest[..12],
        image.manifest.kernel_release,
        image.manifest.packages.len(),
        bytes >> 20,
        image.kernel.parent().unwrap_or(&image.kernel).display(),
    )
}

fn details(image: &Image) -> String {
    let mut lines = vec![summary(image)];
    for artefact in &image.manifest.artefacts {
        lines.push(format!("  {:<16} {:>11} bytes  sha256 {}", artefact.file, artefact.size_bytes, artefact.sha256));
    }
    for package in &image.manifest.packages {
        lines.push(format!("  {} {}", package.name, package.version));
    }
    lines.join("\n")
}
