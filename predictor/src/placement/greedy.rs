//! Steepest descent by single moves and exchanges, for [`super::Problem`].
//!
//! A step touches two domains, so the best step between each pair of domains is kept, and only pairs with a touched
//! domain are looked at again. Ids are positions here: vCPUs in the order of their ids, domains in the topology's.

use std::collections::BTreeMap;

use super::{Placement, Plan, Problem, Step};
use crate::contention::Demand;
use crate::contention::experience::Member;
use crate::counters::VcpuId;
use crate::topology::DomainId;

/// A placement in the making.
struct Greedy<'a> {
    problem: &'a Problem<'a>,
    vcpus: Vec<VcpuId>,
    /// Where each vCPU was at first, and whether it must stay there.
    origins: Vec<usize>,
    pinned: Vec<bool>,
    /// By stretch, then by vCPU.
    demands: Vec<Vec<Demand>>,
    /// The same: who they are to experience; `None` of those whose phase is not known.
    known: Vec<Vec<Option<Member>>>,
    /// By domain, each in the order of ids.
    members: Vec<Vec<usize>>,
    /// Sums of slowdowns by domain, then by stretch.
    costs: Vec<Vec<f64>>,
    moves: usize,
}

/// A step with positions in place of ids.
#[derive(Debug, Clone, Copy)]
struct Change {
    step: Step,
    vcpu: usize,
    partner: Option<usize>,
    from: usize,
    to: usize,
    /// vCPUs away from where they were at first, less those before the step.
    moves_more: i64,
}

pub(super) fn solve(problem: &Problem<'_>) -> Plan {
    let mut greedy = Greedy::new(problem);
    let cost_before = greedy.cost();
    let mut cost_after = cost_before;
    let mut alternatives = BTreeMap::new();
    let mut best: BTreeMap<(usize, usize), Change> = BTreeMap::new();
    for pair in greedy.pairs() {
        let found = greedy.best_between(pair, Some(&mut alternatives));
        found.and_then(|change| best.insert(pair, change));
    }
    // Every step lowers the cost, so this ends by itself; the bound guards against rounding.
    for _ in 0..=2 * greedy.vcpus.len() {
        let first = |one: Change, other: Change| if other.step.is_before(&one.step) { other } else { one };
        let Some(change) = best.values().copied().reduce(first) else { break };
        let room = greedy.room();
        cost_after -= change.step.gain;
        greedy.take(&change);
        // With less of the budget left, other steps may be too long; with more, longer ones are possible again.
        let touched = |pair: &(usize, usize)| [pair.0, pair.1].iter().any(|at| [change.from, change.to].contains(at));
        for pair in greedy.pairs().into_iter().filter(|pair| touched(pair) || greedy.room() != room) {
            match greedy.best_between(pair, None) {
                Some(found) => best.insert(pair, found),
                None => best.remove(&pair),
            };
        }
    }
    Plan { placement: greedy.placement(), cost_before, cost_after, alternatives }
}

impl<'a> Greedy<'a> {
    fn new(problem: &'a Problem<'a>) -> Self {
        let domains = problem.topology.domains().len();
        let placed = || problem.current.0.iter().filter(|(_, home)| (home.0 as usize) < domains);
        let vcpus: Vec<VcpuId> = placed().map(|(vcpu, _)| *vcpu).collect();
        let origins: Vec<usize> = placed().map(|(_, home)| home.0 as usize).collect();
        let demand = |stretch: &super::Stretch| {
            vcpus.iter().map(|vcpu| stretch.demands.get(vcpu).copied().unwrap_or_default()).collect()
        };
        let known = |stretch: &super::Stretch| {
            vcpus.iter().map(|vcpu| Some(Member::new(*vcpu, *stretch.phases.get(vcpu)?))).collect()
        };
        let mut members = vec![Vec::new(); domains];
        origins.iter().enumerate().for_each(|(vcpu, home)| members[*home].push(vcpu));
        let mut greedy = Self {
            problem,
            demands: problem.outlook.iter().map(demand).collect(),
            known: problem.outlook.iter().map(known).collect(),
            pinned: vcpus.iter().map(|vcpu| problem.pinned.contains(vcpu)).collect(),
            vcpus,
            origins,
            members,
            costs: Vec::new(),
            moves: 0,
        };
        greedy.costs = (0..domains).map(|domain| greedy.domain_cost(domain)).collect();
        greedy
    }

    fn domain_cost(&self, domain: usize) -> Vec<f64> {
        (0..self.demands.len()).map(|stretch| self.cost_of(stretch, self.members[domain].iter().copied())).collect()
    }

    /// What the slowdowns of these cost together, were they in one domain.
    fn cost_of(&self, stretch: usize, members: impl Iterator<Item = usize> + Clone) -> f64 {
        let Problem { contention, experience, rules, .. } = self.problem;
        let (demands, known) = (&self.demands[stretch], &self.known[stretch]);
        let together = if experience.is_empty() { None } else { members.clone().map(|vcpu| known[vcpu]).collect() };
        let mut cost = 0.0;
        contention.tell_each(members.map(|vcpu| (vcpu, demands[vcpu])), |vcpu, told| {
            cost += rules.worth(self.vcpus[vcpu], experience.corrected_among(known[vcpu], together, told));
        });
        cost
    }

    /// The mean of the sum of slowdowns.
    fn cost(&self) -> f64 {
        let sum = |stretch: usize| self.costs.iter().map(|costs| costs[stretch]).sum::<f64>();
        self.problem.outlook.iter().enumerate().map(|(stretch, known)| known.share * sum(stretch)).sum()
    }

    fn placement(&self) -> Placement {
        // vCPUs in domains that the host does not have stay in them.
        let mut placement = self.problem.current.clone();
        for (domain, members) in self.problem.topology.domains().iter().zip(&self.members) {
            placement.0.extend(members.iter().map(|vcpu| (self.vcpus[*vcpu], domain.id)));
        }
        placement
    }

    fn pairs(&self) -> Vec<(usize, usize)> {
        let domains = self.members.len();
        let pairs = (0..domains).flat_map(|one| (one + 1..domains).map(move |other| (one, other)));
        pairs.filter(|(one, other)| self.problem.may_cross(DomainId(*one as u32), DomainId(*other as u32))).collect()
    }

    /// How many more may move, as far as one step cares.
    fn room(&self) -> usize {
        self.problem.most_moves.saturating_sub(self.moves).min(2)
    }

    /// The best step between two domains that is worth it and within the budget; each vCPU's best one, whether or not,
    /// goes to `alternatives`.
    fn best_between(
        &self,
        (one, other): (usize, usize),
        mut alternatives: Option<&mut BTreeMap<VcpuId, Step>>,
    ) -> Option<Change> {
        let mut best: Option<Change> = None;
        let free = |domain: usize| self.members[domain].len() < self.problem.topology.capacity(DomainId(domain as u32));
        let movable = |domain: usize| self.members[domain].iter().copied().filter(|vcpu| !self.pinned[*vcpu]);
        let mut singles = Vec::new();
        for (from, to) in [(one, other), (other, one)] {
            if free(to) {
                singles.extend(movable(from).map(|vcpu| (vcpu, None, from, to)));
            }
        }
        let exchanges = movable(one).flat_map(|vcpu| movable(other).map(move |partner| (vcpu, partner)));
        // Each exchange is told from the side of the lower id.
        let exchanges = exchanges.map(|(vcpu, partner)| {
            if vcpu < partner { (vcpu, Some(partner), one, other) } else { (partner, Some(vcpu), other, one) }
        });
        for (vcpu, partner, from, to) in singles.into_iter().chain(exchanges) {
            let change = self.weigh(vcpu, partner, from, to);
            if let Some(alternatives) = &mut alternatives {
                let home = DomainId(from as u32);
                for step in [Some(change.step), change.step.mirrored(home)].into_iter().flatten() {
                    let known = alternatives.entry(step.vcpu).or_insert(step);
                    if step.is_before(known) {
                        *known = step;
                    }
                }
            }
            let within = change.moves_more <= self.room() as i64;
            let first = best.is_none_or(|best| change.step.is_before(&best.step));
            if within && first && change.step.is_worth_it() {
                best = Some(change);
            }
        }
        best
    }

    fn weigh(&self, vcpu: usize, partner: Option<usize>, from: usize, to: usize) -> Change {
        let away = |who: usize, home: usize| i64::from(self.origins[who] != home);
        let moves_more =
            away(vcpu, to) - away(vcpu, from) + partner.map_or(0, |partner| away(partner, from) - away(partner, to));
        let (mut gained, mut touched, mut so_far) = (0.0, 0.0, Vec::with_capacity(self.demands.len()));
        for (place, stretch) in self.problem.outlook.iter().enumerate() {
            let changed = |members: &[usize], gone: Option<usize>, come: Option<usize>| {
                let stay = members.iter().copied().filter(move |member| Some(*member) != gone);
                self.cost_of(place, stay.chain(come))
            };
            let before = self.costs[from][place] + self.costs[to][place];
            let after =
                changed(&self.members[from], Some(vcpu), partner) + changed(&self.members[to], partner, Some(vcpu));
            touched += stretch.share * before;
            gained += stretch.share * (before - after);
            so_far.push((gained, self.problem.min_gain_share * touched));
        }
        let back = self.problem.migration_cost * (1 + usize::from(partner.is_some())) as f64;
        // Up to each end: what is gained until then, less what is lost after it, or the way back where that is less.
        let ends = so_far.iter().map(|(until, needed)| (until - (until - gained).clamp(0.0, back), *needed));
        let best = ends.reduce(|best, end| if end.0 - end.1 >= best.0 - best.1 { end } else { best });
        let (gain, needed) = best.unwrap_or((0.0, 0.0));
        let step = Step {
            vcpu: self.vcpus[vcpu],
            to: DomainId(to as u32),
            exchanged_with: partner.map(|partner| self.vcpus[partner]),
            gain: gain - self.problem.migration_cost * moves_more as f64,
            gain_at_once: so_far.first().map_or(0.0, |(gained, _)| *gained),
            needed,
        };
        Change { step, vcpu, partner, from, to, moves_more }
    }

    fn take(&mut self, change: &Change) {
        let Change { vcpu, partner, from, to, .. } = *change;
        let mut carry = |who: usize, from: usize, to: usize| {
            self.members[from].retain(|member| *member != who);
            let place = self.members[to].partition_point(|member| *member < who);
            self.members[to].insert(place, who);
        };
        carry(vcpu, from, to);
        partner.into_iter().for_each(|partner| carry(partner, to, from));
        self.moves = self.moves.saturating_add_signed(change.moves_more as isize);
        for domain in [from, to] {
            self.costs[domain] = self.domain_cost(domain);
        }
    }
}
