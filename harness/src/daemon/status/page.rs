//! The snapshot as a page for people: no script, nothing fetched, drawn anew every two seconds.

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment, context};

use super::{Snapshot, VcpuStatus};
use crate::daemon::trial::progress::Measure;
use crate::daemon::trial::{Arm, Gain, Standing, Verdict};
use crate::journal::note::{Mode, UnixMillis};
use crate::provenance::time_of_millis;
use crate::resctrl::{CacheUse, GuestUse};

/// What the page looks like, in a file of its own: so nothing inline has to be allowed.
pub(super) const STYLE: &str = include_str!("style.css");

const PAGE: &str = include_str!("page.html");

/// The page.
pub fn render(snapshot: &Snapshot) -> Result<String, minijinja::Error> {
    let mut pages = Environment::new();
    // Names come from guests' owners: everything is escaped.
    pages.set_auto_escape_callback(|_| AutoEscape::Html);
    pages.add_template("page", PAGE)?;
    let decisions = snapshot.decisions.iter().map(|decided| {
        context! { at => clock_of(decided.at.0), quantum => decided.quantum, guest => &decided.guest,
        vcpu => decided.vcpu.index, from => decided.from, to => decided.to, refusal => &decided.refusal,
        why => &decided.why }
    });
    let happened = snapshot.happened.iter();
    let happened = happened.map(|told| context! { at => clock_of(told.at.0), kind => &told.kind, text => &told.text });
    pages.get_template("page")?.render(context! {
        version => &snapshot.version,
        mode => snapshot.mode.name(),
        is_acting => snapshot.mode == Mode::Acting,
        is_dry => snapshot.mode == Mode::DryRun,
        policy => &snapshot.policy,
        model => &snapshot.model,
        at => clock_of(snapshot.at.0),
        up => duration(snapshot.started, snapshot.at),
        quantum_milliseconds => snapshot.quantum_milliseconds,
        quanta => snapshot.quanta,
        totals => minijinja::value::Serde(snapshot.totals),
        domains => domains(snapshot),
        vcpus => snapshot.vcpus.len(),
        line => line(&snapshot.slowdowns),
        slowdown => snapshot.slowdowns.last().map(|last| format!("{last:.2}")),
        trial => snapshot.trial.as_ref().map(trial),
        caches => caches(&snapshot.cache_use),
        decisions => decisions.collect::<Vec<_>>(),
        happened => happened.collect::<Vec<_>>(),
    })
}

/// The time of day.
fn clock_of(millis: u64) -> String {
    time_of_millis(millis).chars().skip(11).take(8).collect()
}

/// Each LLC domain with who runs in it.
fn domains(snapshot: &Snapshot) -> Vec<minijinja::Value> {
    let mut members: BTreeMap<u32, Vec<&VcpuStatus>> = BTreeMap::new();
    for vcpu in &snapshot.vcpus {
        members.entry(vcpu.domain).or_default().push(vcpu);
    }
    let domains = snapshot.topology.domains().iter().map(|domain| {
        let here = members.get(&domain.id.0).map(Vec::as_slice).unwrap_or_default();
        let rows = here.iter().map(|vcpu| {
            let next = vcpu.next_phase.zip(vcpu.next_probability);
            context! {
                guest => &vcpu.guest, vcpu => vcpu.vcpu.index, state => &vcpu.state, verdict => &vcpu.verdict,
                next => next.map(|(phase, share)| format!("phase {phase}, {:.0} %", share * 100.0)),
                slowdown => vcpu.slowdown.map(|slowdown| format!("{slowdown:.2}")),
                weight => vcpu.slowdown.map(|slowdown| ((slowdown - 1.0) * 100.0).clamp(0.0, 100.0)),
                running => vcpu.running_share.map(|share| format!("{:.0} %", share * 100.0)),
            }
        });
        context! {
            id => domain.id.0, node => domain.node.0, cpus => domain.cpus.len(),
            mebibytes => domain.llc_bytes.map(|bytes| bytes >> 20), rows => rows.collect::<Vec<_>>(),
        }
    });
    domains.collect()
}

/// Who has how much of which cache, those known.
fn caches(guests: &[GuestUse]) -> Vec<minijinja::Value> {
    let rows = guests.iter().flat_map(|guest| guest.caches.iter().map(move |cache| (guest, cache)));
    let row = |(guest, cache): (&GuestUse, &CacheUse)| {
        let mebibytes = cache.occupancy.bytes()? as f64 / f64::from(1 << 20);
        Some(context! { guest => &guest.name, cache => cache.cache, mebibytes => format!("{mebibytes:.1}") })
    };
    rows.filter_map(row).collect()
}

/// The course of the mean slowdown as the points of a line in a box of 240 by 40; absent where there is none.
fn line(slowdowns: &[f64]) -> Option<String> {
    if slowdowns.len() < 2 {
        return None;
    }
    let most = slowdowns.iter().copied().fold(1.1, f64::max);
    let step = 240.0 / (slowdowns.len() - 1) as f64;
    let height = |value: f64| 38.0 - 36.0 * ((value - 1.0) / (most - 1.0)).clamp(0.0, 1.0);
    let points = slowdowns.iter().enumerate();
    let points = points.map(|(place, value)| format!("{:.1},{:.1}", place as f64 * step, height(*value)));
    Some(points.collect::<Vec<_>>().join(" "))
}

fn trial(standing: &Standing) -> minijinja::Value {
    let arm = match standing.arm {
        Arm::Acting => "acting",
        Arm::Holding => "holding",
    };
    let measure = standing.measure.map(|measure| match measure {
        Measure::Instructions => "instructions for each second at work",
        Measure::CpuTime => "time on a CPU: caches are not seen",
    });
    let found = standing.found.map(|found| {
        let verdict = match found.verdict {
            Verdict::Helps => "moving helps",
            Verdict::DoesNotHelp => "moving does not help",
            Verdict::CannotTell => "no difference could be told",
        };
        format!("{verdict}: {}", gain_text(&found.gain))
    });
    context! { arm, measure, found, testing => standing.is_testing, left => standing.quanta_left,
    pairs => standing.pairs, void => standing.void_pairs, vcpus => standing.vcpus,
    gain => standing.gain.as_ref().map(gain_text) }
}

/// A gain for people: `+2.1 % (-0.3 % to +4.6 %, 12 pairs)`.
#[must_use]
pub fn gain_text(gain: &Gain) -> String {
    let percent = |share: f64| format!("{:+.1} %", share * 100.0);
    format!("{} ({} to {}, {} pairs)", percent(gain.mean), percent(gain.low), percent(gain.high), gain.pairs)
}

fn duration(from: UnixMillis, to: UnixMillis) -> String {
    let seconds = to.0.saturating_sub(from.0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}
