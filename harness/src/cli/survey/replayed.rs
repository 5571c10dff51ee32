//! `phasecast survey mixes` and `contention`: what is asked of the replayed host alone.

use std::path::PathBuf;

use super::{Common, Place, plainly};
use crate::cli::print;
use crate::interrupt::Interrupt;
use crate::survey::{contention, mixes};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast survey mixes --announce
      print the mixes, to publish them before they are run
  phasecast survey mixes
      thirty mixes under every policy, which takes hours, and the streams of all programs the first time
  phasecast survey mixes --mixes 2 --tuning 1 --quanta 60 --out /tmp/results
      two of them, in a few minutes")]
pub(super) struct MixesArgs {
    /// How many mixes of four guests to compare policies on, drawn by the seed
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
    mixes: u16,
    /// How many other mixes to choose each policy's settings on
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    tuning: u16,
    /// A program to draw from; may be given several times [default: all that end]
    #[arg(long = "program", value_name = "NAME")]
    programs: Vec<String>,
    /// Length of each run in quanta
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(10..))]
    quanta: u64,
    /// Print which programs each mix has, as CSV, and run nothing but the programs alone, whose pressures decide
    #[arg(long)]
    announce: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast survey contention --pairs results/2026-01-31-replayed-survey-pairs
      200 pairs and 30 mixes of four guests: ten minutes where streams are recorded
  phasecast survey contention --pairs results/2026-01-31-replayed-survey-pairs --draw 300 --mixes 0 --out /tmp/results
      every pair")]
pub(super) struct ContentionArgs {
    /// The folder of a complete pairs survey; machine, quantum and length are its
    #[arg(long, value_name = "DIR")]
    pairs: PathBuf,
    /// How many of its pairs, half of them with a side that suffers
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(2..))]
    draw: u16,
    /// How many mixes of four guests behind one LLC, drawn by the seed
    #[arg(long, value_name = "N", default_value_t = 30)]
    mixes: u16,
    /// What pairs and mixes are drawn by
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run_mixes(args: &MixesArgs, interrupt: &Interrupt) -> anyhow::Result<()> {
    let request = mixes::Request {
        machine: args.common.machine()?,
        quantum_cycles: args.common.quantum_cycles,
        quanta: args.quanta,
        seed: args.common.seed,
        mixes: args.mixes.into(),
        tuning: args.tuning.into(),
        programs: args.programs.clone(),
    };
    if args.announce {
        let list =
            args.common.place.surrounded(interrupt, |around| mixes::announce(&request, around))?.map_err(plainly)?;
        return print(list.trim_end());
    }
    args.common.place.take(interrupt, |around| mixes::run(&request, around))
}

pub(super) fn run_contention(args: &ContentionArgs, interrupt: &Interrupt) -> anyhow::Result<()> {
    let request = contention::Request {
        pairs: args.pairs.clone(),
        drawn: args.draw.into(),
        mixes: args.mixes.into(),
        seed: args.seed,
    };
    args.place.take(interrupt, |around| contention::run(&request, around))
}
