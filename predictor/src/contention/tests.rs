//! Every rule keeps the properties that placement rests on.

use proptest::prelude::*;

use super::curve::POINTS;
use super::*;

pub(crate) const CONTENTION: Contention = Contention::additive(6.0, Some(4.0));

/// A pointer chase that just fits the LLC alone.
pub(crate) const CHASE: Pressure = Pressure {
    llc_references_per_kilo_instruction: 150.0,
    llc_misses_per_kilo_instruction: 0.5,
    memory_bytes_per_kilo_instruction: 32.0,
    cycles_per_instruction: 7.0,
    stall_share: 0.9,
    profile: None,
};

/// A stream through memory.
pub(crate) const STREAM: Pressure = Pressure {
    llc_references_per_kilo_instruction: 60.0,
    llc_misses_per_kilo_instruction: 60.0,
    memory_bytes_per_kilo_instruction: 3840.0,
    cycles_per_instruction: 1.2,
    stall_share: 0.5,
    profile: None,
};

/// Arithmetic in registers.
pub(crate) const COMPUTE: Pressure = Pressure {
    llc_references_per_kilo_instruction: 0.0,
    llc_misses_per_kilo_instruction: 0.0,
    memory_bytes_per_kilo_instruction: 0.0,
    cycles_per_instruction: 0.5,
    stall_share: 0.0,
    profile: None,
};

pub(crate) fn demand(pressure: &Pressure) -> Demand {
    CONTENTION.demand(pressure, &Calibration::default())
}

/// The machine of [`CONTENTION`]: 1 MiB of 16 ways.
pub(crate) const LLC: SharedLlc =
    SharedLlc { lines: 16384.0, ways: 16.0, hit_cycles: 40.0, miss_cycles: 200.0, hidden_cycles: 96.0 };

const LEARNED: Learned = Learned { cache: 0.8, misses: 5.0, references: 3.0 };

/// Each rule on the same machine.
fn rules() -> [Contention; 4] {
    [Rule::Additive, Rule::Analytic(LLC), Rule::Learned(LEARNED), Rule::Di]
        .map(|rule| Contention { rule, ..CONTENTION })
}

prop_compose! {
    /// Miss ratios that fall by chance.
    fn any_curve()(falls in prop::collection::vec(0.01f32..1.0, POINTS), last in 0.0f32..1.0) -> ShareCurve {
        let total: f32 = falls.iter().sum();
        let mut ratio = 1.0f32;
        let ratios = std::array::from_fn(|place| {
            ratio = (ratio - (1.0 - last) * falls[place] / total).clamp(0.0, ratio);
            ratio
        });
        ShareCurve::new(ratios).expect("they never rise")
    }
}

fn any_demand() -> impl Strategy<Value = Demand> {
    let rates = (0.0f64..0.1, 0.0f64..1.0, 0.0f64..4.0, 0.0f64..5.0, 0.0f64..1.0);
    let shared = (any_curve(), 0.02f64..2.0, 0.0f64..200.0, 0.0f64..1.0, 0.0f64..3.0);
    (rates, shared).prop_map(|((references_per_cycle, missed, bytes_per_cycle, cache, bandwidth), shared)| {
        let (curve, dispersion, cycles_per_extra_miss, latency_exposure, sensitivity) = shared;
        Demand {
            references_per_cycle,
            bytes_per_cycle,
            cache_sensitivity: cache,
            bandwidth_sensitivity: bandwidth,
            misses_per_cycle: missed * references_per_cycle,
            cycles_per_extra_miss,
            latency_exposure,
            sensitivity,
            curve,
            curve_source: CurveSource::Measured,
            dispersion,
        }
    })
}

/// A working set of this share of the LLC, walked over and over.
fn working_set(share: f64) -> ShareCurve {
    ShareCurve::new(curve::shares().map(|size| if size < share { 1.0 } else { 0.0 })).expect("it never rises")
}

#[test]
fn a_chase_suffers_from_a_stream_and_not_from_arithmetic() {
    for contention in rules().into_iter().filter(|contention| contention.rule != Rule::Di) {
        let demand = |pressure: &Pressure| contention.demand(pressure, &Calibration::default());
        let slowed = contention.slowdown(&demand(&CHASE), [&demand(&STREAM)]);
        assert!(slowed.0 > 1.3, "{}: {slowed}", contention.rule.name());
        assert_eq!(contention.slowdown(&demand(&CHASE), [&demand(&COMPUTE)]), Slowdown::NONE);
        assert_eq!(contention.slowdown(&demand(&COMPUTE), [&demand(&STREAM)]), Slowdown::NONE);
    }
}

/// A chase of three quarters of the LLC and a stream through memory: in the time of one round of the chase, 12,288 references of
/// 40 cycles each, the stream touches 24,000 lines. The chase misses always: 160 cycles more for each of its references.
#[test]
fn a_working_set_that_just_fits_is_lost_to_a_stream_as_worked_by_hand() {
    let chase = Demand {
        references_per_cycle: 1.0 / 40.0,
        cycles_per_extra_miss: 160.0,
        latency_exposure: 1.0,
        curve: working_set(0.75),
        dispersion: 0.02,
        ..Demand::default()
    };
    let stream =
        Demand { references_per_cycle: 0.05, misses_per_cycle: 0.05, bytes_per_cycle: 3.2, ..Demand::default() };
    let contention = Contention { memory_bytes_per_cycle: None, rule: Rule::Analytic(LLC), ..CONTENTION };
    let Slowdown(slowed) = contention.slowdown(&chase, [&stream]);
    assert!((slowed - 5.0).abs() < 0.01, "{slowed}");
    // A small neighbour leaves each set a line too few for nobody: 12 and 1 of 16.
    let small = Demand { references_per_cycle: 0.05, curve: working_set(1.0 / 16.0), ..Demand::default() };
    let Slowdown(slowed) = contention.slowdown(&chase, [&small]);
    assert!(slowed < 1.05, "{slowed}");
}

/// Two streams that each take 60 % of a channel: together it is full at 95 %, so both take at least 1.2 / 0.95 times as long.
#[test]
fn two_streams_get_no_more_than_the_channel_carries() {
    let stream = Demand {
        references_per_cycle: 0.0375,
        misses_per_cycle: 0.0375,
        bytes_per_cycle: 2.4,
        latency_exposure: 0.1,
        ..Demand::default()
    };
    let contention = Contention { rule: Rule::Analytic(LLC), ..CONTENTION };
    let Slowdown(slowed) = contention.slowdown(&stream, [&stream]);
    assert!((1.2 / 0.95 - 1e-3..1.4).contains(&slowed), "{slowed}");
}

#[test]
fn an_estimated_curve_says_so_and_a_mixture_is_partly_measured() {
    let contention = Contention { rule: Rule::Analytic(LLC), ..CONTENTION };
    let profile = Profile { miss_ratios: working_set(0.75), dispersion: 0.1, cycles_per_extra_miss: None };
    let estimated = contention.demand(&CHASE, &Calibration::default());
    let measured = contention.demand(&Pressure { profile: Some(profile), ..CHASE }, &Calibration::default());
    let mixed = Demand::expected([(0.5, estimated), (0.5, measured)]);
    let sources = [estimated, mixed, measured].map(|demand| demand.curve_source);
    assert_eq!(sources, [CurveSource::Estimated, CurveSource::PartlyMeasured, CurveSource::Measured]);
}

#[test]
fn the_dispersion_found_gives_the_misses_counted() {
    let chase = Demand { references_per_cycle: 0.025, curve: working_set(0.75), ..Demand::default() };
    // All pages spread evenly lose nothing; by chance one line in six falls where there are too many.
    let even = analytic::dispersion(&chase, &LLC);
    let chance = analytic::dispersion(&Demand { misses_per_cycle: 0.16 * 0.025, ..chase }, &LLC);
    assert!(even <= 0.05 && chance >= 0.7, "{even} {chance}");
}

#[test]
fn a_rule_other_than_the_additive_is_written_and_read_back() {
    for contention in rules() {
        let text = serde_json::to_string(&contention).expect("it can be written");
        assert_eq!(text.contains("rule"), contention.rule != Rule::Additive, "{text}");
        assert_eq!(serde_json::from_str::<Contention>(&text).expect("it can be read"), contention);
    }
}

/// What all of a domain are told, whatever stood in the list before.
fn together(contention: &Contention, members: &[Demand]) -> Vec<Slowdown> {
    let mut slowdowns = vec![Slowdown(9.0); 3];
    contention.slowdowns(members, &mut slowdowns);
    slowdowns
}

proptest! {
    #[test]
    fn a_lone_guest_is_not_slowed(own in any_demand()) {
        for contention in rules() {
            prop_assert_eq!(contention.slowdown(&own, []), Slowdown::NONE);
            prop_assert_eq!(together(&contention, &[own]), [Slowdown::NONE]);
        }
    }

    #[test]
    fn all_of_a_domain_are_told_what_each_is_told(members in prop::collection::vec(any_demand(), 0..5)) {
        for contention in rules() {
            let others = |place: usize| members.iter().enumerate().filter(move |(other, _)| *other != place);
            let slowdown = |place: usize| contention.slowdown(&members[place], others(place).map(|(_, other)| other)).0;
            let each: Vec<f64> = (0..members.len()).map(slowdown).collect();
            let together = together(&contention, &members);
            prop_assert_eq!(together.len(), members.len());
            for (one, other) in together.iter().zip(&each) {
                prop_assert!((one.0 - other).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_neighbour_never_helps(
        own in any_demand(), beside in prop::collection::vec(any_demand(), 0..4), one_more in any_demand()
    ) {
        for contention in rules() {
            let fewer = contention.slowdown(&own, &beside);
            let more = contention.slowdown(&own, beside.iter().chain([&one_more]));
            prop_assert!(fewer.0 >= 1.0);
            if matches!(contention.rule, Rule::Analytic(_)) {
                // A third may help by slowing the second, but never below what the worst one alone does.
                for neighbour in beside.iter().chain([&one_more]) {
                    let alone_beside = contention.slowdown(&own, [neighbour]);
                    prop_assert!(more.0 >= alone_beside.0 - 1e-12, "{alone_beside} then {more}");
                }
            } else {
                prop_assert!(more.0 >= fewer.0 - 1e-12, "{}: {fewer} then {more}", contention.rule.name());
            }
        }
    }

    #[test]
    fn a_neighbour_without_demand_changes_nothing(own in any_demand()) {
        for contention in rules() {
            prop_assert_eq!(contention.slowdown(&own, [&Demand::default()]), Slowdown::NONE);
        }
    }

    #[test]
    fn more_bandwidth_never_hurts_who_lives_in_memory(
        members in prop::collection::vec(any_demand(), 2..4), more in 0.0f64..4.0
    ) {
        let members = members.into_iter().map(|member| Demand { curve: ShareCurve::default(), ..member });
        let cost = |memory| {
            let contention = Contention { memory_bytes_per_cycle: memory, rule: Rule::Analytic(LLC), ..CONTENTION };
            // Alone, each had the latency of an idle channel.
            let idle = |member: Demand| Demand { bytes_per_cycle: member.bytes_per_cycle / 4.0, ..member };
            let members: Vec<Demand> = members.clone().map(idle).collect();
            together(&contention, &members).iter().map(|slowdown| slowdown.0).sum::<f64>()
        };
        prop_assert!(cost(None) <= cost(Some(4.0 + more)) + 1e-6);
    }

    #[test]
    fn calibration_finds_the_true_sensitivity_and_cpi(
        sensitivity in 0.1f64..3.5, ratio in 0.5f64..2.0
    ) {
        for contention in rules() {
            let truth = Calibration { alone_cpi_ratio: ratio, sensitivity };
            // By miss rates alone a chase without misses fears nothing.
            let victim = if contention.rule == Rule::Di { &STREAM } else { &CHASE };
            let beside = [contention.demand(&STREAM, &Calibration::default())];
            let alone_cpi = victim.cycles_per_instruction * ratio;
            let own = contention.demand(victim, &truth);
            let slowed_cpi = alone_cpi * contention.slowdown(&own, &beside).0;
            let mut learned = Calibration::default();
            for _ in 0..60 {
                learned.learn(&contention, victim, alone_cpi, &[]);
                learned.learn(&contention, victim, slowed_cpi, &beside);
            }
            let name = contention.rule.name();
            prop_assert!((learned.alone_cpi_ratio / ratio - 1.0).abs() < 0.02, "{name}: {learned:?} for {truth:?}");
            prop_assert!((learned.sensitivity / sensitivity - 1.0).abs() < 0.05, "{name}: {learned:?} for {truth:?}");
        }
    }
}
