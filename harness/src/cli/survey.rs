//! `phasecast survey`: measures the test bed itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use machine::spec::Machine;
use predictor::policy::PolicyKind;

use crate::cli::cache::CacheArg;
use crate::cli::print;
use crate::cli::qemu::QemuArg;
use crate::experiment::Surroundings;
use crate::experiment::progress::Progress;
use crate::input::InputError;
use crate::interrupt::Interrupt;
use crate::machines;
use crate::mix;
use crate::survey::{self, Collected, Outcome, SUMMARY, SurveyError, merge, pairs, replay, sensitivity, solo};
use crate::testbed::BedKind;
use crate::workers::Shard;

mod replayed;
mod simulated;

/// Arguments of `phasecast survey`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast survey solo
      every program alone: what it asks of each cache, and its phases
  phasecast survey pairs
      every two programs together: who slows whom down
  phasecast survey sensitivity
      six pairs on variants of the machine: what the results depend on
  phasecast survey replay
      five mixes on the replayed host against the emulated one: how far apart they are
  phasecast survey mixes
      every policy on thirty random mixes, beside the best that could have been done
  phasecast survey contention --pairs results/2026-01-31-replayed-survey-pairs
      how far slowdowns told from guests alone are from those seen
  phasecast survey sweep
      when acting ahead pays, on the simulated host: phase length, forecast quality, cost of moves, budget
  phasecast survey placements
      two guests on one CPU, one core, one LLC, and ever further apart
  phasecast survey report results/2026-01-31-emulated-survey-solo
  phasecast survey pairs --shard 1/2    and, elsewhere,    phasecast survey pairs --shard 2/2
  phasecast survey merge results/*-shard-*-partial
      half of the runs in each of two processes, then all findings in one folder

A survey that was stopped, or of which some runs failed, goes on with what is missing when the same command is given again.")]
pub struct Args {
    #[command(subcommand)]
    survey: Survey,
}

#[derive(Debug, clap::Subcommand)]
enum Survey {
    /// Run every program alone: what it asks of each level of the hierarchy, and its phases.
    Solo(SoloArgs),
    /// Run every two programs together: who slows whom down, and by how much.
    Pairs(PairsArgs),
    /// Run six pairs on variants of the machine: which conclusions depend on what was assumed.
    Sensitivity(SensitivityArgs),
    /// Run mixes on the emulated host and replay them: how far apart the two are, and what a replay costs.
    Replay(ReplayArgs),
    /// Compare all policies on random mixes, beside the best static placement and the best run there is.
    Mixes(replayed::MixesArgs),
    /// Compare slowdowns that rules of contention tell from guests alone with those of guests together.
    Contention(replayed::ContentionArgs),
    /// Vary one thing on the simulated host over many random mixes: when does acting ahead pay?
    Sweep(simulated::SweepArgs),
    /// Put two guests ever further apart on the simulated host: one CPU, one core, one LLC, another LLC, another node.
    Placements(simulated::PlacementsArgs),
    /// Put the findings of shards together, so that the survey can be completed.
    Merge(MergeArgs),
    /// Make everything in a survey's folder again from its findings.
    Report(ReportArgs),
}

/// Where a survey's results go, how much of it is done, and what it runs on.
#[derive(Debug, clap::Args)]
struct Place {
    /// Do only every N-th of the runs, the I-th of them first, into a folder of its own, as 2/3
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Folder in which the results folder is made
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
    #[command(flatten)]
    cache: CacheArg,
    #[command(flatten)]
    qemu: QemuArg,
    /// Print where the results are, and what was found, as JSON
    #[arg(long)]
    json: bool,
}

/// What a survey of a machine of one's choice can be told.
#[derive(Debug, clap::Args)]
struct Common {
    /// The machine: a preset's name, or a TOML file
    #[arg(long, value_name = "MACHINE", default_value = "small-2x2")]
    machine: String,
    /// The control period in cycles, a multiple of the machine's epoch
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    quantum_cycles: u64,
    /// The seed of everything random
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast survey solo
      the whole catalogue; it can be stopped and goes on when the command is given again
  phasecast survey solo --inputs first
      each program on its first input
  phasecast survey solo --program bzip2 --program chase-768k --quanta 40 --out /tmp/results
      two programs, in less than a minute
  phasecast survey solo --machine my-machine.toml --json")]
struct SoloArgs {
    /// A program of the catalogue; may be given several times [default: all]
    #[arg(long = "program", value_name = "NAME")]
    programs: Vec<String>,
    /// Which of the programs' inputs
    #[arg(long, value_enum, default_value_t = solo::Inputs::All)]
    inputs: solo::Inputs,
    /// Length of each run in quanta
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    quanta: u64,
    /// Where the guests run
    #[arg(long, value_enum, default_value_t = BedKind::Emulated)]
    host: BedKind,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast survey pairs
      all pairs on the replayed host; streams that it lacks are recorded first
  phasecast survey pairs --host emulated --pairs 12
      twelve pairs drawn by the seed, on real guests
  phasecast survey pairs --program bzip2 --program chase-768k --program stream-8m --quanta 40
      six pairs of three programs")]
struct PairsArgs {
    /// A program of the catalogue; may be given several times [default: all that end]
    #[arg(long = "program", value_name = "NAME")]
    programs: Vec<String>,
    /// Run only so many of the pairs, drawn by the seed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pairs: Option<u32>,
    /// Run so many of the pairs under two more seeds [default: 12 on the replayed host, else none]
    #[arg(long, value_name = "N")]
    reseed: Option<usize>,
    /// Run so many of the pairs on the emulated host as well [default: 6 on the replayed host, else none]
    #[arg(long, value_name = "N")]
    check: Option<usize>,
    /// Length of each run in quanta
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..))]
    quanta: u64,
    /// Where the guests run
    #[arg(long, value_enum, default_value_t = BedKind::Replayed)]
    host: BedKind,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast survey sensitivity
      six pairs on seven machines, on real guests and replayed
  phasecast survey sensitivity --host emulated
      on real guests only
  phasecast survey sensitivity --pair bzip2+stream-8m --quanta 30
      one pair of one's own")]
struct SensitivityArgs {
    /// Two programs of the catalogue, as ONE+OTHER; may be given several times [default: six pairs, one for each question]
    #[arg(long = "pair", value_name = "ONE+OTHER")]
    pairs: Vec<String>,
    /// Length of each run in quanta
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..))]
    quanta: u64,
    /// Where the guests run; given twice, the second host is compared with the first
    #[arg(long, value_enum, default_values_t = [BedKind::Emulated, BedKind::Replayed])]
    host: Vec<BedKind>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast survey replay
      five mixes of four guests, emulated and replayed, without and with moves: about half an hour on two cores
  phasecast survey replay --mixes 1 --quanta 30 --timed-quanta 0 --out /tmp/results
      one mix, in a few minutes, and no clock")]
struct ReplayArgs {
    /// How many mixes of four guests, drawn by the seed
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    mixes: u16,
    /// The policy that moves guests
    #[arg(long, value_name = "POLICY", default_value = "reactive", value_parser = ["reactive", "predictive"])]
    policy: String,
    /// Length of each run in quanta
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    quanta: u64,
    /// Length of the longest timed replay in quanta; 0 for no clock
    #[arg(long, value_name = "N", default_value_t = 100)]
    timed_quanta: u64,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  phasecast survey merge results/2026-01-31-replayed-survey-pairs-shard-*-partial

Shards of different plans are refused. The survey's command without --shard then makes the results of what was merged; a
survey whose later runs need earlier ones' findings is given to shards once more before that.")]
struct MergeArgs {
    /// Folders that shards of one survey left
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  phasecast survey report results/2026-01-31-emulated-survey-solo")]
struct ReportArgs {
    /// A survey's folder
    folder: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args, interrupt: &Interrupt) -> anyhow::Result<()> {
    match &args.survey {
        Survey::Solo(args) => run_solo(args, interrupt),
        Survey::Pairs(args) => run_pairs(args, interrupt),
        Survey::Sensitivity(args) => run_sensitivity(args, interrupt),
        Survey::Replay(args) => run_replay(args, interrupt),
        Survey::Mixes(args) => replayed::run_mixes(args, interrupt),
        Survey::Contention(args) => replayed::run_contention(args, interrupt),
        Survey::Sweep(args) => simulated::run_sweep(args, interrupt),
        Survey::Placements(args) => simulated::run_placements(args, interrupt),
        Survey::Merge(args) => run_merge(args),
        Survey::Report(args) => {
            let files = survey::report_again(&args.folder).map_err(plainly)?;
            print(&format!("made again in {}: {}", args.folder.display(), files.join(", ")))
        }
    }
}

fn run_solo(args: &SoloArgs, interrupt: &Interrupt) -> anyhow::Result<()> {
    let request = solo::Request {
        host: args.host,
        machine: args.common.machine()?,
        quantum_cycles: args.common.quantum_cycles,
        quanta: args.quanta,
        seed: args.common.seed,
        programs: args.programs.clone(),
        inputs: args.inputs,
    };
    args.common.place.take(interrupt, |around| solo::run(&request, around))
}

fn run_pairs(args: &PairsArgs, interrupt: &Interrupt) -> anyhow::Result<()> {
    let replayed = args.host == BedKind::Replayed;
    let request = pairs::Request {
        host: args.host,
        machine: args.common.machine()?,
        quantum_cycles: args.common.quantum_cycles,
        quanta: args.quanta,
        seed: args.common.seed,
        programs: args.programs.clone(),
        pairs: args.pairs.map(|pairs| pairs as usize),
        reseeded: args.reseed.unwrap_or(if replayed { 12 } else { 0 }),
        checked: args.check.unwrap_or(if replayed { 6 } else { 0 }),
    };
    args.common.place.take(interrupt, |around| pairs::run(&request, around))
}

fn run_sensitivity(args: &SensitivityArgs, interrupt: &Interrupt) -> anyhow::Result<()> {
    if args.host.iter().collect::<BTreeSet<_>>().len() != args.host.len() {
        return Err(InputError::new("a host given twice", "give each once").at("--host").into());
    }
    let request = sensitivity::Request {
        hosts: args.host.clone(),
        machine: args.common.machine()?,
        quantum_cycles: args.common.quantum_cycles,
        quanta: args.quanta,
        seed: args.common.seed,
        pairs: args.pairs.clone(),
    };
    args.common.place.take(interrupt, |around| sensitivity::run(&request, around))
}

fn run_replay(args: &ReplayArgs, interrupt: &Interrupt) -> anyhow::Result<()> {
    let policy = PolicyKind::ALL.into_iter().find(|policy| policy.name() == args.policy);
    let request = replay::Request {
        machine: args.common.machine()?,
        quantum_cycles: args.common.quantum_cycles,
        quanta: args.quanta,
        seed: args.common.seed,
        mixes: args.mixes.into(),
        policy: policy.expect("the parser lets no other name pass"),
        timed_quanta: args.timed_quanta,
    };
    args.common.place.take(interrupt, |around| replay::run(&request, around))
}

fn run_merge(args: &MergeArgs) -> anyhow::Result<()> {
    let merge::Merged { folder, done, missing } = merge::merge(&args.folders).map_err(plainly)?;
    if args.json {
        let answer = serde_json::json!({ "folder": folder, "done": done, "missing": missing });
        return print(&format!("{answer:#}"));
    }
    let left = if missing.is_empty() { String::new() } else { format!("; missing: {}", missing.join(", ")) };
    print(&format!(
        "{done} of {} findings are in {}{left}\nthe survey's command without --shard goes on there",
        done + missing.len(),
        folder.display()
    ))
}

impl Common {
    /// The machine, with a control period that it can have.
    fn machine(&self) -> Result<Machine, InputError> {
        let (machine, _) = machines::find(&self.machine, Path::new("")).map_err(|mistake| mistake.at("--machine"))?;
        mix::check_quantum(self.quantum_cycles, &machine).map_err(|mistake| mistake.at("--quantum-cycles"))?;
        Ok(machine)
    }
}

impl Place {
    /// Takes the survey and answers with what it found.
    fn take<Body: Collected>(
        &self,
        interrupt: &Interrupt,
        survey: impl FnOnce(&Surroundings<'_>) -> Result<Outcome<Body>, SurveyError>,
    ) -> anyhow::Result<()> {
        let Outcome { folder, found } = match self.surrounded(interrupt, survey)? {
            // A shard that did its share did what it was asked for.
            Err(SurveyError::Part { folder, shard, done, of }) => {
                return print(&if self.json {
                    let answer =
                        serde_json::json!({ "folder": folder, "shard": shard.to_string(), "done": done, "of": of });
                    format!("{answer:#}")
                } else {
                    format!("shard {shard}: {done} of {of} findings are in {}", folder.display())
                });
            }
            survey => survey.map_err(plainly)?,
        };
        if self.json {
            let answer = serde_json::json!({ "folder": folder, "found": found.for_programs() });
            return print(&format!("{answer:#}"));
        }
        print(&format!("{}\n\nreport: {}", found.for_people(), folder.join(SUMMARY).display()))
    }

    /// Does `what` with everything around a survey.
    fn surrounded<Answer>(
        &self,
        interrupt: &Interrupt,
        what: impl FnOnce(&Surroundings<'_>) -> Result<Answer, SurveyError>,
    ) -> anyhow::Result<Result<Answer, SurveyError>> {
        let command: Vec<String> = std::env::args().collect();
        let progress = Progress::on_standard_error();
        let cache = self.cache.named();
        let qemu = self.qemu.chosen(&self.cache)?;
        let (qemu, results, shard) = (qemu.as_ref(), self.out.as_path(), self.shard);
        let around = Surroundings { results, cache, qemu, command: &command, interrupt, progress: &progress, shard };
        Ok(what(&around))
    }
}

/// What a person got wrong is said without more words, and is what the exit code is told by.
fn plainly(error: SurveyError) -> anyhow::Error {
    match error {
        SurveyError::Input(mistake) => mistake.into(),
        other => other.into(),
    }
}
