//! A model with any one field changed is refused, or a policy that uses it makes no nonsense.

use super::*;
use crate::model::rates;
use crate::scenes::{changing_partners, solo, trained, two_by_two, vcpu};

fn written() -> serde_json::Value {
    serde_json::to_value(trained(&changing_partners())).expect("plain data")
}

/// Every place of a value in `value`, as keys and indices from the root.
fn places(value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        serde_json::Value::Object(map) => {
            map.iter().for_each(|(key, inner)| places(inner, &format!("{at}/{key}"), found))
        }
        serde_json::Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, inner)| places(inner, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

/// Uses a model for everything that a policy uses it for.
fn used(model: &Model) -> bool {
    let guests = changing_partners();
    let series = solo(&guests[..2], 12);
    let mut policy = Policy::new(PolicyKind::Predictive, Settings::default(), two_by_two(), model.clone());
    let mut numbers = model.numeric_forecaster();
    let sound = |decision: &Decision| {
        let sums_to_one = |forecast: &VcpuForecast| {
            let total: f64 = forecast.next.iter().map(|(_, probability)| probability).sum();
            (total - 1.0).abs() < 1e-6
        };
        decision.forecasts.iter().all(sums_to_one)
            && !decision.rationale.cost_before.is_nan()
            && !decision.rationale.cost_after.is_nan()
    };
    series[0].samples.iter().zip(&series[1].samples).all(|(one, other)| {
        let mut other = other.clone();
        other.vcpu = vcpu(1);
        policy.observe(&Seen { samples: &[one.clone(), other], ..Seen::default() });
        numbers.observe(&rates(one));
        sound(&policy.decide())
    })
}

#[test]
fn every_field_that_is_changed_is_refused_or_harmless() {
    let whole = written();
    let mut all = Vec::new();
    places(&whole, "", &mut all);
    let numbers = [-1.0, 0.0, 0.5, 1e-300, 1e16, 1e308].map(|number| serde_json::json!(number));
    let others = [serde_json::json!(null), serde_json::json!(u64::MAX), serde_json::json!([]), serde_json::json!("x")];
    let (mut refused, mut harmless) = (0, 0);
    for place in &all {
        for change in numbers.iter().chain(&others) {
            let mut damaged = whole.clone();
            *damaged.pointer_mut(place).expect("a place of it") = change.clone();
            match serde_json::from_value::<Model>(damaged) {
                Err(_) => refused += 1,
                Ok(model) => {
                    assert!(used(&model), "{place} = {change} makes nonsense");
                    harmless += 1;
                }
            }
        }
    }
    assert!(refused > harmless && harmless > 0, "{refused} refused, {harmless} harmless");
}

#[test]
fn every_field_that_is_left_out_is_missed() {
    let whole = written();
    let mut all = Vec::new();
    places(&whole, "", &mut all);
    for place in all.iter().filter(|place| !place.is_empty()) {
        let (parent, key) = place.rsplit_once('/').expect("a key");
        let mut damaged = whole.clone();
        let Some(map) = damaged.pointer_mut(parent).and_then(serde_json::Value::as_object_mut) else { continue };
        // What a machine or a maker did not say may be left out as well.
        if map.remove(key).is_none_or(|value| value.is_null()) {
            continue;
        }
        if serde_json::from_value::<Model>(damaged).is_ok() {
            let optional = ["/llc_bytes", "/memory_bytes_per_cycle", "/miss_per_hit_time"];
            assert!(optional.iter().any(|optional| place.ends_with(optional)), "{place} is not missed");
        }
    }
}
