//! What is remembered of a run for people: counts, the last decisions and happenings, who is there. Bounded, whatever comes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use predictor::counters::{Event, Sample, VcpuId};
use predictor::policy::rationale::{VcpuRationale, VcpuState};
use predictor::topology::{DomainId, Topology};

use super::config::Config;
use super::status::{Decided, Happened, Snapshot, Totals, VcpuStatus};
use super::trial::Standing;
use crate::host::{Arrival, Observation};
use crate::journal::Turn;
use crate::journal::note::{Mode, UnixMillis};
use crate::resctrl::GuestUse;

/// Decisions and happenings that are shown.
const SHOWN: usize = 30;
/// Points of the course of slowdowns.
const COURSE: usize = 120;

#[derive(Debug)]
pub(super) struct Chronicle {
    started: UnixMillis,
    present: BTreeMap<VcpuId, Arrival>,
    pub(super) totals: Totals,
    decisions: VecDeque<Decided>,
    happened: VecDeque<Happened>,
    slowdowns: VecDeque<f64>,
}

impl Chronicle {
    pub(super) fn new(started: UnixMillis) -> Self {
        Self {
            started,
            present: BTreeMap::new(),
            totals: Totals::default(),
            decisions: VecDeque::new(),
            happened: VecDeque::new(),
            slowdowns: VecDeque::new(),
        }
    }

    /// Who is there, where they were last seen.
    pub(super) fn present(&self) -> impl Iterator<Item = &Arrival> {
        self.present.values()
    }

    /// Whether somebody came or left, and so rules are to be looked at again.
    pub(super) fn meet(&mut self, seen: &Observation) -> bool {
        self.present.extend(seen.arrivals.iter().map(|arrival| (arrival.vcpu, arrival.clone())));
        seen.departures.iter().for_each(|gone| drop(self.present.remove(gone)));
        for sample in &seen.samples {
            if let Some(known) = self.present.get_mut(&sample.vcpu) {
                known.domain = sample.domain;
            }
        }
        !seen.arrivals.is_empty() || !seen.departures.is_empty()
    }

    pub(super) fn happened(&mut self, at: UnixMillis, kind: &str, text: &str) {
        self.happened.push_front(Happened { at, kind: kind.to_owned(), text: text.to_owned() });
        self.happened.truncate(SHOWN);
    }

    /// Takes in a turn that was over at `at` and took `took` for `quantum`.
    pub(super) fn turn(&mut self, turn: &Turn, mode: Mode, at: UnixMillis, took: Duration, quantum: Duration) {
        self.totals.overruns += u64::from(took > quantum * 3 / 2);
        for score in &turn.scores {
            self.totals.predicted_gain += score.predicted_gain;
            self.totals.realised_gain += score.realised_gain;
            self.totals.scored += score.moves.len() as u64;
        }
        let rationale = &turn.decision.rationale;
        for outcome in &turn.outcomes {
            let moved = outcome.requested;
            match (&outcome.refusal, mode) {
                // To be held where one is, is no move.
                (None, _) => self.totals.done += u64::from(moved.from != moved.to),
                (Some(_), Mode::Acting) => self.totals.refused += 1,
                (Some(_), Mode::DryRun | Mode::Holding) => self.totals.withheld += 1,
            }
            let reason = rationale.vcpus.iter().find(|reason| reason.vcpu == moved.vcpu);
            let why = reason.filter(|_| rationale.note.is_empty());
            let decided = Decided {
                at,
                quantum: turn.quantum,
                vcpu: moved.vcpu,
                guest: self.name(moved.vcpu),
                from: moved.from.0,
                to: moved.to.0,
                refusal: outcome.refusal.clone(),
                why: why.map_or_else(|| rationale.note.clone(), ToString::to_string),
            };
            // What is wanted again and again and not done is shown once, as of when it was last wanted.
            let is_same = |known: &Decided| {
                decided.refusal.is_some()
                    && known.vcpu == decided.vcpu
                    && known.to == decided.to
                    && known.refusal == decided.refusal
            };
            self.decisions.retain(|known| !is_same(known));
            self.decisions.push_front(decided);
        }
        self.decisions.truncate(SHOWN);
    }

    fn name(&self, vcpu: VcpuId) -> String {
        self.present.get(&vcpu).map_or_else(|| format!("guest {}", vcpu.guest.0), |known| known.name.clone())
    }

    /// All of it, as of `turn`.
    pub(super) fn snapshot(&mut self, turn: &Turn, config: &Config, picture: Picture<'_>) -> Snapshot {
        let reasons = &turn.decision.rationale.vcpus;
        if !reasons.is_empty() {
            let sum: f64 = reasons.iter().map(|reason| reason.slowdown_here.0).sum();
            self.slowdowns.push_back(sum / reasons.len() as f64);
            self.slowdowns.drain(..self.slowdowns.len().saturating_sub(COURSE));
        }
        let reasons: BTreeMap<VcpuId, &VcpuRationale> = reasons.iter().map(|reason| (reason.vcpu, reason)).collect();
        let samples: BTreeMap<VcpuId, &Sample> =
            turn.observation.samples.iter().map(|sample| (sample.vcpu, sample)).collect();
        let of =
            |(vcpu, known): (&VcpuId, &Arrival)| status(known, reasons.get(vcpu).copied(), samples.get(vcpu).copied());
        Snapshot {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started,
            at: picture.at,
            mode: picture.mode,
            policy: config.policy.name().to_owned(),
            model: config.model.as_ref().map(|model| model.display().to_string()),
            quantum_milliseconds: u64::try_from(config.quantum.as_millis()).unwrap_or(u64::MAX),
            quanta: turn.quantum + 1,
            topology: picture.topology.clone(),
            vcpus: self.present.iter().map(of).collect(),
            cache_use: picture.cache_use,
            totals: self.totals,
            slowdowns: self.slowdowns.iter().copied().collect(),
            decisions: self.decisions.iter().cloned().collect(),
            trial: picture.trial,
            happened: self.happened.iter().cloned().collect(),
        }
    }
}

/// What a snapshot says beside what is remembered.
pub(super) struct Picture<'a> {
    pub(super) at: UnixMillis,
    pub(super) mode: Mode,
    pub(super) topology: &'a Topology,
    pub(super) trial: Option<Standing>,
    pub(super) cache_use: Vec<GuestUse>,
}

fn status(known: &Arrival, reason: Option<&VcpuRationale>, sample: Option<&Sample>) -> VcpuStatus {
    let DomainId(domain) = known.domain;
    let running = sample.and_then(|sample| {
        let nanoseconds = sample.count(Event::RunningNanoseconds)? as f64;
        Some((nanoseconds / sample.elapsed.as_nanos() as f64).min(1.0)).filter(|share| share.is_finite())
    });
    let without = || match sample {
        None => "not seen yet".to_owned(),
        Some(sample) if predictor::features::is_idle(sample) => "idle".to_owned(),
        Some(_) => "at work".to_owned(),
    };
    let phase = reason.and_then(|reason| match reason.state {
        VcpuState::Active { phase, .. } => Some(phase.0),
        _ => None,
    });
    let is_known = reason.is_some_and(|reason| !matches!(reason.state, VcpuState::Unseen | VcpuState::Missing { .. }));
    VcpuStatus {
        vcpu: known.vcpu,
        guest: known.name.clone(),
        domain,
        state: reason.map_or_else(without, |reason| reason.state.to_string()),
        phase,
        next_phase: reason.and_then(|reason| Some(reason.forecast?.phase.0)),
        next_probability: reason.and_then(|reason| Some(reason.forecast?.probability)),
        slowdown: reason.filter(|_| is_known).map(|reason| reason.slowdown_here.0),
        running_share: running,
        verdict: reason.map(|reason| reason.verdict.to_string()).unwrap_or_default(),
    }
}
