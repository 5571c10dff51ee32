//! `phasecast lab`: the daemon on real KVM guests, on any machine with QEMU.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::cache::CacheArg;
use crate::cli::print;
use crate::cli::spinner::Spinner;
use crate::input::InputError;
use crate::interrupt::Interrupt;
use crate::lab::{self, News, Outcome, Settings, Verdict};
use crate::qemu::Accelerator;

/// Arguments of `phasecast lab`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast lab
      an emulated machine with two LLC domains, four KVM guests in it, and this very phasecast on them
  phasecast lab --out lab-results
      journals, logs and consoles are left in lab-results
  phasecast explain lab-results/journal-000001.jsonl
      what the first daemon did there, and why
  phasecast lab --json --timeout 300
      for programs; exit code 1 if a claim does not hold

It takes a minute or two, 3 GiB of memory and all CPUs there are. Nothing of this machine is changed. docs/lab.md says what is
real in it and what is not.")]
pub struct Args {
    /// How many guests there are at the beginning: 4, or 6 or 8 where there are as many CPUs, since the machine has too.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = guests)]
    guests: u32,
    /// Leave journals, logs, consoles and the outcome in this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Leave the machine there as well, with a script that boots it.
    #[arg(long, requires = "out")]
    keep: bool,
    /// End the machine after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// What executes the outer machine. By default KVM where it works and may be nested, else QEMU's translator.
    #[arg(long, value_enum)]
    accelerator: Option<Executor>,
    /// Answer as JSON, at the end.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cache: CacheArg,
}

/// So many CPUs can be emulated on two: with six, the outer kernel's CPUs wait for each other for ever as it boots.
const MOST_ON_FEW_CPUS: u32 = 4;

/// What executes the outer machine.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Executor {
    /// The processor.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

fn guests(text: &str) -> Result<u32, String> {
    let number: Option<u32> = text.parse().ok().filter(|number| [4, 6, 8].contains(number));
    number.ok_or_else(|| "give 4, 6 or 8: half of them for each LLC domain".to_owned())
}

/// Runs the command.
pub fn run(args: &Args, interrupt: &Interrupt) -> anyhow::Result<()> {
    if let Some(file) = args.out.as_deref().filter(|out| out.exists() && !out.is_dir()) {
        return Err(InputError::new("this is no folder", "give another --out").in_file(file).into());
    }
    let here = std::thread::available_parallelism().map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX));
    if args.guests > MOST_ON_FEW_CPUS && args.guests > here {
        let problem = format!(
            "{} guests need a machine of as many CPUs, whose kernel spins for minutes on the {here} there are here",
            args.guests
        );
        return Err(InputError::new(problem, format!("give {MOST_ON_FEW_CPUS}")).at("--guests").into());
    }
    let settings = Settings {
        guests: args.guests,
        limit: Duration::from_secs(args.timeout),
        accelerator: args.accelerator.map(|executor| match executor {
            Executor::Kvm => Accelerator::Kvm,
            Executor::Tcg => Accelerator::Tcg,
        }),
        out: args.out.clone(),
        keep_machine: args.keep,
    };
    let cache = args.cache.open()?;
    let spinner = Spinner::start();
    let mut unprinted = Ok(());
    let outcome = lab::run(&settings, &cache, interrupt, &mut |news| match news {
        News::Doing(what) => spinner.tell(what),
        News::Judged(verdict) if !args.json => {
            let printed = spinner.suspend(|| print(&as_line(verdict)));
            unprinted = std::mem::replace(&mut unprinted, Ok(())).and(printed);
        }
        News::Judged(_) => {}
    });
    drop(spinner);
    let outcome = outcome?;
    unprinted?;
    print(&if args.json { serde_json::to_string(&outcome)? } else { summary(&outcome) })?;
    let failures = outcome.failures();
    anyhow::ensure!(failures == 0, "{failures} of {} claims do not hold", outcome.verdicts.len());
    Ok(())
}

fn as_line(verdict: &Verdict) -> String {
    let Verdict { claim, holds, detail } = verdict;
    format!("{} {claim} ({detail})", if *holds { "holds" } else { "FAILS" })
}

fn summary(outcome: &Outcome) -> String {
    format!(
        "{} of {} claims hold; {:.0} s in a machine of QEMU {} on {:?}, kernel {}, {} MiB, built in {:.0} s",
        outcome.verdicts.len() - outcome.failures(),
        outcome.verdicts.len(),
        outcome.running_seconds,
        outcome.qemu,
        outcome.accelerator,
        outcome.kernel,
        outcome.initramfs_bytes >> 20,
        outcome.building_seconds,
    )
}
