//! What was seen of vCPUs in each other's company, and how it corrects what a rule says of that company.
//!
//! # Problem
//!
//! A rule of contention is wrong for some companies and right for others, and not by one factor: of two working sets of which
//! one fits, whoever came first stays fast and the other is slowed fivefold. A factor for each vCPU and phase
//! ([`super::Calibration`]) then learns from one company what is false of the next, and a policy that made a bad move does
//! not know that it was better off before, though it saw so.
//!
//! # Idea
//!
//! Who was seen in a company before is expected to fare as it did then; what was never seen is left to the rule.
//!
//! # Terms
//!
//! - *member*: a vCPU in a phase. *company*: the members beside it, as a sum of their marks, 64 bits each; the order does not
//!   matter, and who leaves is subtracted.
//! - `seen`: mean slowdown of a member in a company, in times of alone; `weight`: over how many quanta.
//!
//! # Method
//!
//! ```text
//! learn    rate = 1 / (1 + weight), at least 1/8;  seen += rate * (slowdown - seen);  weight = min(weight + 1, 8)
//! correct  told = (PRIOR * predicted + weight * seen) / (PRIOR + weight)
//! ```
//!
//! Memory is a table of [`SLOTS`] slots, each for one member in one company: the newer of two that fall into one slot
//! stays. A table of that size holds all companies of some tens of guests; where more are met, the oldest are forgotten one by one.
//!
//! # Properties
//!
//! Without anything seen the rule's answer stands, to the bit. Alone stays exactly 1: who has no company is not corrected.
//! Nobody is told less than 1. What is seen again and again is told in the end. The memory does not grow.
//!
//! # References
//!
//! Observed slowdowns of co-runs as the truth about that co-run: Mars et al., "Whare-map: heterogeneity in homogeneous
//! warehouse-scale computers", ISCA 2013. Here by phase, with a model for what was not tried.

use super::Slowdown;
use crate::counters::VcpuId;
use crate::phases::PhaseId;

/// How many members in companies are remembered.
pub const SLOTS: usize = 1 << 12;

/// How many quanta the rule's word is worth. A quantum may hold part of another phase, and be called by the one before: where the
/// rule is right, less of a prior makes policies follow such noise (`phasecast survey sweep` tells by how much).
const PRIOR: f64 = 3.0;

/// Quanta that count at most, so that what changes is learned anew.
const MOST_WEIGHT: f64 = 8.0;

/// A vCPU in a phase, as a number that tells it from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member(u64);

impl Member {
    /// This vCPU in this phase.
    #[must_use]
    pub const fn new(vcpu: VcpuId, phase: PhaseId) -> Self {
        let vcpu = (vcpu.guest.0 as u64) << 32 | vcpu.index as u64;
        Self(scrambled(scrambled(vcpu).wrapping_add(phase.0 as u64)))
    }
}

/// The finisher of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): every bit of the answer depends on every bit of `word`.
const fn scrambled(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Members that are together; nobody at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Company(u64);

impl Company {
    /// And this one.
    #[must_use]
    pub const fn with(self, member: Member) -> Self {
        Self(self.0.wrapping_add(member.0))
    }

    /// Less this one, who is in it.
    #[must_use]
    pub const fn without(self, member: Member) -> Self {
        Self(self.0.wrapping_sub(member.0))
    }
}

impl FromIterator<Member> for Company {
    fn from_iter<All: IntoIterator<Item = Member>>(members: All) -> Self {
        members.into_iter().fold(Self::default(), Self::with)
    }
}

/// What was seen of one member in one company.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Whose; 0 where nothing was seen.
    mark: u64,
    seen: f64,
    weight: f64,
}

/// What was seen of everybody.
#[derive(Debug, Clone, Default)]
pub struct Experience {
    /// None before anything was seen, then [`SLOTS`].
    slots: Vec<Slot>,
}

impl Experience {
    /// `member` was slowed so much beside `company`. Who was alone is not remembered. Quanta in which somebody's caches were
    /// cold or a phase changed are the caller's to leave out.
    pub fn learn(&mut self, member: Member, company: Company, Slowdown(slowdown): Slowdown) {
        if company == Company::default() || !slowdown.is_finite() {
            return;
        }
        if self.slots.is_empty() {
            self.slots = vec![Slot::default(); SLOTS];
        }
        let mark = mark(member, company);
        let slot = &mut self.slots[place(mark)];
        if slot.mark != mark {
            *slot = Slot { mark, ..Slot::default() };
        }
        let rate = (1.0 / (1.0 + slot.weight)).max(1.0 / MOST_WEIGHT);
        slot.seen += rate * (slowdown.max(1.0) - slot.seen);
        slot.weight = (slot.weight + 1.0).min(MOST_WEIGHT);
    }

    /// Whether nothing was seen so far.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What to expect of `member` beside `company`, of whom a rule says `predicted`.
    #[must_use]
    #[inline]
    pub fn corrected(&self, member: Member, company: Company, predicted: Slowdown) -> Slowdown {
        match self.seen(member, company) {
            Some(slot) => Slowdown((PRIOR * predicted.0 + slot.weight * slot.seen) / (PRIOR + slot.weight)),
            None => predicted,
        }
    }

    /// The same for one of those who are `together`; the rule's word where it, or anybody beside it, is not known.
    #[must_use]
    #[inline]
    pub fn corrected_among(&self, member: Option<Member>, together: Option<Company>, predicted: Slowdown) -> Slowdown {
        match (member, together) {
            (Some(member), Some(all)) => self.corrected(member, all.without(member), predicted),
            _ => predicted,
        }
    }

    #[inline]
    fn seen(&self, member: Member, company: Company) -> Option<&Slot> {
        let mark = mark(member, company);
        self.slots.get(place(mark)).filter(|slot| slot.mark == mark)
    }
}

const fn mark(member: Member, company: Company) -> u64 {
    scrambled(member.0 ^ company.0.rotate_left(32)) | 1
}

const fn place(mark: u64) -> usize {
    (mark >> 1) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::counters::GuestId;

    fn member(guest: u32, phase: u32) -> Member {
        Member::new(VcpuId { guest: GuestId(guest), index: 0 }, PhaseId(phase))
    }

    fn company(members: &[(u32, u32)]) -> Company {
        members.iter().map(|(guest, phase)| member(*guest, *phase)).collect()
    }

    #[test]
    fn who_was_seen_in_a_company_is_expected_to_fare_as_then_and_elsewhere_as_the_rule_says() {
        let mut experience = Experience::default();
        let beside = company(&[(1, 4), (2, 0)]);
        (0..100).for_each(|_| experience.learn(member(0, 3), beside, Slowdown(5.0)));
        let told = |own, company| experience.corrected(own, company, Slowdown(1.2)).0;
        assert!((3.9..5.0).contains(&told(member(0, 3), beside)));
        for (own, elsewhere) in [
            (member(0, 2), beside),
            (member(1, 3), beside),
            (member(0, 3), company(&[(1, 4)])),
            (member(0, 3), company(&[(1, 4), (2, 1)])),
            (member(0, 3), company(&[(1, 4), (3, 0)])),
        ] {
            assert_eq!(told(own, elsewhere), 1.2);
        }
    }

    #[test]
    fn what_changed_is_learned_anew() {
        let mut experience = Experience::default();
        let (own, beside) = (member(0, 0), company(&[(1, 0)]));
        (0..1000).for_each(|_| experience.learn(own, beside, Slowdown(3.0)));
        (0..40).for_each(|_| experience.learn(own, beside, Slowdown(1.0)));
        assert!(experience.corrected(own, beside, Slowdown(1.0)).0 < 1.02);
    }

    #[test]
    fn who_leaves_a_company_is_subtracted() {
        assert_eq!(company(&[(1, 4), (2, 0)]).without(member(1, 4)), company(&[(2, 0)]));
        assert_eq!(company(&[(1, 4)]).without(member(1, 4)), Company::default());
        assert_eq!(company(&[(1, 4), (2, 0)]), company(&[(2, 0), (1, 4)]));
    }

    proptest! {
        #[test]
        fn without_experience_the_rule_stands_and_with_it_nobody_is_told_less_than_alone(
            told in prop::collection::vec((0u32..6, 0u32..4, 0u32..6, 0u32..4, 0.1f64..9.0), 0..200),
            predicted in 1.0f64..8.0,
        ) {
            let mut experience = Experience::default();
            let of = |guest, phase| experience.corrected(member(guest, phase), company(&[(7, 0)]), Slowdown(predicted));
            prop_assert_eq!(of(0, 0), Slowdown(predicted));
            for (guest, phase, other, its, slowdown) in told {
                experience.learn(member(guest, phase), company(&[(other, its)]), Slowdown(slowdown));
                let corrected = experience.corrected(member(guest, phase), company(&[(other, its)]), Slowdown(predicted)).0;
                prop_assert!((1.0..=9.0).contains(&corrected));
            }
        }

        #[test]
        fn alone_is_not_corrected(slowdowns in prop::collection::vec(0.5f64..9.0, 0..20)) {
            let mut experience = Experience::default();
            for slowdown in slowdowns {
                experience.learn(member(0, 0), Company::default(), Slowdown(slowdown));
            }
            prop_assert_eq!(experience.corrected(member(0, 0), Company::default(), Slowdown::NONE), Slowdown::NONE);
        }
    }

    #[test]
    fn the_memory_does_not_grow() {
        let mut experience = Experience::default();
        for guest in 0..3 * SLOTS as u32 {
            experience.learn(member(guest, 0), company(&[(guest + 1, 0)]), Slowdown(2.0));
        }
        assert_eq!(experience.slots.len(), SLOTS);
        let last = 3 * SLOTS as u32 - 1;
        let newest = experience.corrected(member(last, 0), company(&[(last + 1, 0)]), Slowdown::NONE);
        assert!(newest > Slowdown::NONE, "the newest is known");
    }
}
