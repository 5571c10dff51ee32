//! What each policy claims, on small worlds whose truth is known.

use super::*;
use crate::contention::{Calibration, Slowdown};
use crate::forecast::kind::ForecasterKind;
use crate::placement::rules::{Nodes, Rule};
use crate::scenes::{Guest, Kind, World, changing_partners, trained, two_by_two, vcpu};

/// The moves of each quantum under a policy.
fn moves(policy: &mut Policy, world: &mut World, quanta: usize) -> Vec<Vec<Move>> {
    let quantum = |_| {
        policy.observe(&Seen { samples: &world.advance(), ..Seen::default() });
        let decision = policy.decide();
        world.placement.0.extend(decision.moves.iter().map(|moved| (moved.vcpu, moved.to)));
        policy.confirm(&decision.moves, &[]);
        decision.moves
    };
    (0..quanta).map(quantum).collect()
}

fn policy(kind: PolicyKind, settings: Settings, guests: &[Guest]) -> Policy {
    Policy::new(kind, settings, two_by_two(), trained(guests))
}

fn steady(kinds: &[Kind]) -> Vec<Guest> {
    kinds.iter().map(|kind| Guest::new(&[kind.quanta(1000.0)])).collect()
}

fn all_moves(kind: PolicyKind, settings: Settings, guests: &[Guest], quanta: usize) -> Vec<Vec<Move>> {
    moves(&mut policy(kind, settings, guests), &mut World::new(guests), quanta)
}

#[test]
fn every_policy_keeps_the_budget_the_cool_down_and_the_number_of_cpus() {
    let settings = Settings { moves_per_vcpu_quantum: 0.05, ..Settings::default() };
    let guests = changing_partners();
    let model = trained(&guests);
    for kind in PolicyKind::ALL {
        let mut world = World::new(&guests);
        let mut policy = Policy::new(kind, settings, two_by_two(), model.clone());
        let mut rest = BTreeMap::new();
        let mut made = 0;
        for (quantum, moves) in moves(&mut policy, &mut world, 300).into_iter().enumerate() {
            made += moves.len();
            // Four are saved at first, and 0.2 come in each quantum.
            assert!(made as f64 <= 4.0 + 0.2 * (quantum + 1) as f64, "{kind}: {made} moves in quantum {quantum}");
            for moved in moves {
                let before = rest.insert(moved.vcpu, quantum);
                assert!(before.is_none_or(|before| quantum - before >= 2), "{kind}: {} moved twice", moved.vcpu);
            }
        }
        for domain in two_by_two().domains() {
            assert!(world.placement.members(domain.id).count() <= 2, "{kind}");
        }
        assert_eq!(made > 0, !matches!(kind, PolicyKind::StayPut | PolicyKind::LoadBalance), "{kind}: {made} moves");
    }
}

fn rule(whereabouts: Whereabouts) -> Rule {
    Rule { whereabouts, ..Rule::default() }
}

#[test]
fn an_excluded_vcpu_is_never_moved_whatever_the_policy() {
    let guests = changing_partners();
    for kind in PolicyKind::ALL {
        let mut policy = policy(kind, Settings::default(), &guests);
        policy.obey(Rules::new([(vcpu(0), rule(Whereabouts::Excluded))].into(), Nodes::Across));
        let moved = moves(&mut policy, &mut World::new(&guests), 200);
        assert!(moved.iter().flatten().all(|moved| moved.vcpu != vcpu(0)), "{kind}");
    }
}

#[test]
fn who_belongs_in_a_domain_is_brought_there_and_stays_whatever_the_policy() {
    let guests = changing_partners();
    for kind in PolicyKind::ALL {
        let mut world = World::new(&guests);
        let target = DomainId(1 - world.placement.0[&vcpu(0)].0);
        let mut policy = policy(kind, Settings::default(), &guests);
        policy.obey(Rules::new([(vcpu(0), rule(Whereabouts::In(target)))].into(), Nodes::Across));
        let moved = moves(&mut policy, &mut world, 200);
        let own: Vec<&Move> = moved.iter().flatten().filter(|moved| moved.vcpu == vcpu(0)).collect();
        assert_eq!(own.len(), 1, "{kind}: {own:?}");
        assert_eq!(world.placement.0[&vcpu(0)], target, "{kind}");
        for domain in two_by_two().domains() {
            assert!(world.placement.members(domain.id).count() <= 2, "{kind}");
        }
    }
}

#[test]
fn who_is_where_it_belongs_is_held_there_once_whatever_the_policy() {
    let guests = changing_partners();
    for kind in PolicyKind::ALL {
        let mut world = World::new(&guests);
        let home = world.placement.0[&vcpu(0)];
        let order = |home| Rules::new([(vcpu(0), rule(Whereabouts::In(home)))].into(), Nodes::Across);
        let mut policy = policy(kind, Settings::default(), &guests);
        let mut held = |policy: &mut Policy, quanta| {
            let moved = moves(policy, &mut world, quanta).concat();
            moved.into_iter().filter(|moved| moved.vcpu == vcpu(0)).collect::<Vec<_>>()
        };
        policy.obey(order(home));
        let hold = Move { vcpu: vcpu(0), from: home, to: home };
        assert_eq!(held(&mut policy, 50), [hold], "{kind}");
        policy.obey(order(home));
        assert_eq!(held(&mut policy, 10), [], "{kind}: the same order again");
        policy.let_go();
        assert_eq!(held(&mut policy, 10), [hold], "{kind}: it was given back");
    }
}

#[test]
fn without_a_model_load_is_balanced_orders_are_kept_and_nobody_else_moves() {
    let guests = steady(&[Kind::Chase, Kind::Compute, Kind::Compute]);
    for (kind, moved) in [(PolicyKind::LoadBalance, 1), (PolicyKind::StayPut, 0), (PolicyKind::Reactive, 0)] {
        let mut world = World::new(&guests);
        world.placement.0.values_mut().for_each(|home| *home = DomainId(0));
        let mut policy = Policy::load_only(kind, Settings::default(), two_by_two());
        assert_eq!(moves(&mut policy, &mut world, 20).concat().len(), moved, "{kind}");
        policy.obey(Rules::new([(vcpu(2), rule(Whereabouts::In(DomainId(1))))].into(), Nodes::Across));
        moves(&mut policy, &mut world, 20);
        assert_eq!(world.placement.0[&vcpu(2)], DomainId(1), "{kind}");
    }
}

#[test]
fn the_same_seed_draws_the_same_moves_and_another_does_not() {
    let guests = changing_partners();
    for kind in [PolicyKind::Random, PolicyKind::Brm] {
        let seeded = |seed| all_moves(kind, Settings { seed, ..Settings::default() }, &guests, 100);
        assert_eq!(seeded(1), seeded(1), "{kind}");
        assert_ne!(seeded(1), seeded(2), "{kind}");
    }
}

#[test]
fn load_balance_evens_out_who_is_at_work_and_then_stays() {
    let guests = steady(&[Kind::Chase, Kind::Compute]);
    let moves = all_moves(PolicyKind::LoadBalance, Settings::default(), &guests, 20);
    assert_eq!(moves[0], [Move { vcpu: vcpu(0), from: DomainId(0), to: DomainId(1) }]);
    assert!(moves[1..].iter().all(Vec::is_empty));
}

#[test]
fn load_balance_moves_nobody_on_a_full_host() {
    let guests = steady(&[Kind::Chase, Kind::Stream, Kind::Compute, Kind::Compute]);
    assert!(all_moves(PolicyKind::LoadBalance, Settings::default(), &guests, 50).iter().all(Vec::is_empty));
}

#[test]
fn round_robin_gives_everybody_every_neighbour() {
    let guests = steady(&[Kind::Compute; 4]);
    let mut policy = policy(PolicyKind::RoundRobin, Settings::default(), &guests);
    let mut world = World::new(&guests);
    let mut met = BTreeSet::new();
    for _ in 0..100 {
        let _ = moves(&mut policy, &mut world, 1);
        for domain in two_by_two().domains() {
            met.insert(world.placement.members(domain.id).collect::<Vec<_>>());
        }
    }
    assert_eq!(met.len(), 6, "{met:?}");
}

#[test]
fn di_parts_those_who_miss_most_and_then_stays() {
    let guests = steady(&[Kind::Stream, Kind::Stream, Kind::Compute, Kind::Compute]);
    let moves = all_moves(PolicyKind::Di, Settings::default(), &guests, 40);
    assert_eq!(moves[0].len(), 2, "{:?}", moves[0]);
    assert!(moves[1..].iter().all(Vec::is_empty));
    let streams: BTreeSet<VcpuId> = [vcpu(0), vcpu(1)].into();
    assert_eq!(moves[0].iter().filter(|moved| streams.contains(&moved.vcpu)).count(), 1);
}

#[test]
fn brm_parts_those_who_wait_for_each_other_sooner_or_later() {
    let guests = steady(&[Kind::Chase, Kind::Stream, Kind::Compute, Kind::Compute]);
    let mut world = World::new(&guests);
    let mut policy = policy(PolicyKind::Brm, Settings::default(), &guests);
    let apart = (0..200).filter(|_| {
        let _ = moves(&mut policy, &mut world, 1);
        world.placement.0[&vcpu(0)] != world.placement.0[&vcpu(1)]
    });
    // By chance alone they would be apart for two thirds of the time.
    assert!(apart.count() > 150);
}

#[test]
fn an_oracle_goes_by_what_it_is_told_and_by_nothing_else() {
    let guests = steady(&[Kind::Compute, Kind::Compute, Kind::Compute, Kind::Compute]);
    let mut policy = policy(PolicyKind::Oracle, Settings::default(), &guests);
    let mut world = World::new(&guests);
    assert!(moves(&mut policy, &mut world, 3).iter().all(Vec::is_empty), "nobody said anything");
    let model = trained(&steady(&[Kind::Chase, Kind::Stream, Kind::Compute, Kind::Compute]));
    let demand = |phase: u32| model.demand(PhaseId(phase), &Calibration::default());
    let pressing = (0..model.parts().phases.len() as u32)
        .map(demand)
        .max_by(|one, other| one.cache_sensitivity.total_cmp(&other.cache_sensitivity));
    // The two in the first domain are told to press on each other: one of them leaves in exchange, and rests.
    let coming = [0, 1].map(|guest| (vcpu(guest), pressing.expect("it has phases")));
    policy.foretell(Stretch::whole(coming.into()));
    let made = moves(&mut policy, &mut world, 3);
    assert_eq!(made[0].len(), 2, "{made:?}");
    assert!(made[1..].iter().all(Vec::is_empty), "{made:?}");
    assert_ne!(world.placement.0[&vcpu(0)], world.placement.0[&vcpu(1)]);
}

#[test]
fn predictive_with_the_last_value_as_its_forecast_decides_as_reactive_does() {
    let guests = changing_partners();
    let settings = Settings { forecaster: ForecasterKind::LastValue, ..Settings::default() };
    let by = |kind| all_moves(kind, settings, &guests, 200);
    assert_eq!(by(PolicyKind::Predictive), by(PolicyKind::Reactive));
}

#[test]
fn who_cannot_be_forecast_is_placed_for_the_last_phase_and_the_rationale_says_so() {
    let guests = changing_partners();
    // No forecast is as sure as that.
    let settings = Settings { min_confidence: 0.9999, ..Settings::default() };
    let mut policy = policy(PolicyKind::Predictive, settings, &guests);
    let mut world = World::new(&guests);
    let _ = moves(&mut policy, &mut world, 30);
    policy.observe(&Seen { samples: &world.advance(), ..Seen::default() });
    let text = policy.decide().rationale.to_string();
    assert!(text.contains("too unsure to act on"), "{text}");
}

#[test]
fn where_the_model_is_right_a_move_gains_what_was_predicted_but_for_its_price() {
    let guests = steady(&[Kind::Chase, Kind::Stream, Kind::Compute, Kind::Compute]);
    let mut policy = policy(PolicyKind::Reactive, Settings::default(), &guests);
    let mut world = World::new(&guests);
    let mut scores = Vec::new();
    for _ in 0..20 {
        let _ = moves(&mut policy, &mut world, 1);
        scores.extend(policy.scores().to_vec());
    }
    let [score] = scores.as_slice() else { panic!("one exchange was made: {scores:?}") };
    assert_eq!((score.decided, score.quanta, score.moves.len()), (0, 8, 2));
    let free = score.predicted_gain + 2.0 * Settings::default().migration_cost_quanta;
    assert!((score.realised_gain / free - 1.0).abs() < 0.02, "{score:?}");
}

#[test]
fn a_policy_whose_moves_did_not_pay_makes_none_for_a_while_and_says_so() {
    let guests = steady(&[Kind::Chase, Kind::Stream, Kind::Compute, Kind::Compute]);
    let mut policy = policy(PolicyKind::Reactive, Settings::default(), &guests);
    let lost =
        |loss: f64| MoveScore { decided: 0, moves: vec![], quanta: 8, predicted_gain: 1.0, realised_gain: -loss };
    policy.back_off.learn(&[1.0, 1.2, 0.8, 1.0, 1.1, 0.9].map(lost));
    let mut world = World::new(&guests);
    policy.observe(&Seen { samples: &world.advance(), ..Seen::default() });
    let decision = policy.decide();
    assert!(decision.moves.is_empty());
    let text = decision.rationale.to_string();
    assert!(text.contains("stays: moves of late did not pay, none for 15 more quanta"), "{text}");
    assert!(decision.rationale.vcpus[0].slowdown_here > Slowdown(2.0));
    assert!(moves(&mut policy, &mut world, 30).iter().any(|moves| !moves.is_empty()), "it tries again");
}
