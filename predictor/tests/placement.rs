//! Placements as the solvers find them, against brute force, against each other, and against every constraint.

#[path = "../examples/placement/problems.rs"]
mod problems;

use std::collections::BTreeSet;

use predictor::contention::Demand;
use predictor::counters::GuestId;
use predictor::placement::whatif::{Constraint, NoAnswer, Setup, WhatIf};
use predictor::placement::{Placement, exact, search};
use predictor::topology::{CpuId, DomainId};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn searched(problem: &WhatIf, budget: u64) -> Result<predictor::placement::whatif::Answer, NoAnswer> {
    search::solve(problem, budget, &mut ChaCha8Rng::seed_from_u64(1))
}

/// The cost of the cheapest of all placements that break nothing, each looked at.
fn brute_force(problem: &WhatIf) -> Option<f64> {
    let setup = problem.setup();
    let domains = setup.topology.domains().len();
    let placement = |code: usize| {
        let homes = setup.vcpus.iter().scan(code, |rest, vcpu| {
            let home = DomainId(u32::try_from(*rest % domains).expect("few"));
            *rest /= domains;
            Some((vcpu.id, home))
        });
        Placement(homes.collect())
    };
    let all = (0..domains.pow(u32::try_from(setup.vcpus.len()).expect("few"))).map(placement);
    let sound = all.filter(|placement| problem.broken(placement).is_empty());
    sound.map(|placement| problem.bill(&placement).cost).reduce(f64::min)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn exact_agrees_with_brute_force(seed in any::<u64>()) {
        let problem = problems::constrained(seed, 6, 3);
        match (exact::solve(&problem), brute_force(&problem)) {
            (Ok(answer), Some(best)) => {
                prop_assert!((answer.after.cost - best).abs() < 1e-9, "{} and {best}", answer.after.cost);
                prop_assert_eq!(problem.broken(&answer.placement), []);
                prop_assert_eq!(problem.bill(&answer.placement), answer.after);
            }
            (Err(NoAnswer::Impossible(_)), None) => {}
            (answer, best) => prop_assert!(false, "{answer:?} and {best:?}"),
        }
    }

    #[test]
    fn each_vcpu_is_placed_once_breaking_nothing_and_never_worse_than_staying_put(
        seed in any::<u64>(), budget in 0u64..3000
    ) {
        let problem = problems::constrained(seed, 12, 4);
        if let Ok(answer) = searched(&problem, budget) {
            prop_assert!(answer.placement.0.keys().eq(
                problem.setup().vcpus.iter().map(|vcpu| vcpu.id).collect::<BTreeSet<_>>().iter()
            ));
            prop_assert_eq!(problem.broken(&answer.placement), []);
            prop_assert!(answer.evaluations <= budget);
            if let (Some(before), true) = (answer.before, answer.broken_before.is_empty()) {
                prop_assert!(answer.after.cost <= before.cost);
            }
        }
    }
}

#[test]
fn search_is_within_a_percent_of_exact_on_200_problems() {
    let mut solved = 0;
    for seed in 0..200 {
        let problem = problems::constrained(seed, 12, 4);
        let Ok(best) = exact::solve(&problem) else { continue };
        solved += 1;
        let found = searched(&problem, search::usual_budget(&problem)).expect("exact found one");
        let (best, found) = (best.after.cost, found.after.cost);
        assert!(found <= best * 1.01, "seed {seed}: {found} where {best} is possible");
    }
    assert!(solved >= 150, "only {solved} of the problems have an answer");
}

/// What 20,000 changes cost in time, and what 10 s find, is for the example to say: `examples/placement`.
#[test]
fn a_short_search_of_a_large_host_is_within_two_percent_of_a_long_one() {
    for seed in 1..=3 {
        let problem = WhatIf::new(problems::free(seed, 16, 8, 128)).expect("sound");
        let cost = |budget| searched(&problem, budget).expect("an answer").after.cost;
        let (short, long) = (cost(20_000), cost(300_000));
        assert!(short <= long * 1.02, "seed {seed}: {short} and {long}");
    }
}

#[test]
fn the_same_generator_and_budget_give_the_same_answer() {
    let problem = WhatIf::new(problems::free(7, 8, 4, 32)).expect("sound");
    assert_eq!(searched(&problem, 5000), searched(&problem, 5000));
}

#[test]
fn everybody_alone_costs_the_sum_of_weights_exactly() {
    let problem = WhatIf::new(Setup { lost_share_per_move: 0.0, ..problems::free(3, 4, 1, 4) }).expect("sound");
    assert_eq!(exact::solve(&problem).expect("an answer").after.cost, 4.0);
}

#[test]
fn an_impossible_problem_names_what_stands_in_the_way() {
    let problem = |change: fn(&mut Setup)| {
        let mut setup = problems::free(1, 2, 2, 4);
        change(&mut setup);
        WhatIf::new(setup).expect("sound")
    };
    let crowded = problem(|setup| setup.vcpus.iter_mut().for_each(|vcpu| vcpu.allowed = Some([CpuId(0)].into())));
    let constraints = vec![Constraint::Capacity, Constraint::AllowedCpus];
    assert_eq!(exact::solve(&crowded), Err(NoAnswer::Impossible(constraints)));
    assert!(matches!(searched(&crowded, 2000), Err(NoAnswer::NotFound(broken)) if !broken.is_empty()));
    let spread = problem(|setup| {
        setup.vcpus.iter_mut().for_each(|vcpu| {
            vcpu.id = predictor::counters::VcpuId { guest: GuestId(0), index: vcpu.id.guest.0 * 2 + vcpu.id.index }
        });
        setup.within_a_node = [GuestId(0)].into();
    });
    assert_eq!(exact::solve(&spread), Err(NoAnswer::Impossible(vec![Constraint::Capacity, Constraint::WithinANode])));
}

#[test]
fn a_guest_that_must_not_span_nodes_is_brought_together() {
    let mut setup = problems::free(1, 4, 2, 4);
    for (vcpu, home) in setup.vcpus.iter_mut().zip([0, 2, 1, 3]) {
        vcpu.present = Some(DomainId(home));
    }
    setup.within_a_node = [GuestId(0), GuestId(1)].into();
    let problem = WhatIf::new(setup).expect("sound");
    for answer in [exact::solve(&problem), searched(&problem, 2000)] {
        let answer = answer.expect("two moves suffice");
        assert_eq!(answer.broken_before, [Constraint::WithinANode]);
        assert_eq!(problem.broken(&answer.placement), []);
    }
}

#[test]
fn what_is_too_large_for_the_exact_solver_is_refused() {
    let problem = WhatIf::new(problems::free(1, 16, 8, 128)).expect("sound");
    assert_eq!(exact::solve(&problem), Err(NoAnswer::TooLarge));
}

#[test]
fn a_wrong_number_is_placed_at_its_key() {
    let refused = |change: fn(&mut Setup)| {
        let mut setup = problems::free(1, 2, 2, 4);
        change(&mut setup);
        WhatIf::new(setup).expect_err("wrong on purpose").to_string()
    };
    assert_eq!(refused(|setup| setup.vcpus[2].weight = -1.0), "vcpus[2].weight: is -1; give more than 0");
    assert_eq!(refused(|setup| setup.overcommit = 0.5), "constraints.overcommit: is 0.5; give at least 1");
    assert_eq!(refused(|setup| setup.worst_share = 2.0), "objective.worst_share: is 2; give 0 to 1");
    let demand = Demand { bytes_per_cycle: f64::NAN, ..Demand::default() };
    let nan: fn(&mut Setup) = |setup| setup.vcpus[0].demand.bytes_per_cycle = f64::NAN;
    assert!(demand.bytes_per_cycle.is_nan() && refused(nan).contains("vcpus[0].demand.bytes_per_cycle"));
}
