//! Whether journals and `/proc` agree: what a daemon says it did is what the kernel was seen to have, and nothing else was.
//!
//! # Method
//!
//! ```text
//! the journal    each move that was done: made after its quantum was seen, and before the next was
//! the lab        each binding by an owner, with its times
//! /proc          each change of a vCPU's CPUs, between two looks
//! ```
//!
//! For each vCPU the first two, merged in the order of time, foretell the third. A move to a domain foretells the domain's CPUs as
//! far as the owner allows them. The changes that `/proc` shows are matched with these in turn: a change is explained by the next foretold
//! one with the same CPUs whose time fits. Foretold ones may be passed over if they change nothing, or if they fall between the
//! same two looks. What is left over on either side is a disagreement. The last quantum of a daemon that was killed may have
//! decided on moves without saying what became of them: these may show, and need not.
//!
//! # Properties
//!
//! A change that nobody foretold is found, and so is a move that never came. What happens after a daemon was told to end
//! is not looked at here: the lab judges that by itself.

use std::collections::BTreeMap;

use predictor::placement::Move;

use super::Verdict;
use super::told::{Change, Record, Span};
use crate::journal::Journal;
use crate::sysfs::CpuSet;

/// Two threads ask the clock at the same moment and get answers this far apart, in milliseconds: what is emulated by several
/// processors does not agree exactly.
const CLOCKS_AGREE_WITHIN: u64 = 20;

/// A change that should show, made between these two times.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Foretold {
    cpus: CpuSet,
    from: u64,
    until: u64,
    by: String,
    /// Whether it was done, or only about to be.
    is_certain: bool,
}

/// One verdict for each daemon, in their order.
#[must_use]
pub fn judge(record: &Record) -> Vec<Verdict> {
    record.daemons.iter().map(|span| judge_one(record, span)).collect()
}

fn judge_one(record: &Record, span: &Span) -> Verdict {
    let claim = format!("/proc and the journal of daemon {} agree", span.number);
    let compared = record
        .journal(span.number)
        .ok_or_else(|| "there is no such journal".to_owned())
        .and_then(|text| Journal::parse(text.as_bytes()))
        .and_then(|journal| compare(&journal, record, span));
    match compared {
        Ok(detail) => Verdict { claim, holds: true, detail },
        Err(detail) => Verdict { claim, holds: false, detail },
    }
}

/// What was compared, or all that does not agree.
fn compare(journal: &Journal, record: &Record, span: &Span) -> Result<String, String> {
    let moves = moves_of(journal, span);
    let mut wrong = Vec::new();
    let (mut changes, mut between_domains) = (0, 0);
    let guests: std::collections::BTreeSet<&str> = record.seen.iter().map(|change| change.guest.as_str()).collect();
    for guest in guests {
        let of_guest = |change: &&Change| change.guest == guest;
        let seen: Vec<&Change> = record.seen.iter().filter(of_guest).collect();
        let ordered: Vec<&Change> = record.ordered.iter().filter(of_guest).collect();
        let done = moves.get(guest).map_or(&[][..], Vec::as_slice);
        let before = |change: &&Change| change.at <= span.since;
        let last = |all: &[&Change]| all.iter().copied().rfind(before).cloned();
        let Some(first) = last(&seen).or_else(|| seen.first().copied().cloned()) else { continue };
        let owner = last(&ordered).unwrap_or_else(|| first.clone());
        let (Some(now), Some(owner)) = (first.cpus(), owner.cpus()) else {
            return Err(format!("{guest}: {:?} or {:?} is no list of CPUs", first.cpus, owner.cpus));
        };
        let foretold = foretell(done, &ordered, owner, span);
        let shown = seen.iter().copied().filter(|change| change.since >= span.since && change.at <= span.at);
        let shown: Vec<&Change> = shown.filter(|change| **change != first).collect();
        changes += shown.len();
        between_domains += done.iter().filter(|moved| moved.is_certain).count();
        wrong.extend(match_up(guest, now, &foretold, &shown, span.at));
    }
    if !wrong.is_empty() {
        return Err(wrong.join("; "));
    }
    if between_domains == 0 {
        return Err("the journal says that nobody was moved".to_owned());
    }
    Ok(format!("{between_domains} moves in the journal, {changes} changes in /proc, each explained by the other"))
}

/// Where each guest was moved, by name: the domain's CPUs, and between which times.
fn moves_of(journal: &Journal, span: &Span) -> BTreeMap<String, Vec<Foretold>> {
    let mut names = BTreeMap::new();
    let mut moves: BTreeMap<String, Vec<Foretold>> = BTreeMap::new();
    let mut foretell =
        |quantum: u64, requested: Move, from: u64, until: u64, is_certain: bool, name: Option<&String>| {
            let domain = journal.run.topology.domains().iter().find(|domain| domain.id == requested.to);
            let (Some(name), Some(domain)) = (name, domain) else { return };
            let cpus = domain.cpus.iter().map(|cpu| cpu.0).collect();
            let by = format!("the move to domain {} in quantum {quantum}", requested.to.0);
            moves.entry(name.clone()).or_default().push(Foretold { cpus, from, until, by, is_certain });
        };
    for (place, turn) in journal.turns.iter().enumerate() {
        names.extend(turn.observation.arrivals.iter().map(|arrival| (arrival.vcpu, arrival.name.clone())));
        let from = turn.at.map_or(0, |at| at.0);
        // A killed daemon's last quantum ends with it.
        let next = journal.turns.get(place + 1).and_then(|next| next.at);
        let until = next.or(journal.unfinished.as_ref().and_then(|turn| turn.at)).map_or(span.at, |at| at.0);
        for outcome in turn.outcomes.iter().filter(|outcome| outcome.refusal.is_none()) {
            foretell(turn.quantum, outcome.requested, from, until, true, names.get(&outcome.requested.vcpu));
        }
    }
    if let Some(last) = &journal.unfinished {
        names.extend(last.observation.arrivals.iter().map(|arrival| (arrival.vcpu, arrival.name.clone())));
        let from = last.at.map_or(0, |at| at.0);
        for moved in last.decision.iter().flat_map(|decision| &decision.moves) {
            foretell(last.quantum, *moved, from, span.at, false, names.get(&moved.vcpu));
        }
    }
    moves
}

/// Moves and orders in the order of time; moves as far as the owner of the time allows.
fn foretell(moves: &[Foretold], ordered: &[&Change], owner: CpuSet, span: &Span) -> Vec<Foretold> {
    let orders = ordered.iter().filter(|change| change.since >= span.since).filter_map(|change| {
        let by = "the owner's order".to_owned();
        Some((true, Foretold { cpus: change.cpus()?, from: change.since, until: change.at, by, is_certain: true }))
    });
    let mut all: Vec<(bool, Foretold)> = moves.iter().cloned().map(|one| (false, one)).chain(orders).collect();
    all.sort_by_key(|(_, one)| one.from);
    let mut owner = owner;
    let restricted = all.into_iter().map(|(is_order, one)| {
        if is_order {
            owner = one.cpus.clone();
        }
        Foretold { cpus: one.cpus.intersection(&owner), ..one }
    });
    restricted.collect()
}

/// What does not agree, as sentences.
fn match_up(guest: &str, found: CpuSet, foretold: &[Foretold], shown: &[&Change], end: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut now, mut rest) = (found, foretold);
    for change in shown {
        let Some(cpus) = change.cpus() else { continue };
        let after = change.since.saturating_sub(CLOCKS_AGREE_WITHIN);
        let fits =
            |one: &Foretold| one.cpus == cpus && one.from <= change.at + CLOCKS_AGREE_WITHIN && one.until >= after;
        let may_be_passed_over = |one: &Foretold| one.cpus == now || one.until >= after || !one.is_certain;
        match rest.iter().position(fits).filter(|place| rest[..*place].iter().all(may_be_passed_over)) {
            Some(place) => rest = &rest[place + 1..],
            None => wrong.push(format!("{guest}: /proc shows CPUs {cpus} at {}, which nobody foretold", change.at)),
        }
        now = cpus;
    }
    let is_due = |one: &&Foretold| one.is_certain && one.cpus != now && one.until + CLOCKS_AGREE_WITHIN < end;
    wrong.extend(rest.iter().filter(is_due).map(|one| format!("{guest}: {} never showed in /proc", one.by)));
    wrong
}

#[cfg(test)]
mod tests;
