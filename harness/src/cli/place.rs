//! `phasecast place`: where vCPUs would run best, as a what-if for a person.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use predictor::contention::Slowdown;
use predictor::counters::VcpuId;
use predictor::placement::whatif::{Answer, Bill, NoAnswer, WhatIf};
use predictor::placement::{Placement, exact, search};
use predictor::topology::DomainId;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::cli::print;
use crate::input::InputError;
use crate::interrupt::Interrupt;
use crate::whatif::{Named, constraint};

/// Arguments of `phasecast place`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast place problem.json --solver exact
      the best placement of up to about 16 vCPUs, and why each vCPU goes where it goes
  phasecast place problem.json --solver search --json
      a good placement of any number, the same one on every machine
  phasecast place problem.json --solver search --budget-ms 5
      what can be found in 5 ms

A problem names LLC domains, vCPUs with what they ask for, an objective, what a move costs and what must hold;
docs/placement.md has one to start from. Exit code 2 says that the problem cannot be used or has no answer.")]
pub struct Args {
    /// The problem.
    #[arg(value_name = "PROBLEM.json")]
    problem: PathBuf,
    /// How it is solved.
    #[arg(long, value_enum)]
    solver: Solver,
    /// How long the search may take; by default as long as a number of changes that the problem's size sets.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    budget_ms: Option<u64>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// How a problem is solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Solver {
    /// The best of all placements; small problems only.
    Exact,
    /// A good placement, better the longer it may search.
    Search,
}

/// Changes that are weighed to know how fast this machine weighs them.
const TRIAL: u64 = 2_000;

/// Runs the command.
pub fn run(args: &Args, _interrupt: &Interrupt) -> anyhow::Result<()> {
    let named = Named::read(&args.problem)?;
    let answer = match (args.solver, args.budget_ms) {
        (Solver::Exact, Some(_)) => {
            let problem = "the exact solver takes as long as it takes";
            return Err(InputError::new(problem, "leave it out, or give --solver search").at("--budget-ms").into());
        }
        (Solver::Exact, None) => exact::solve(&named.problem),
        (Solver::Search, None) => searched(&named.problem, search::usual_budget(&named.problem)),
        (Solver::Search, Some(budget)) => within(&named.problem, Duration::from_millis(budget)),
    };
    let answer = answer.map_err(|refusal| explain(&refusal).in_file(&args.problem))?;
    if args.json { print(&as_json(&named, args.solver, &answer).to_string()) } else { print(&as_text(&named, &answer)) }
}

fn searched(problem: &WhatIf, changes: u64) -> Result<Answer, NoAnswer> {
    search::solve(problem, changes, &mut ChaCha8Rng::seed_from_u64(0))
}

/// The best that can be found in `budget`: a short trial tells how many changes fit in what is left of it.
fn within(problem: &WhatIf, budget: Duration) -> Result<Answer, NoAnswer> {
    let start = Instant::now();
    let trial = searched(problem, TRIAL);
    let took = start.elapsed().max(Duration::from_micros(1));
    // A part is kept back for what is not weighing, and for a slower moment of the machine.
    let fit = budget.saturating_sub(took).as_secs_f64() / took.as_secs_f64() * TRIAL as f64 * 0.7;
    if fit < TRIAL as f64 {
        return trial;
    }
    match (searched(problem, fit as u64), trial) {
        (Ok(answer), Ok(trial)) if trial.after.cost < answer.after.cost => Ok(trial),
        (Err(_), Ok(trial)) => Ok(trial),
        (answer, _) => answer,
    }
}

fn explain(refusal: &NoAnswer) -> InputError {
    let list = |constraints: &[_]| constraints.iter().map(|known| constraint(*known)).collect::<Vec<_>>();
    match refusal {
        NoAnswer::Impossible(free) if free.is_empty() => InputError::new(
            "no placement respects all constraints, and dropping any one of them does not help",
            "loosen more than one: capacity, CPUs that vCPUs may use, guests within a node, moves",
        ),
        NoAnswer::Impossible(free) => {
            InputError::new("no placement respects all constraints", format!("loosen {}", list(free).join(", or ")))
        }
        NoAnswer::NotFound(broken) => InputError::new(
            format!(
                "no placement that respects all constraints was found; the nearest one breaks: {}",
                list(broken).join(", ")
            ),
            "loosen these, or search longer with --budget-ms",
        ),
        NoAnswer::TooLarge => InputError::new("is too large for the exact solver", "give --solver search"),
    }
}

/// Why a vCPU is where it is, for a person.
fn reason(named: &Named, present: Option<&Placement>, answer: &Answer, vcpu: VcpuId) -> String {
    let from = named.present(vcpu);
    let to = answer.placement.0.get(&vcpu).copied();
    let Some(from) = from else { return "does not run yet".to_owned() };
    let slowdown = |placement: &Placement, who, without| named.problem.slowdown(placement, who, without).0;
    let relief = |who: VcpuId| {
        present.map_or(0.0, |present| slowdown(present, who, None) - slowdown(&answer.placement, who, None))
    };
    let beside = |home: DomainId| present.into_iter().flat_map(move |present| present.members(home));
    // Whose absence would do most for `vcpu` where it is now.
    let worst_neighbour = present.and_then(|present| {
        let gain = |other: &VcpuId| slowdown(present, vcpu, None) - slowdown(present, vcpu, Some(*other));
        beside(from).filter(|other| *other != vcpu).max_by(|left, right| gain(left).total_cmp(&gain(right)))
    });
    let away = |who: VcpuId| answer.placement.0.get(&who) != to.as_ref();
    let own = relief(vcpu);
    if to == Some(from) {
        return match worst_neighbour.filter(|other| away(*other)) {
            Some(other) if own > 0.005 => format!("stays, relieved of {}", named.name(other)),
            _ if named.problem.setup().topology.domains().len() == 1 => "stays, there is one domain".to_owned(),
            _ => "stays".to_owned(),
        };
    }
    if answer.broken_before.is_empty() || own > 0.005 {
        if let Some(other) = worst_neighbour.filter(|other| own > 0.005 && away(*other)) {
            return format!("moves away from {}", named.name(other));
        }
        if own > 0.005 {
            return "moves to quieter neighbours".to_owned();
        }
    }
    // Those it leaves, and those who take its place, by what they are relieved of.
    let left = beside(from).filter(|other| *other != vcpu);
    let come = answer
        .placement
        .members(from)
        .filter(|other| present.is_some_and(|present| present.0.get(other) != Some(&from)));
    let served = left.chain(come).map(|other| (relief(other), other)).filter(|(relief, _)| *relief > 0.005);
    match served.max_by(|left, right| left.0.total_cmp(&right.0)) {
        Some((_, other)) => format!("makes room for {}", named.name(other)),
        None if answer.broken_before.is_empty() => "moves for the sake of the whole".to_owned(),
        None => "moves because staying breaks a constraint".to_owned(),
    }
}

/// A vCPU's line in the answer.
struct Line<'a> {
    id: VcpuId,
    name: &'a str,
    guest: &'a str,
    from: Option<&'a str>,
    to: &'a str,
    before: Option<Slowdown>,
    after: Slowdown,
    reason: String,
}

fn lines<'a>(named: &'a Named, answer: &Answer) -> Vec<Line<'a>> {
    let present = named.problem.present();
    let line = |(vcpu, home): (&VcpuId, &DomainId)| Line {
        id: *vcpu,
        name: named.name(*vcpu),
        guest: named.guest(*vcpu),
        from: named.present(*vcpu).map(|domain| named.domain(domain)),
        to: named.domain(*home),
        before: present.as_ref().map(|present| named.problem.slowdown(present, *vcpu, None)),
        after: named.problem.slowdown(&answer.placement, *vcpu, None),
        reason: reason(named, present.as_ref(), answer, *vcpu),
    };
    named.order.iter().filter_map(|vcpu| Some(line((vcpu, answer.placement.0.get(vcpu)?)))).collect()
}

fn as_json(named: &Named, solver: Solver, answer: &Answer) -> serde_json::Value {
    let vcpu = |line: &Line<'_>| {
        let home = answer.placement.0.get(&line.id).copied().unwrap_or(DomainId(0));
        json!({
            "name": line.name,
            "guest": line.guest,
            "from": line.from,
            "to": line.to,
            "cpus": named.problem.mask(line.id, home),
            "slowdown_before": line.before,
            "slowdown": line.after,
            "reason": line.reason,
        })
    };
    let bill = |bill: Bill| json!({ "cost": bill.cost, "total": bill.total, "worst": bill.worst, "moves": bill.moves });
    json!({
        "solver": match solver { Solver::Exact => "exact", Solver::Search => "search" },
        "evaluations": answer.evaluations,
        "cost_before": answer.before.map(|bill| bill.cost),
        "cost": answer.after.cost,
        "before": answer.before.map(bill),
        "after": bill(answer.after),
        "broken_before": answer.broken_before.iter().map(|known| constraint(*known)).collect::<Vec<_>>(),
        "vcpus": lines(named, answer).iter().map(vcpu).collect::<Vec<_>>(),
    })
}

fn as_text(named: &Named, answer: &Answer) -> String {
    let lines = lines(named, answer);
    let width = |cell: fn(&Line<'_>) -> usize, least: usize| lines.iter().map(cell).max().unwrap_or(0).max(least);
    let (name, place) =
        (width(|line| line.name.len(), 4), width(|line| line.from.map_or(1, str::len).max(line.to.len()), 4));
    let mut text =
        vec![format!("{:name$}  {:place$}  {:place$}  {:>8}  {:>8}  why", "vCPU", "from", "to", "slowdown", "then")];
    for line in &lines {
        let before = line.before.map_or("-".to_owned(), |slowdown| slowdown.to_string());
        text.push(format!(
            "{:name$}  {:place$}  {:place$}  {before:>8}  {:>8}  {}",
            line.name,
            line.from.unwrap_or("-"),
            line.to,
            line.after.to_string(),
            line.reason
        ));
    }
    let bill = |bill: Bill| format!("cost {:.3} (slowdowns {:.3}, worst {:.3})", bill.cost, bill.total, bill.worst);
    match answer.before {
        Some(before) => text.push(format!("as it is: {}", bill(before))),
        None => text.push("as it is: some vCPUs do not run yet".to_owned()),
    }
    if !answer.broken_before.is_empty() {
        let broken: Vec<_> = answer.broken_before.iter().map(|known| constraint(*known)).collect();
        text.push(format!("it breaks: {}", broken.join(", ")));
    }
    text.push(format!("then: {}, moves: {}", bill(answer.after), answer.after.moves));
    text.join("\n")
}
