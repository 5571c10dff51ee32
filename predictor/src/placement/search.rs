//! A good placement for problems of any size, within a budget.
//!
//! Owns the search. What a placement costs is [`crate::placement::whatif`]'s business; so is time, which nobody here
//! knows: the budget is counted in changes weighed.
//!
//! # Problem
//!
//! As [`crate::placement::exact`], for as many as hundreds of vCPUs, with the answer growing better the longer it may
//! search.
//!
//! # Method
//!
//! Local search by two kinds of change: one vCPU goes to another domain, or two of different domains are exchanged. A
//! change touches two domains, and only these are counted anew. It begins where everybody is.
//!
//! ```text
//! while a share of the budget is left:                                    anneal
//!     draw a change; gain = what it saves
//!     take it if gain > - heat * u, u drawn from [0, 1); heat falls to 0 as the budget is used
//! go back to the cheapest placement met
//! while a round over all changes finds one that saves something: take it  descend
//! ```
//!
//! `heat` begins at a share of the mean loss of changes drawn at first. Broken constraints cost extra and are allowed on
//! the way, since a guest gets to another node vCPU by vCPU; a placement that breaks one is no answer.
//! A draw from [0, 1) in place of Metropolis' exponential needs no library of the platform, so that each machine finds
//! the same.
//!
//! # Properties
//!
//! Never worse than staying put, by its own cost, where that breaks nothing. Each vCPU is placed exactly once, and no
//! constraint is broken. The same problem, budget and generator give the same answer. Where nothing is found, it says
//! what the nearest placement breaks; that there is none it cannot prove.
//!
//! # Reference
//!
//! Dueck and Scheuer, "Threshold accepting", 1990.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use crate::counters::GuestId;
use crate::placement::whatif::{Answer, NoAnswer, Shared, WhatIf};
use crate::topology::NodeId;

/// The share of the budget that anneals; the rest descends.
const ANNEALING: f64 = 0.75;
/// Heat at first, in mean differences that a change makes, round after round and then over again. Hot rounds leave
/// what only several changes together improve.
const FIRST_HEATS: [f64; 4] = [0.5, 4.0, 1.0, 2.0];
/// Changes that are drawn to know the mean difference.
const SOUNDINGS: u64 = 64;
/// The price of a broken constraint is looked at after so many draws: it rises while one is broken, else falls.
const OSCILLATION: u64 = 8;
const DEARER: f64 = 1.3;
const CHEAPER: f64 = 0.9;
/// A round of annealing weighs at least so many changes for each vCPU and domain, if the budget has them.
const ROUND: u64 = 100;
/// More rounds than this win nothing over longer ones.
const ROUNDS: u64 = 8;
/// What is not worth calling a gain.
const ROUNDING: f64 = 1e-9;

/// How many changes are weighed where nobody says: the answer is then the same on every machine.
#[must_use]
pub fn usual_budget(problem: &WhatIf) -> u64 {
    let vcpus = problem.setup().vcpus.len() as u64;
    let domains = problem.setup().topology.domains().len() as u64;
    (500 * vcpus * domains).clamp(20_000, 5_000_000)
}

/// The cheapest placement found by weighing at most `budget` changes.
pub fn solve(problem: &WhatIf, budget: u64, random: &mut ChaCha8Rng) -> Result<Answer, NoAnswer> {
    let mut search = Search::new(problem);
    let size = (problem.setup().vcpus.len() * problem.setup().topology.domains().len()) as u64;
    let rounds = (budget / (ROUND * size)).clamp(1, ROUNDS);
    for (round, heat) in (0..rounds).zip(FIRST_HEATS.into_iter().cycle()) {
        let begin = search.evaluations;
        let end = budget / rounds * (round + 1);
        search.anneal(begin + (end.saturating_sub(begin) as f64 * ANNEALING) as u64, heat, random);
        search.descend(end);
    }
    let Search { best, evaluations, .. } = search;
    let answer = problem.answer(&best.homes, evaluations);
    match problem.broken(&answer.placement) {
        broken if broken.is_empty() => Ok(answer),
        broken => Err(NoAnswer::NotFound(broken)),
    }
}

/// One change: a vCPU to a domain, alone or in exchange.
#[derive(Debug, Clone, Copy)]
struct Change {
    vcpu: usize,
    to: usize,
    partner: Option<usize>,
}

/// What is true of a placement after a change, as far as the change touches it.
#[derive(Debug, Clone, Copy)]
struct Weighed {
    left: Shared,
    joined: Shared,
    over_left: usize,
    over_joined: usize,
    price: f64,
    moves: usize,
    split: usize,
    breaches: usize,
    cost: f64,
}

/// The cheapest placement met: first by breaches, then by cost.
#[derive(Debug, Clone)]
struct Best {
    homes: Vec<usize>,
    breaches: usize,
    cost: f64,
}

#[derive(Debug)]
struct Search<'a> {
    problem: &'a WhatIf,
    homes: Vec<usize>,
    members: Vec<Vec<usize>>,
    shared: Vec<Shared>,
    over: Vec<usize>,
    /// vCPUs of guests that must not span nodes, by node.
    spread: BTreeMap<GuestId, BTreeMap<NodeId, usize>>,
    split: usize,
    price: f64,
    moves: usize,
    breaches: usize,
    cost: f64,
    best: Best,
    evaluations: u64,
}

impl<'a> Search<'a> {
    /// Everybody where they are; those who are nowhere, or may not be there, where there is most room.
    fn new(problem: &'a WhatIf) -> Self {
        let domains = problem.setup().topology.domains().len();
        let mut held = vec![0usize; domains];
        let mut homes = vec![usize::MAX; problem.setup().vcpus.len()];
        let present = |place: usize| problem.setup().vcpus[place].present.map(|domain| domain.0 as usize);
        for (place, chosen) in homes.iter_mut().enumerate() {
            if let Some(home) = present(place).filter(|home| problem.may(place, *home)) {
                *chosen = home;
                held[home] += 1;
            }
        }
        for (place, home) in homes.iter_mut().enumerate().filter(|(_, home)| **home == usize::MAX) {
            let room = |domain: &usize| {
                let capacity = problem.capacity(problem.setup().topology.domains()[*domain].id);
                (capacity.saturating_sub(held[*domain]), std::cmp::Reverse(*domain))
            };
            // Checked: each vCPU may run in some domain.
            *home = (0..domains).filter(|domain| problem.may(place, *domain)).max_by_key(room).unwrap_or(0);
            held[*home] += 1;
        }
        let best = Best { homes, breaches: usize::MAX, cost: f64::INFINITY };
        let mut search = Self {
            problem,
            homes: Vec::new(),
            members: Vec::new(),
            shared: Vec::new(),
            over: Vec::new(),
            spread: BTreeMap::new(),
            split: 0,
            price: 0.0,
            moves: 0,
            breaches: 0,
            cost: 0.0,
            best,
            evaluations: 0,
        };
        search.return_to_best();
        search
    }

    /// Goes to the cheapest placement met and counts everything anew, so that no rounding adds up.
    fn return_to_best(&mut self) {
        let problem = self.problem;
        self.homes.clone_from(&self.best.homes);
        let domains = problem.setup().topology.domains();
        self.members = vec![Vec::new(); domains.len()];
        self.spread.clear();
        for (place, home) in self.homes.iter().enumerate() {
            self.members[*home].push(place);
            let guest = problem.setup().vcpus[place].id.guest;
            if problem.setup().within_a_node.contains(&guest) {
                *self.spread.entry(guest).or_default().entry(domains[*home].node).or_insert(0) += 1;
            }
        }
        let members = || self.members.iter().enumerate();
        self.shared = members().map(|(domain, members)| problem.shared(domain, members.iter().copied())).collect();
        self.over = members().map(|(domain, members)| problem.excess(domain, members.iter().copied())).collect();
        self.split = self.spread.values().map(apart).sum();
        let homes = || self.homes.iter().enumerate();
        self.price = homes().map(|(place, home)| problem.price(place, *home)).sum();
        self.moves = homes().filter(|(place, home)| problem.moves(*place, **home)).count();
        self.breaches = self.over.iter().sum::<usize>() + self.split + self.too_many(self.moves);
        let total = self.shared.iter().map(|shared| shared.total).sum();
        let worst = self.shared.iter().map(|shared| shared.worst).fold(0.0, f64::max);
        self.cost = problem.cost(Shared { total, worst }, self.price);
        (self.best.breaches, self.best.cost) = (self.breaches, self.cost);
    }

    fn too_many(&self, moves: usize) -> usize {
        self.problem.setup().max_moves.map_or(0, |most| moves.saturating_sub(most))
    }

    /// Takes drawn changes, at first also bad ones, until `until` changes were weighed.
    fn anneal(&mut self, until: u64, heat: f64, random: &mut ChaCha8Rng) {
        let begin = self.evaluations;
        let budget = until.saturating_sub(begin);
        let (mut differences, mut count) = (0.0, 0u32);
        for _ in 0..SOUNDINGS.min(budget / 4) {
            if let Some(change) = self.draw(random) {
                differences += (self.weigh(change).cost - self.cost).abs();
                count += 1;
            }
        }
        let first_heat = heat * differences / f64::from(count.max(1));
        let mut breach = first_heat.max(ROUNDING);
        // Draws that cannot be tried cost no evaluation; their number is bounded all the same.
        for drawn in 0..budget.saturating_mul(4) {
            if self.evaluations >= until {
                break;
            }
            if drawn % OSCILLATION == 0 {
                breach *= if self.breaches > 0 {
                    DEARER
                } else if breach > 0.1 * first_heat {
                    CHEAPER
                } else {
                    1.0
                };
            }
            let Some(change) = self.draw(random) else { continue };
            let weighed = self.weigh(change);
            let cooled = 1.0 - (self.evaluations - begin) as f64 / budget as f64;
            let tolerance = first_heat * cooled * cooled * unit(random);
            let breaches = breach * (weighed.breaches as f64 - self.breaches as f64);
            if weighed.cost - self.cost + breaches < tolerance {
                self.take(change, weighed);
            }
        }
        self.return_to_best();
    }

    /// Takes changes that save something, in the order of vCPUs and domains, until there is none.
    fn descend(&mut self, budget: u64) {
        let vcpus = self.homes.len();
        let mut since = 0;
        for vcpu in (0..vcpus).cycle() {
            if since == vcpus || self.evaluations >= budget {
                break;
            }
            since += 1;
            for to in 0..self.members.len() {
                let alone = std::iter::once(None);
                let partners: Vec<Option<usize>> = alone.chain(self.members[to].iter().copied().map(Some)).collect();
                for partner in partners {
                    let change = Change { vcpu, to, partner };
                    if self.evaluations >= budget || !self.possible(change) {
                        continue;
                    }
                    let weighed = self.weigh(change);
                    let cheaper = weighed.breaches == self.breaches && weighed.cost < self.cost - ROUNDING;
                    if weighed.breaches < self.breaches || cheaper {
                        self.take(change, weighed);
                        since = 0;
                        break;
                    }
                }
            }
        }
        self.return_to_best();
    }

    /// A change, every one as likely as others of its kind; absent if it is not possible.
    fn draw(&self, random: &mut ChaCha8Rng) -> Option<Change> {
        let vcpu = below(random, self.homes.len());
        let partner = below(random, self.homes.len() + self.members.len());
        let change = match partner.checked_sub(self.homes.len()) {
            Some(to) => Change { vcpu, to, partner: None },
            None => Change { vcpu, to: self.homes[partner], partner: Some(partner) },
        };
        self.possible(change).then_some(change)
    }

    fn possible(&self, change: Change) -> bool {
        let home = self.homes[change.vcpu];
        home != change.to
            && self.problem.may(change.vcpu, change.to)
            && change.partner.is_none_or(|partner| self.homes[partner] == change.to && self.problem.may(partner, home))
    }

    fn weigh(&mut self, change: Change) -> Weighed {
        self.evaluations += 1;
        let problem = self.problem;
        let Change { vcpu, to, partner } = change;
        let home = self.homes[vcpu];
        let left = self.members[home].iter().copied().filter(move |other| *other != vcpu).chain(partner);
        let joined = self.members[to].iter().copied().filter(move |other| Some(*other) != partner);
        let joined = joined.chain(std::iter::once(vcpu));
        let (over_left, over_joined) = (problem.excess(home, left.clone()), problem.excess(to, joined.clone()));
        let (left, joined) = (problem.shared(home, left), problem.shared(to, joined));
        let price = |vcpu: usize, from: usize, to: usize| problem.price(vcpu, to) - problem.price(vcpu, from);
        let moves = |vcpu: usize, domain: usize| usize::from(problem.moves(vcpu, domain));
        let price = self.price + price(vcpu, home, to) + partner.map_or(0.0, |partner| price(partner, to, home));
        let moves = self.moves + moves(vcpu, to) + partner.map_or(0, |partner| moves(partner, home))
            - moves(vcpu, home)
            - partner.map_or(0, |partner| moves(partner, to));
        let split = if self.spread.is_empty() { 0 } else { self.split_after(change) };
        let over = self.over.iter().sum::<usize>() - self.over[home] - self.over[to] + over_left + over_joined;
        let breaches = over + split + self.too_many(moves);
        let mut whole = Shared { total: left.total + joined.total, worst: left.worst.max(joined.worst) };
        for (_, shared) in self.shared.iter().enumerate().filter(|(domain, _)| *domain != home && *domain != to) {
            whole.total += shared.total;
            whole.worst = whole.worst.max(shared.worst);
        }
        let cost = problem.cost(whole, price);
        Weighed { left, joined, over_left, over_joined, price, moves, split, breaches, cost }
    }

    /// How many vCPUs of guests that must not span nodes would be apart from most of their guest.
    fn split_after(&self, change: Change) -> usize {
        let nodes = |domain: usize| self.problem.setup().topology.domains()[domain].node;
        let (from, to) = (nodes(self.homes[change.vcpu]), nodes(change.to));
        if from == to {
            return self.split;
        }
        let guest_of = |place: usize| self.problem.setup().vcpus[place].id.guest;
        let mut split = self.split;
        let guest = guest_of(change.vcpu);
        let partner = change.partner.map(guest_of);
        if partner == Some(guest) {
            return split;
        }
        for (guest, from, to) in [Some((guest, from, to)), partner.map(|guest| (guest, to, from))].into_iter().flatten()
        {
            if let Some(spread) = self.spread.get(&guest) {
                let mut after = spread.clone();
                shift(&mut after, from, to);
                split = split - apart(spread) + apart(&after);
            }
        }
        split
    }

    fn take(&mut self, change: Change, weighed: Weighed) {
        let Change { vcpu, to, partner } = change;
        let home = self.homes[vcpu];
        let domains = self.problem.setup().topology.domains();
        for (place, from, to) in
            [Some((vcpu, home, to)), partner.map(|partner| (partner, to, home))].into_iter().flatten()
        {
            self.homes[place] = to;
            self.members[from].retain(|other| *other != place);
            self.members[to].push(place);
            if let Some(spread) = self.spread.get_mut(&self.problem.setup().vcpus[place].id.guest) {
                shift(spread, domains[from].node, domains[to].node);
            }
        }
        (self.shared[home], self.shared[to]) = (weighed.left, weighed.joined);
        (self.over[home], self.over[to]) = (weighed.over_left, weighed.over_joined);
        (self.price, self.moves, self.split) = (weighed.price, weighed.moves, weighed.split);
        (self.breaches, self.cost) = (weighed.breaches, weighed.cost);
        let best = &mut self.best;
        if weighed.breaches < best.breaches || weighed.breaches == best.breaches && weighed.cost < best.cost - ROUNDING
        {
            best.homes.clone_from(&self.homes);
            (best.breaches, best.cost) = (weighed.breaches, weighed.cost);
        }
    }
}

/// vCPUs that are not on the node where most of their guest is.
fn apart(spread: &BTreeMap<NodeId, usize>) -> usize {
    spread.values().sum::<usize>() - spread.values().max().copied().unwrap_or(0)
}

fn shift(spread: &mut BTreeMap<NodeId, usize>, from: NodeId, to: NodeId) {
    if let Some(count) = spread.get_mut(&from) {
        *count = count.saturating_sub(1);
    }
    *spread.entry(to).or_insert(0) += 1;
}

/// A number from 0 to `count` - 1.
fn below(random: &mut ChaCha8Rng, count: usize) -> usize {
    ((u64::from(random.next_u32()) * count as u64) >> 32) as usize
}

/// A number from [0, 1).
fn unit(random: &mut ChaCha8Rng) -> f64 {
    f64::from(random.next_u32()) / (f64::from(u32::MAX) + 1.0)
}
