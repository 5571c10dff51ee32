//! Policies at work on a small world whose truth is known.

use super::rationale::VcpuState;
use super::*;
use crate::contention::analytic::SharedLlc;
use crate::contention::curve::ShareCurve;
use crate::contention::{CurveSource, Profile, Rule};
use crate::counters::{Event, Readings};
use crate::forecast::kind::ForecasterKind;
use crate::scenes::{Guest, Kind, World, changing_partners, partners_changing_every, trained, two_by_two, vcpu};

/// What came of a policy on a world.
struct Outcome {
    /// Work done, in quanta of running alone, over all guests.
    progress: f64,
    moves: usize,
    /// Right forecasts and all, where the phase changed.
    on_changes: (usize, usize),
    /// Right forecasts and all.
    overall: (usize, usize),
}

fn play(policy: &mut Policy, world: &mut World, quanta: usize) -> Outcome {
    let arrivals: Vec<_> = world.placement.0.iter().map(|(vcpu, domain)| (*vcpu, *domain)).collect();
    let mut outcome = Outcome { progress: 0.0, moves: 0, on_changes: (0, 0), overall: (0, 0) };
    let mut before: Vec<VcpuForecast> = Vec::new();
    for quantum in 0..quanta {
        let samples = world.advance();
        let arrivals = if quantum == 0 { arrivals.as_slice() } else { &[] };
        policy.observe(&Seen { samples: &samples, arrivals, departures: &[] });
        let decision = policy.decide();
        for (told, came) in before.iter().zip(&decision.forecasts) {
            let right = usize::from(told.next.most_likely() == came.current);
            outcome.overall = (outcome.overall.0 + right, outcome.overall.1 + 1);
            if told.current != came.current {
                outcome.on_changes = (outcome.on_changes.0 + right, outcome.on_changes.1 + 1);
            }
        }
        for moved in &decision.moves {
            world.placement.0.insert(moved.vcpu, moved.to);
        }
        policy.confirm(&decision.moves, &[]);
        assert_eq!(policy.placement(), &world.placement);
        outcome.moves += decision.moves.len();
        before = decision.forecasts;
    }
    outcome.progress = world.progress.iter().sum();
    outcome
}

fn outcome(kind: PolicyKind, quanta: usize) -> Outcome {
    outcome_with(kind, Settings::default(), quanta)
}

fn outcome_with(kind: PolicyKind, settings: Settings, quanta: usize) -> Outcome {
    let guests = changing_partners();
    let mut policy = Policy::new(kind, settings, two_by_two(), trained(&guests));
    play(&mut policy, &mut World::new(&guests), quanta)
}

/// The world has no cost of moving and its contention is the model's own, so this shows that the parts work together,
/// not how large the win is on a machine. Who meets whom later depends on who was slowed before, so one world tells little.
#[test]
fn foresight_beats_hindsight_beats_staying_where_partners_change() {
    let kinds = [PolicyKind::StayPut, PolicyKind::Reactive, PolicyKind::Predictive];
    let [stay, reactive, predictive] = kinds.map(|kind| {
        let outcomes = [0.0, 1.0, 2.0, 3.0, 5.0, 7.0].map(|longer| {
            let guests = partners_changing_every(20.0 + longer);
            let mut policy = Policy::new(kind, Settings::default(), two_by_two(), trained(&guests));
            play(&mut policy, &mut World::new(&guests), 300)
        });
        let progress: f64 = outcomes.iter().map(|outcome| outcome.progress).sum();
        (progress, outcomes.iter().map(|outcome| outcome.moves).sum::<usize>())
    });
    assert!(reactive.0 > 1.05 * stay.0, "{reactive:?} {stay:?}");
    assert!(predictive.0 > reactive.0, "{predictive:?} {reactive:?}");
    assert!(predictive.1 <= 2 * reactive.1, "{predictive:?} {reactive:?}");
}

#[test]
fn run_lengths_call_most_changes_and_last_value_none() {
    let run_lengths = Settings { forecaster: ForecasterKind::SemiMarkov, ..Settings::default() };
    let predictive = outcome_with(PolicyKind::Predictive, run_lengths, 400);
    let reactive = outcome(PolicyKind::Reactive, 400);
    assert_eq!(reactive.on_changes.0, 0);
    let share = |(right, all): (usize, usize)| right as f64 / all as f64;
    assert!(share(predictive.on_changes) > 0.5, "{:?}", predictive.on_changes);
    assert!(share(predictive.overall) > share(reactive.overall), "{:?} {:?}", predictive.overall, reactive.overall);
}

#[test]
fn the_same_samples_give_the_same_decisions() {
    let guests = changing_partners();
    let model = trained(&guests);
    let decide = || {
        let mut policy = Policy::new(PolicyKind::Predictive, Settings::default(), two_by_two(), model.clone());
        let mut world = World::new(&guests);
        let decisions = (0..60).map(|_| {
            policy.observe(&Seen { samples: &world.advance(), ..Seen::default() });
            serde_json::to_string(&policy.decide()).expect("plain data")
        });
        decisions.collect::<Vec<_>>()
    };
    assert_eq!(decide(), decide());
}

/// A policy that has seen one quantum of a chase beside a stream, and arithmetic elsewhere.
fn after_one_quantum(kind: PolicyKind) -> (Policy, World) {
    let guests =
        [Kind::Chase, Kind::Stream, Kind::Compute, Kind::Compute].map(|kind| Guest::new(&[kind.quanta(1000.0)]));
    let mut policy = Policy::new(kind, Settings::default(), two_by_two(), trained(&guests));
    let mut world = World::new(&guests);
    policy.observe(&Seen { samples: &world.advance(), ..Seen::default() });
    (policy, world)
}

#[test]
fn a_slowdown_that_rests_on_a_guessed_curve_says_so() {
    let rationale = |profile: Option<Profile>| {
        let guests = [Kind::Chase.quanta(1000.0), Kind::Stream.quanta(1000.0)].map(|kind| Guest::new(&[kind]));
        let mut parts = trained(&guests).parts().clone();
        let llc = SharedLlc { lines: 16384.0, ways: 16.0, hit_cycles: 40.0, miss_cycles: 200.0, hidden_cycles: 96.0 };
        parts.contention.rule = Rule::Analytic(llc);
        parts.pressures.iter_mut().for_each(|pressure| pressure.profile = profile);
        let model = Model::new(parts).expect("sound");
        let mut policy = Policy::new(PolicyKind::Reactive, Settings::default(), two_by_two(), model);
        policy.observe(&Seen { samples: &World::new(&guests).advance(), ..Seen::default() });
        policy.decide().rationale
    };
    let guessed = rationale(None);
    assert!(guessed.vcpus.iter().all(|reason| reason.curve == Some(CurveSource::Estimated)));
    assert!(guessed.to_string().contains("x (its need of cache is a guess from counters); "), "{guessed}");
    let measured =
        rationale(Some(Profile { miss_ratios: ShareCurve::default(), dispersion: 1.0, cycles_per_extra_miss: None }));
    assert!(measured.vcpus.iter().all(|reason| reason.curve == Some(CurveSource::Measured)));
    assert!(!measured.to_string().contains("guess"), "{measured}");
}

#[test]
fn the_rationale_reads_as_sentences() {
    let (mut policy, _) = after_one_quantum(PolicyKind::Reactive);
    let decision = policy.decide();
    let text = decision.rationale.to_string();
    let expected = [
        "reactive: sum of slowdowns 7.09, 4.05 after moving",
        "  guest 0 vCPU 0 in domain 0: phase 2, next phase 2 (100 %), 4.09x; \
         in domain 1 for guest 2 vCPU 0 1.00x (gain 3.03, needs 0.21); moves to domain 1",
        "  guest 1 vCPU 0 in domain 0: phase 1, next phase 1 (100 %), 1.00x; \
         in domain 1 for guest 2 vCPU 0 1.00x (gain 3.03, needs 0.21); stays: moving others helps more",
        "  guest 2 vCPU 0 in domain 1: phase 0, next phase 0 (100 %), 1.00x; \
         in domain 0 for guest 0 vCPU 0 1.00x (gain 3.03, needs 0.21); moves to domain 0",
        "  guest 3 vCPU 0 in domain 1: phase 0, next phase 0 (100 %), 1.00x; \
         in domain 0 for guest 0 vCPU 0 1.00x (gain 3.03, needs 0.21); stays: moving others helps more",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    let json = serde_json::to_string(&decision).expect("plain data");
    assert_eq!(serde_json::from_str::<Decision>(&json).expect("own text"), decision);
}

#[test]
fn a_refused_move_leaves_the_picture_as_it_was_and_is_not_tried_at_once() {
    let (mut policy, mut world) = after_one_quantum(PolicyKind::Reactive);
    let before = policy.placement().clone();
    let refused = policy.decide().moves;
    assert_eq!(refused.len(), 2);
    policy.confirm(&[], &refused);
    assert_eq!(policy.placement(), &before);
    policy.observe(&Seen { samples: &world.advance(), ..Seen::default() });
    let next = policy.decide();
    assert!(next.moves.iter().all(|again| refused.iter().all(|first| first.vcpu != again.vcpu)));
    let verdict = next.rationale.vcpus.iter().find(|vcpu| vcpu.vcpu == refused[0].vcpu).expect("present").verdict;
    assert_eq!(verdict, Verdict::CoolsDown { quanta: 1 });
}

#[test]
fn a_vcpu_that_left_is_forgotten_and_one_that_came_is_not_moved_unseen() {
    let (mut policy, mut world) = after_one_quantum(PolicyKind::Predictive);
    let mut samples = world.advance();
    samples.pop();
    policy.observe(&Seen { samples: &samples, arrivals: &[(vcpu(9), DomainId(1))], departures: &[vcpu(3)] });
    let decision = policy.decide();
    assert!(decision.rationale.vcpus.iter().all(|reason| reason.vcpu != vcpu(3)));
    let newcomer = decision.rationale.vcpus.iter().find(|reason| reason.vcpu == vcpu(9)).expect("present");
    assert_eq!((newcomer.verdict, &newcomer.state), (Verdict::NothingKnown, &VcpuState::Unseen));
}

#[test]
fn a_vcpu_without_counters_is_not_the_perfect_neighbour() {
    let (mut policy, mut world) = after_one_quantum(PolicyKind::Reactive);
    let mut samples = world.advance();
    samples[2].readings = Readings::default();
    policy.observe(&Seen { samples: &samples, ..Seen::default() });
    let decision = policy.decide();
    let blind = &decision.rationale.vcpus[2];
    assert_eq!(blind.verdict, Verdict::NothingKnown);
    assert!(matches!(&blind.state, VcpuState::Missing { events } if events.contains(&Event::LlcReferences)));
    assert!(decision.rationale.vcpus[3].slowdown_here >= Slowdown::NONE);
    assert!(decision.moves.iter().all(|moved| moved.vcpu != vcpu(2)));
}

#[test]
fn without_a_model_nobody_moves_and_nothing_is_forecast() {
    let mut world = World::new(&changing_partners());
    let mut policy = Policy::stay_put(two_by_two());
    policy.observe(&Seen { samples: &world.advance(), ..Seen::default() });
    let decision = policy.decide();
    assert!(decision.moves.is_empty() && decision.forecasts.is_empty());
    assert_eq!(policy.placement(), &world.placement);
}
