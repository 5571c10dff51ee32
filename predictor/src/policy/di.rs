//! Cache misses are spread evenly over domains: distributed intensity.
//!
//! # Problem
//!
//! Which vCPUs should share a cache, if all that is known of each is how often it misses it?
//!
//! # Method
//!
//! ```text
//! rate(i)  = LLC misses per 1000 instructions, as a mean that forgets 1/5 each quantum
//! sort vCPUs by rate, the highest first
//! deal each to the domain with the least sum of rates so far that has a CPU left
//! name the groups so that as few vCPUs as possible move (greedily by overlap)
//! move there if the highest sum falls by more than min_gain_share of all rates
//! ```
//!
//! The first part is the published rule, in its online form (DIO: rates as observed, not as measured alone). The last two
//! lines keep equal groups where they are and are the published "swap only if needed" in this program's terms.
//!
//! # Properties
//!
//! The vCPUs with the highest rates, as many as there are domains, are all in different ones. Each domain's CPUs are
//! enough for those dealt to it. With the same rates it moves once and then stays.
//!
//! # Reference
//!
//! Zhuravlev, Blagodurov, Fedorova, "Addressing shared resource contention in multicore processors via scheduling",
//! ASPLOS 2010.

use super::view::{Choice, View};
use crate::counters::VcpuId;
use crate::placement::Placement;
use crate::topology::DomainId;

pub(super) fn choose(view: &View<'_>) -> Choice {
    let rate = |vcpu: VcpuId| view.watches.get(&vcpu).and_then(|watch| watch.misses_per_kilo_instruction());
    let mut known: Vec<(VcpuId, f64)> =
        view.placement.0.keys().filter_map(|vcpu| Some((*vcpu, rate(*vcpu)?))).collect();
    known.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    let groups = deal(view, &known);
    let target = named(view, &groups);
    let highest = |placement: &Placement| {
        let sum = |id: DomainId| placement.members(id).filter_map(rate).sum::<f64>();
        view.topology.domains().iter().map(|domain| sum(domain.id)).fold(0.0, f64::max)
    };
    let (before, after) = (highest(view.placement), highest(&target));
    let all: f64 = known.iter().map(|(_, rate)| rate).sum();
    let note = format!(
        "LLC misses per 1000 instructions in the busiest domain: {before:.1}, {after:.1} if dealt evenly, {all:.1} in all"
    );
    if before - after <= view.settings.min_gain_share * all {
        return view.stay(note);
    }
    Choice { placement: view.towards(&target), note }
}

/// Who shares a domain, by the rule; groups stand in the order of domains, whose sizes they fit.
fn deal(view: &View<'_>, known: &[(VcpuId, f64)]) -> Vec<Vec<VcpuId>> {
    let domains = view.topology.domains();
    let unknown =
        |id: DomainId| view.placement.members(id).filter(|vcpu| known.iter().all(|(who, _)| who != vcpu)).count();
    let mut room: Vec<usize> =
        domains.iter().map(|domain| domain.cpus.len().saturating_sub(unknown(domain.id))).collect();
    let mut sums = vec![0.0f64; domains.len()];
    let mut groups = vec![Vec::new(); domains.len()];
    for (vcpu, rate) in known {
        let open = (0..domains.len()).filter(|place| room[*place] > 0);
        let Some(least) = open.min_by(|one, other| sums[*one].total_cmp(&sums[*other])) else { continue };
        sums[least] += rate;
        room[least] -= 1;
        groups[least].push(*vcpu);
    }
    groups
}

/// The groups in those domains of the same size where most of their members are already.
fn named(view: &View<'_>, groups: &[Vec<VcpuId>]) -> Placement {
    let domains = view.topology.domains();
    let overlap = |group: usize, at: usize| {
        groups[group].iter().filter(|vcpu| view.placement.0.get(vcpu) == Some(&domains[at].id)).count()
    };
    let fits = |group: usize, at: usize| domains[group].cpus.len() == domains[at].cpus.len();
    let mut pairs: Vec<(usize, usize)> =
        (0..groups.len()).flat_map(|group| (0..domains.len()).map(move |at| (group, at))).collect();
    pairs.retain(|(group, at)| fits(*group, *at));
    pairs.sort_by_key(|(group, at)| (std::cmp::Reverse(overlap(*group, *at)), *group != *at, *group, *at));
    let mut target = view.placement.clone();
    let (mut is_named, mut is_taken) = (vec![false; groups.len()], vec![false; domains.len()]);
    for (group, at) in pairs {
        if !is_named[group] && !is_taken[at] {
            is_named[group] = true;
            is_taken[at] = true;
            target.0.extend(groups[group].iter().map(|vcpu| (*vcpu, domains[at].id)));
        }
    }
    target
}
