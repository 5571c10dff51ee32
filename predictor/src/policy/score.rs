//! What moves were worth, told afterwards, and what follows from it.
//!
//! # Problem
//!
//! A move was predicted to gain so much. Did it? What would have been without it was never seen, and phases go on.
//!
//! # Method
//!
//! Moves of one quantum that touch the same domains are scored together, over the horizon after them: each quantum, for each
//! vCPU `i` that was in one of these domains,
//!
//! ```text
//! seen(i)    = CPI now / CPI alone in the phase it is in now
//! without(i) = slowdown predicted in the old company, all in the phases they are in now
//!              + what i was slowed more than predicted, in that phase, before the move
//! realised  += without(i) - seen(i)
//! ```
//!
//! so phases are matched, the model is corrected by what was measured before the move, and everything is taken as it was
//! known then. The quantum of cold caches counts, so the realised gain is net of the price of moving, as the predicted gain is.
//! Both are in slowdowns times quanta: 1 is one vCPU at half its speed for a quantum.
//!
//! The window ends early when other moves touch these domains, or somebody comes or leaves; predicted and realised
//! gain are of the quanta that were seen. A quantum in which a counter is absent is left out. Moves without a
//! single such quantum have no score, as those at the end of a run.
//!
//! # Back-off
//!
//! ```text
//! of the last 16 scores, at least 6:  mean + standard error < 0  =>  no moves for 16 quanta, twice as many each time
//!                                     mean - standard error > 0  =>  the next pause is 16 quanta again
//! ```
//!
//! # Properties
//!
//! Where the model is right and nothing changes, realised equals predicted but for the price of moving. Moves that change
//! nothing are worth nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::watch::{Differences, Watch};
use crate::contention::{Contention, Demand, Slowdown};
use crate::counters::VcpuId;
use crate::model::Model;
use crate::placement::{Move, Placement, Problem};
use crate::topology::DomainId;

/// What moves were worth that were made together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveScore {
    /// The quantum after which they were made, counted from the policy's first, which is 0.
    pub decided: u64,
    /// The moves, in the order of ids.
    pub moves: Vec<Move>,
    /// Over how many quanta they were scored.
    pub quanta: u32,
    /// By how much the sum of slowdowns was to be lower, summed over these quanta, the price of moving deducted.
    pub predicted_gain: f64,
    /// By how much it was.
    pub realised_gain: f64,
}

/// Moves that are being scored.
#[derive(Debug)]
struct Open {
    score: MoveScore,
    domains: BTreeSet<DomainId>,
    /// Who was with whom before.
    companies: Vec<Vec<VcpuId>>,
    known: BTreeMap<VcpuId, Differences>,
    /// Predicted gain of each quantum of the window, the nearest first.
    predicted: VecDeque<f64>,
}

/// All moves that are being scored.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    open: Vec<Open>,
}

impl Ledger {
    /// Opens accounts for moves that were `done`, in the placement from before them, as `problem` knows it.
    /// Accounts of domains that they touch are settled.
    pub(super) fn open(
        &mut self,
        quantum: u64,
        done: &[Move],
        problem: &Problem<'_>,
        points: &[(u32, f64)],
        watches: &BTreeMap<VcpuId, Watch>,
    ) -> Vec<MoveScore> {
        let settled = self.settle_where(|open| done.iter().any(|moved| open.touches(moved)));
        let mut after = problem.current.clone();
        after.0.extend(done.iter().map(|moved| (moved.vcpu, moved.to)));
        for (domains, moves) in together(done) {
            let companies: Vec<Vec<VcpuId>> =
                domains.iter().map(|domain| problem.current.members(*domain).collect()).collect();
            let known = companies.iter().flatten();
            let known = known.filter_map(|vcpu| Some((*vcpu, watches.get(vcpu)?.differences().clone()))).collect();
            let horizon = points.last().map_or(1, |(quanta, _)| *quanta);
            let score = MoveScore {
                decided: quantum,
                predicted_gain: -problem.migration_cost * f64::from(horizon) * moves.len() as f64,
                moves,
                quanta: 0,
                realised_gain: 0.0,
            };
            let predicted = predicted(problem, &after, &domains, points);
            self.open.push(Open { score, domains, companies, known, predicted });
        }
        settled
    }

    /// A quantum passed. Answers the accounts that are settled by it.
    pub(super) fn observe(
        &mut self,
        model: &Model,
        placement: &Placement,
        watches: &BTreeMap<VcpuId, Watch>,
    ) -> Vec<MoveScore> {
        // Where somebody came, left or was moved by another hand, the comparison ends with the quantum before.
        let mut settled = self.settle_where(|open| !open.is_among_themselves(placement));
        for open in &mut self.open {
            let predicted = open.predicted.pop_front().unwrap_or(0.0);
            if let Some(realised) = open.realised(model, watches) {
                open.score.quanta += 1;
                open.score.predicted_gain += predicted;
                open.score.realised_gain += realised;
            }
        }
        settled.extend(self.settle_where(|open| open.predicted.is_empty()));
        settled
    }

    fn settle_where(&mut self, is_over: impl Fn(&Open) -> bool) -> Vec<MoveScore> {
        let (over, open) = std::mem::take(&mut self.open).into_iter().partition(is_over);
        self.open = open;
        over.into_iter().map(|open: Open| open.score).filter(|score| score.quanta > 0).collect()
    }
}

impl Open {
    fn touches(&self, moved: &Move) -> bool {
        self.domains.contains(&moved.from) || self.domains.contains(&moved.to)
    }

    /// Whether these domains hold those whom they held, and nobody else.
    fn is_among_themselves(&self, placement: &Placement) -> bool {
        let members: BTreeSet<VcpuId> = self.domains.iter().flat_map(|domain| placement.members(*domain)).collect();
        self.companies.iter().flatten().copied().collect::<BTreeSet<_>>() == members
    }

    /// What the quantum just seen was better than it would have been; `None` where somebody's counters are absent.
    fn realised(&self, model: &Model, watches: &BTreeMap<VcpuId, Watch>) -> Option<f64> {
        let mut gain = 0.0;
        for company in &self.companies {
            let demands: Vec<Demand> = company
                .iter()
                .map(|vcpu| watches.get(vcpu)?.present_demand_as(model, self.known.get(vcpu)?))
                .collect::<Option<_>>()?;
            for (place, vcpu) in company.iter().enumerate() {
                let (watch, known) = (watches.get(vcpu)?, self.known.get(vcpu)?);
                if let Some((phase, Slowdown(seen))) = watch.seen_slowdown(model, known) {
                    gain += slowdown_among(&model.parts().contention, &demands, place) + known.excess(phase) - seen;
                }
            }
        }
        Some(gain)
    }
}

fn slowdown_among(contention: &Contention, demands: &[Demand], place: usize) -> f64 {
    let others = demands.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, demand)| demand);
    contention.slowdown(&demands[place], others).0
}

/// Moves by the domains that they touch, those that share one together.
fn together(moves: &[Move]) -> Vec<(BTreeSet<DomainId>, Vec<Move>)> {
    let mut groups: Vec<(BTreeSet<DomainId>, Vec<Move>)> = Vec::new();
    for moved in moves {
        let own = BTreeSet::from([moved.from, moved.to]);
        let (joined, apart) =
            std::mem::take(&mut groups).into_iter().partition(|(domains, _)| !domains.is_disjoint(&own));
        groups = apart;
        let mut group = (own, vec![*moved]);
        for (domains, moves) in joined as Vec<(BTreeSet<DomainId>, Vec<Move>)> {
            group.0.extend(domains);
            group.1.extend(moves);
        }
        group.1.sort_by_key(|moved| moved.vcpu);
        groups.push(group);
    }
    groups
}

/// By how much the slowdowns in `domains` are to be lower after the moves, quantum by quantum of the horizon.
fn predicted(
    problem: &Problem<'_>,
    after: &Placement,
    domains: &BTreeSet<DomainId>,
    points: &[(u32, f64)],
) -> VecDeque<f64> {
    let mut gains = vec![0.0; problem.outlook.len()];
    for domain in domains {
        let costs = problem.domain_cost(problem.current, *domain).into_iter().zip(problem.domain_cost(after, *domain));
        for ((gain, stretch), (before, after)) in gains.iter_mut().zip(problem.outlook).zip(costs) {
            *gain += (before - after) / stretch.share;
        }
    }
    let horizon = points.last().map_or(1, |(quanta, _)| *quanta);
    let of = |quantum: u32| {
        let stretch = points.iter().position(|(quanta, _)| quantum <= *quanta).unwrap_or(0);
        // What is taken to last is one stretch for all points.
        gains.get(stretch).or(gains.last()).copied().unwrap_or(0.0)
    };
    (1..=horizon).map(of).collect()
}

/// Whether moves paid of late, and for how long there are to be none.
#[derive(Debug)]
pub(super) struct BackOff {
    realised: VecDeque<f64>,
    pause: u32,
    next_pause: u32,
}

impl Default for BackOff {
    fn default() -> Self {
        Self { realised: VecDeque::new(), pause: 0, next_pause: Self::FIRST }
    }
}

impl BackOff {
    const WINDOW: usize = 16;
    const EVIDENCE: usize = 6;
    const FIRST: u32 = 16;
    const LONGEST: u32 = 4096;

    /// Quanta for which there are to be no more moves.
    pub(super) const fn pause_quanta(&self) -> u32 {
        self.pause
    }

    pub(super) const fn end_quantum(&mut self) {
        self.pause = self.pause.saturating_sub(1);
    }

    pub(super) fn learn(&mut self, scores: &[MoveScore]) {
        for score in scores {
            self.realised.push_front(score.realised_gain);
            self.realised.truncate(Self::WINDOW);
            self.judge();
        }
    }

    fn judge(&mut self) {
        let count = self.realised.len() as f64;
        if self.realised.len() < Self::EVIDENCE {
            return;
        }
        let mean = self.realised.iter().sum::<f64>() / count;
        let spread = self.realised.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let error = (spread / count).sqrt();
        if mean + error < 0.0 {
            self.pause = self.next_pause;
            self.next_pause = (2 * self.next_pause).min(Self::LONGEST);
            self.realised.clear();
        } else if mean - error > 0.0 {
            self.next_pause = Self::FIRST;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::GuestId;

    fn score(realised_gain: f64) -> MoveScore {
        MoveScore { decided: 0, moves: vec![], quanta: 8, predicted_gain: 1.0, realised_gain }
    }

    fn after(back_off: &mut BackOff, gains: &[f64]) -> u32 {
        back_off.learn(&gains.iter().map(|gain| score(*gain)).collect::<Vec<_>>());
        back_off.pause_quanta()
    }

    #[test]
    fn a_few_bad_moves_are_no_evidence_and_neither_are_many_that_are_as_often_good() {
        assert_eq!(after(&mut BackOff::default(), &[-1.0; 5]), 0);
        assert_eq!(after(&mut BackOff::default(), &[-1.0, 1.0].repeat(20)), 0);
    }

    #[test]
    fn pauses_grow_until_moves_pay_again() {
        let mut back_off = BackOff::default();
        let lost = [-1.0, -1.1, -0.9, -1.0, -1.2, -0.8];
        assert_eq!([0; 3].map(|_| after(&mut back_off, &lost)), [16, 32, 64]);
        let _ = after(&mut back_off, &[1.0, 1.1, 0.9, 1.0, 1.2, 0.8]);
        let next = lost.iter().cycle().map(|gain| after(&mut back_off, &[*gain])).find(|pause| *pause != 64);
        assert_eq!(next, Some(16));
    }

    #[test]
    fn moves_that_share_a_domain_are_scored_together() {
        let moved = |guest, from, to| Move {
            vcpu: VcpuId { guest: GuestId(guest), index: 0 },
            from: DomainId(from),
            to: DomainId(to),
        };
        let groups = together(&[moved(0, 0, 1), moved(1, 2, 3), moved(2, 1, 0), moved(3, 3, 4)]);
        let guests = |moves: &[Move]| moves.iter().map(|moved| moved.vcpu.guest.0).collect::<Vec<_>>();
        let groups: BTreeSet<Vec<u32>> = groups.iter().map(|(_, moves)| guests(moves)).collect();
        assert_eq!(groups, [vec![0, 2], vec![1, 3]].into());
    }
}
