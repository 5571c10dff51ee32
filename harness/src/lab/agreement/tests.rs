//! Journals and `/proc` that agree, and each way in which they may not.

use super::*;

fn cpus(list: &str) -> CpuSet {
    CpuSet::from_list(list).expect("a list")
}

fn foretold(list: &str, from: u64, until: u64) -> Foretold {
    Foretold { cpus: cpus(list), from, until, by: format!("the move to {list}"), is_certain: true }
}

fn change(list: &str, since: u64, at: u64) -> Change {
    Change { guest: "g".to_owned(), thread: 1, cpus: list.to_owned(), since, at }
}

/// What is wrong with a vCPU that was found on CPUs 0-3, until 10 s.
fn wrong(foretold: &[Foretold], shown: &[Change]) -> Vec<String> {
    match_up("g", cpus("0-3"), foretold, &shown.iter().collect::<Vec<_>>(), 10_000)
}

#[test]
fn changes_that_were_foretold_in_turn_agree() {
    let moves = [foretold("0-1", 1000, 1250), foretold("2-3", 2000, 2250), foretold("0-1", 3000, 3250)];
    let seen = [change("0-1", 1010, 1050), change("2-3", 2190, 2260), change("0-1", 2990, 3030)];
    assert_eq!(wrong(&moves, &seen), [""; 0]);
}

#[test]
fn a_change_that_nobody_foretold_is_found() {
    let moves = [foretold("0-1", 1000, 1250)];
    let seen = [change("0-1", 1010, 1050), change("2-3", 5000, 5040)];
    assert_eq!(wrong(&moves, &seen), ["g: /proc shows CPUs 2-3 at 5040, which nobody foretold"]);
}

#[test]
fn a_move_that_never_showed_is_found() {
    assert_eq!(wrong(&[foretold("0-1", 1000, 1250)], &[]), ["g: the move to 0-1 never showed in /proc"]);
}

#[test]
fn a_change_at_another_time_than_foretold_is_found_on_both_sides() {
    let found = wrong(&[foretold("0-1", 1000, 1250)], &[change("0-1", 400, 450)]);
    assert_eq!(found.len(), 1, "{found:?}");
    let found = wrong(&[foretold("0-1", 1000, 1250), foretold("2-3", 3000, 3250)], &[change("2-3", 3000, 3040)]);
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn what_changes_nothing_or_falls_between_two_looks_need_not_show() {
    let same = [foretold("0-3", 500, 750), foretold("0-1", 1000, 1250), foretold("0-1", 1300, 1500)];
    assert_eq!(wrong(&same, &[change("0-1", 1010, 1050)]), [""; 0]);
    let quick = [foretold("0-1", 1000, 1250), foretold("2-3", 1250, 1500)];
    assert_eq!(wrong(&quick, &[change("2-3", 1100, 1400)]), [""; 0]);
}

#[test]
fn a_move_on_the_way_when_the_daemon_is_told_to_end_need_not_show() {
    assert_eq!(wrong(&[foretold("0-1", 9900, 10_000)], &[]), [""; 0]);
}

#[test]
fn a_move_of_which_it_is_not_known_what_became_of_it_may_show_or_not() {
    let moves = [Foretold { is_certain: false, ..foretold("0-1", 1000, 1250) }];
    assert_eq!(wrong(&moves, &[]), [""; 0]);
    assert_eq!(wrong(&moves, &[change("0-1", 1010, 1050)]), [""; 0]);
}

#[test]
fn a_move_shows_as_far_as_the_owner_of_the_time_allows() {
    let span = Span { number: 1, since: 0, at: 10_000 };
    let order = change("0,2", 2000, 2010);
    let moves = [foretold("2-3", 1000, 1250), foretold("0-1", 3000, 3250)];
    let merged = foretell(&moves, &[&order], cpus("1-3"), &span);
    let masks: Vec<String> = merged.iter().map(|one| one.cpus.to_string()).collect();
    assert_eq!(masks, ["2-3", "0,2", "0"]);
}

#[test]
fn a_daemon_without_a_journal_is_told() {
    let record = Record { daemons: vec![Span { number: 2, since: 0, at: 1 }], ..Record::default() };
    let verdicts = judge(&record);
    assert_eq!(verdicts.len(), 1);
    assert!(!verdicts[0].holds && verdicts[0].detail == "there is no such journal", "{verdicts:?}");
}
