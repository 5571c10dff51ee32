//! `phasecast contention`: how much programs would slow each other down, from their profiles alone; and how well that can be told of
//! pairs that other people measured.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use predictor::contention::corun::{self, HeldOut, Teller};
use predictor::contention::stalls::{self, Assigned, Slowed};
use serde_json::json;

use crate::cli::print;
use crate::corun_tables::{self, Placed};
use crate::input::InputError;
use crate::interrupt::Interrupt;
use crate::profiles::Profiles;
use crate::report::text::{Align, Table, number, percent};

/// Arguments of `phasecast contention`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast contention --model stalls --profiles cache_profiles.csv --bandwidth-mib-s 20000 --app mcf06=4 --app lbm06=7
      two programs on a cache of 11 ways, divided as 4 and 7
  phasecast contention --model stalls --profiles cache_profiles.csv --bandwidth-mib-s 20000 --app mcf06=11 --json
      one program with all of it: memory costs it nothing
  phasecast contention --model learned --pairs pairs.csv --solo solo_counters.csv
      how wrong a model is about pairs, and workloads, that it was not fitted on, beside simpler ones

The table of profiles has a row for each program and number of ways, with the columns app, ways, ipc, memory_bandwidth_mib_s, stalls_total,
stalls_l3_miss and stalls_store_buffer; stalls are shares of cycles. The table of pairs has machine, placement, subject, corunner and
relative_ipc; the table of workloads alone machine, workload, cycles and perf's names of cache events.")]
pub struct Args {
    /// How slowdowns are estimated.
    #[arg(long, value_enum)]
    model: Model,
    /// A table of programs alone with several numbers of ways of the last-level cache.
    #[arg(long, value_name = "FILE.csv", required_if_eq("model", "stalls"))]
    profiles: Option<PathBuf>,
    /// What the memory gives to all together, in MiB/s.
    #[arg(long, value_name = "B", value_parser = bandwidth, required_if_eq("model", "stalls"))]
    bandwidth_mib_s: Option<f64>,
    /// A program and the ways that it is assigned; once for each, and several times for several instances.
    #[arg(long = "app", value_name = "NAME=WAYS", required_if_eq("model", "stalls"), value_parser = app)]
    apps: Vec<(String, u32)>,
    /// A table of workloads in pairs.
    #[arg(long, value_name = "FILE.csv", required_if_eq_any([("model", "additive"), ("model", "di"), ("model", "learned"), ("model", "forest")]))]
    pairs: Option<PathBuf>,
    /// A table of the same workloads alone, with counters.
    #[arg(long, value_name = "FILE.csv", requires = "pairs", required_if_eq_any([("model", "additive"), ("model", "di"), ("model", "learned"), ("model", "forest")]))]
    solo: Option<PathBuf>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// How slowdowns are estimated.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Model {
    /// A partitioned cache, and memory bandwidth that stretches stalls.
    Stalls,
    /// Sensitivity of one workload and intensity of the other.
    Additive,
    /// Miss rates only.
    Di,
    /// Sensitivity and intensity from counters alone.
    Learned,
    /// A random forest on counters alone.
    Forest,
}

fn bandwidth(text: &str) -> Result<f64, String> {
    let number = text.replace('_', "").parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "give a number of MiB/s above 0".to_owned())
}

fn app(text: &str) -> Result<(String, u32), String> {
    let parts = text.rsplit_once('=').filter(|(name, _)| !name.is_empty());
    let ways = |(name, ways): (&str, &str)| Some((name.to_owned(), ways.parse().ok().filter(|ways| *ways > 0)?));
    parts.and_then(ways).ok_or_else(|| "give a program and a number of ways, as mcf06=4".to_owned())
}

/// Runs the command.
pub fn run(args: &Args, _interrupt: &Interrupt) -> anyhow::Result<()> {
    match (args.model, &args.pairs, &args.solo, &args.profiles, args.bandwidth_mib_s) {
        (Model::Stalls, _, _, Some(profiles), Some(bandwidth)) => run_stalls(args, profiles, bandwidth),
        (Model::Stalls, ..) => Err(missing("--profiles and --bandwidth-mib-s")),
        (_, Some(pairs), Some(solo), ..) => run_pairs(args, &corun_tables::read(pairs, solo)?),
        _ => Err(missing("--pairs and --solo")),
    }
}

/// What the parser has refused already.
fn missing(arguments: &str) -> anyhow::Error {
    InputError::new(format!("{arguments} are missing"), "see phasecast contention --help").into()
}

fn run_stalls(args: &Args, profiles: &Path, bandwidth_mib_s: f64) -> anyhow::Result<()> {
    let profiles = Profiles::read(profiles)?;
    let assigned = |(name, ways): &(String, u32)| profiles.assigned(name, *ways).map_err(|error| error.at("--app"));
    let programs = args.apps.iter().map(assigned).collect::<Result<Vec<Assigned>, _>>()?;
    let slowed = stalls::slowdowns(&programs, bandwidth_mib_s).map_err(|saturated| {
        let (name, ways) = &args.apps[saturated.place];
        let problem = format!(
            "{name} with {ways} ways alone takes {} MiB/s, and the memory gives {}",
            saturated.alone, saturated.memory
        );
        InputError::new(problem, "give more bandwidth, or leave it out").at("--bandwidth-mib-s")
    })?;
    let whole = Whole::of(&slowed);
    if args.json { print(&as_json(args, &slowed, whole).to_string()) } else { print(&as_text(args, &slowed, whole)) }
}

impl Model {
    /// What is shown of pairs: the simple ones, and this.
    fn tellers(self) -> Vec<Teller> {
        let mut tellers = vec![Teller::Mean, Teller::PartnerMean, Teller::Additive];
        tellers.extend(match self {
            Model::Stalls | Model::Additive => vec![],
            Model::Di => vec![Teller::Di],
            Model::Learned => vec![Teller::Learned, Teller::LearnedNested],
            Model::Forest => vec![Teller::Forest],
        });
        tellers
    }
}

/// Both ways to hold out, as they are called in answers.
const HELD_OUT: [(HeldOut, &str); 2] = [(HeldOut::Pair, "pair"), (HeldOut::Workload, "workload")];

fn run_pairs(args: &Args, groups: &[Placed]) -> anyhow::Result<()> {
    let (mut text, mut values) = (Vec::new(), Vec::new());
    for group in groups {
        for (held_out, what) in HELD_OUT {
            let mut table = Table::new([
                ("model", Align::Left),
                ("mean absolute error", Align::Right),
                ("interval of 80 %", Align::Right),
                ("holds", Align::Right),
            ]);
            let mut rows = Vec::new();
            for teller in args.model.tellers() {
                let Some(tested) = corun::test(teller, held_out, &group.runs, &group.alone) else { continue };
                table.row([
                    teller.name().to_owned(),
                    number(Some(tested.mean_absolute_error), 4),
                    format!("+- {}", number(Some(tested.half_width), 3)),
                    percent(Some(tested.within_interval), 0),
                ]);
                rows.push(json!({
                    "model": teller.name(),
                    "mean_absolute_error": tested.mean_absolute_error,
                    "interval_half_width": tested.half_width,
                    "within_interval": tested.within_interval,
                }));
            }
            let (machine, placement) = (&group.machine, &group.placement);
            let (runs, workloads) = (group.runs.len(), group.workloads.len());
            text.push(format!(
                "{machine} {placement}, relative IPC of {runs} co-runs of {workloads} workloads, each {what} held out in turn\n{}",
                table.aligned()
            ));
            values.push(json!({ "machine": machine, "placement": placement, "held_out": what, "co_runs": runs, "models": rows }));
        }
    }
    if args.json { print(&json!({ "tables": values }).to_string()) } else { print(&text.join("\n")) }
}

/// Scores of a whole mix.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Whole {
    /// Sum of 1/slowdown.
    stp: f64,
    /// Mean slowdown.
    antt: f64,
    /// The largest slowdown in times of the smallest.
    unfairness: f64,
}

impl Whole {
    fn of(slowed: &[Slowed]) -> Self {
        let totals = || slowed.iter().map(|slowed| slowed.total);
        Self {
            stp: totals().map(|total| 1.0 / total).sum(),
            antt: totals().sum::<f64>() / slowed.len() as f64,
            unfairness: totals().fold(0.0, f64::max) / totals().fold(f64::INFINITY, f64::min),
        }
    }
}

fn as_json(args: &Args, slowed: &[Slowed], whole: Whole) -> serde_json::Value {
    let app = |((name, ways), slowed): (&(String, u32), &Slowed)| {
        json!({
            "app": name,
            "ways": ways,
            "slowdown_cache_only": slowed.cache_only,
            "slowdown": slowed.total,
        })
    };
    json!({
        "apps": args.apps.iter().zip(slowed).map(app).collect::<Vec<_>>(),
        "stp": whole.stp,
        "antt": whole.antt,
        "unfairness": whole.unfairness,
    })
}

fn as_text(args: &Args, slowed: &[Slowed], whole: Whole) -> String {
    let width = args.apps.iter().map(|(name, _)| name.len()).max().unwrap_or_default().max(7);
    let mut lines = vec![format!("{:width$}  ways  slowdown by ways  and by memory", "program")];
    for ((name, ways), slowed) in args.apps.iter().zip(slowed) {
        lines.push(format!("{name:width$}  {ways:>4}  {:>16.4}  {:>13.4}", slowed.cache_only, slowed.total));
    }
    lines.push(format!("STP {:.4}, ANTT {:.4}, unfairness {:.4}", whole.stp, whole.antt, whole.unfairness));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_and_its_ways_are_told_apart_at_the_last_equals_sign() {
        assert_eq!(app("mcf06=4"), Ok(("mcf06".to_owned(), 4)));
        assert_eq!(app("a=b=4"), Ok(("a=b".to_owned(), 4)));
        for wrong in ["mcf06", "=4", "mcf06=", "mcf06=0", "mcf06=-1"] {
            assert!(app(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_mix_is_scored_by_its_slowdowns() {
        let slowed = [1.0, 2.0].map(|total| Slowed { cache_only: 1.0, total });
        assert_eq!(Whole::of(&slowed), Whole { stp: 1.5, antt: 1.5, unfairness: 2.0 });
    }
}
