//! The best placement of all, for small problems.
//!
//! Owns the dynamic programme over sets of vCPUs. What a placement costs is [`crate::placement::whatif`]'s business.
//!
//! # Problem
//!
//! Of the `d^n` placements of `n` vCPUs on `d` domains, one of least cost that respects all constraints.
//!
//! # Method
//!
//! The total is a sum over domains, so it is enough to know, for the first `k` domains and each set `S` of vCPUs that
//! they hold, the best way to hold it. The worst slowdown and the number of moves are no such sums of cost; a state
//! keeps as many ways as are not beaten in every respect that matters.
//!
//! ```text
//! ways(0, {}) = {(0, 0, 0)}
//! ways(k, S)  = those not beaten among (total + total_k(T), max(worst, worst_k(T)), moves + moves_k(T))
//!               for T within S that domain k can hold, and (total, worst, moves) in ways(k - 1, S without T)
//! ```
//!
//! Domains stand in the order of their nodes; after the last one of a node, a set that holds a part of a guest that
//! must not span nodes is dropped. The last domain takes all that are left.
//!
//! # Properties
//!
//! The answer is a cheapest placement. Of placements that cost the same, staying put is preferred. It takes at most
//! `(d - 2) 3^n + 2^(n+1)` joinings of a set to a domain times the ways kept, which is one where the objective is the
//! total and the number of moves is free; what would take more than [`LIMIT`] is refused.
//!
//! # Reference
//!
//! Held and Karp, "A dynamic programming approach to sequencing problems", 1962, for programmes over subsets.

use crate::placement::whatif::{Answer, Constraint, NoAnswer, Shared, WhatIf};

/// Joinings of a set to a domain that are undertaken: seconds on one core, 16 vCPUs on 16 domains.
pub const LIMIT: u64 = 1_000_000_000;

/// One way to hold a set of vCPUs in the domains so far.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// Total and prices of moves, and the worst; each 0 where it does not matter.
    sum: f64,
    worst: f64,
    moves: usize,
    /// Who is in the last of these domains.
    here: usize,
    /// Which way held the others before.
    before: usize,
}

impl Way {
    fn beats(&self, other: &Way) -> bool {
        self.sum <= other.sum && self.worst <= other.worst && self.moves <= other.moves
    }
}

/// The cheapest placement, or which constraints leave none.
pub fn solve(problem: &WhatIf) -> Result<Answer, NoAnswer> {
    let vcpus = u32::try_from(problem.setup().vcpus.len()).unwrap_or(u32::MAX);
    let layers = problem.setup().topology.domains().len().saturating_sub(2) as u64;
    let joinings = 3u64.checked_pow(vcpus).and_then(|pairs| pairs.checked_mul(layers));
    if vcpus > 20 || joinings.is_none_or(|joinings| joinings > LIMIT) {
        return Err(NoAnswer::TooLarge);
    }
    let (homes, evaluations) = cheapest(problem);
    match homes {
        Some(homes) => Ok(problem.answer(&homes, evaluations)),
        None => {
            let all = [Constraint::Capacity, Constraint::AllowedCpus, Constraint::WithinANode, Constraint::Moves];
            let frees = |constraint: &Constraint| cheapest(&problem.without(*constraint)).0.is_some();
            Err(NoAnswer::Impossible(all.into_iter().filter(frees).collect()))
        }
    }
}

/// Whom `set` holds, by position, ascending.
fn members(set: usize) -> impl Iterator<Item = usize> + Clone {
    let mut rest = set;
    std::iter::from_fn(move || {
        let place = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
        rest &= rest - 1;
        Some(place)
    })
}

/// The domain of each vCPU in a cheapest placement, and how many joinings were looked at.
fn cheapest(problem: &WhatIf) -> (Option<Vec<usize>>, u64) {
    let everybody = (1usize << problem.setup().vcpus.len()) - 1;
    let domains = problem.setup().topology.domains();
    let mut order: Vec<usize> = (0..domains.len()).collect();
    order.sort_by_key(|domain| (domains[*domain].node, *domain));
    let mut layers: Vec<Vec<Vec<Way>>> = vec![vec![Vec::new(); everybody + 1]];
    layers[0][0].push(Way { sum: 0.0, worst: 0.0, moves: 0, here: 0, before: 0 });
    let mut evaluations = 0;
    for (step, domain) in order.iter().enumerate() {
        let last = step + 1 == order.len();
        let ends_node = last || domains[order[step + 1]].node != domains[*domain].node;
        let held = held_by(problem, *domain, everybody);
        let mut next = vec![Vec::new(); everybody + 1];
        for (before, ways) in layers[step].iter().enumerate().filter(|(_, ways)| !ways.is_empty()) {
            let rest = everybody & !before;
            // All sets within `rest`, from itself down to none; the last domain takes it whole.
            let mut here = rest;
            loop {
                evaluations += 1;
                if let Some(way) = &held[here]
                    && !(ends_node && splits(problem, before | here))
                {
                    join(problem, ways, way, &mut next[before | here]);
                }
                if here == 0 || last {
                    break;
                }
                here = (here - 1) & rest;
            }
        }
        layers.push(next);
    }
    let cost = |way: &Way| problem.cost(Shared { total: 0.0, worst: way.worst }, way.sum);
    let ends = &layers[order.len()][everybody];
    let best = (0..ends.len()).min_by(|left, right| cost(&ends[*left]).total_cmp(&cost(&ends[*right])));
    (best.map(|best| walk_back(&layers, &order, everybody, best)), evaluations)
}

/// What each set costs in `domain`; absent where it cannot be held there.
fn held_by(problem: &WhatIf, domain: usize, everybody: usize) -> Vec<Option<Way>> {
    let worst_share = problem.setup().worst_share;
    let way = |set: usize| {
        let fits = set.count_ones() as usize <= problem.capacity(problem.setup().topology.domains()[domain].id)
            && members(set).all(|place| problem.may(place, domain))
            && problem.excess(domain, members(set)) == 0;
        fits.then(|| {
            let shared = problem.shared(domain, members(set));
            let price: f64 = members(set).map(|place| problem.price(place, domain)).sum();
            let moves = members(set).filter(|place| problem.moves(*place, domain)).count();
            Way {
                sum: (1.0 - worst_share) * shared.total + price,
                worst: if worst_share > 0.0 { shared.worst } else { 0.0 },
                moves: if problem.setup().max_moves.is_some() { moves } else { 0 },
                here: set,
                before: 0,
            }
        })
    };
    (0..=everybody).map(way).collect()
}

/// Whether `set` holds a part, but not all, of a guest that must not span nodes.
fn splits(problem: &WhatIf, set: usize) -> bool {
    let setup = problem.setup();
    setup.within_a_node.iter().any(|guest| {
        let mut inside = setup.vcpus.iter().enumerate().filter(|(_, vcpu)| vcpu.id.guest == *guest);
        let first = inside.next().map(|(place, _)| set >> place & 1);
        inside.any(|(place, _)| Some(set >> place & 1) != first)
    })
}

/// Adds each of `ways`, with `here` joined, to those that lead to the same set, unless one there beats it.
fn join(problem: &WhatIf, ways: &[Way], here: &Way, into: &mut Vec<Way>) {
    for (before, way) in ways.iter().enumerate() {
        let (sum, worst, moves) = (way.sum + here.sum, way.worst.max(here.worst), way.moves + here.moves);
        let way = Way { sum, worst, moves, here: here.here, before };
        let too_many = problem.setup().max_moves.is_some_and(|most| moves > most);
        if !too_many && !into.iter().any(|known| known.beats(&way)) {
            into.retain(|known| !way.beats(known));
            into.push(way);
        }
    }
}

fn walk_back(layers: &[Vec<Vec<Way>>], order: &[usize], everybody: usize, best: usize) -> Vec<usize> {
    let mut homes = vec![0; everybody.count_ones() as usize];
    let (mut set, mut way) = (everybody, best);
    for (step, domain) in order.iter().enumerate().rev() {
        let Way { here, before, .. } = layers[step + 1][set][way];
        members(here).for_each(|place| homes[place] = *domain);
        (set, way) = (set & !here, before);
    }
    homes
}
