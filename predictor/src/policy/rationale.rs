//! Why a decision is what it is: for each vCPU, what it did, what is expected, what would be better where, and why it
//! moves or not. Written to the journal as data, and readable as text.

use serde::{Deserialize, Serialize};

use super::PolicyKind;
use crate::contention::{CurveSource, Slowdown};
use crate::counters::{Event, VcpuId};
use crate::forecast::Forecast;
use crate::phases::{NOVELTY_BOUND, PhaseId};
use crate::topology::DomainId;

/// Why a decision is what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rationale {
    /// Who decided.
    pub policy: PolicyKind,
    /// What the policy did, as a sentence; empty where the reasons of each vCPU say all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// For how many more quanta there are no moves, because those of late did not pay.
    #[serde(default, skip_serializing_if = "is_none")]
    pub pause_quanta: u32,
    /// The sum of slowdowns expected if nobody moves, as the mean over the horizon; 0 without a model.
    pub cost_before: f64,
    /// The same after the moves, their cost included.
    pub cost_after: f64,
    /// For each vCPU, in the order of their ids; empty without a model.
    pub vcpus: Vec<VcpuRationale>,
}

const fn is_none(quanta: &u32) -> bool {
    *quanta == 0
}

/// The reasons for one vCPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VcpuRationale {
    /// About whom.
    pub vcpu: VcpuId,
    /// Where it runs.
    pub domain: DomainId,
    /// What it did in the quantum before.
    pub state: VcpuState,
    /// What it will most likely do in the coming one.
    pub forecast: Option<Likely>,
    /// Whether that is acted on.
    #[serde(default, skip_serializing_if = "Basis::is_forecast")]
    pub basis: Basis,
    /// Its slowdown if nobody moves, as the mean over the horizon.
    pub slowdown_here: Slowdown,
    /// What that rests on, where the rule of contention needs a miss-ratio curve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curve: Option<CurveSource>,
    /// The best that could be done by moving it.
    pub alternative: Option<Alternative>,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What a vCPU was seen to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VcpuState {
    /// It has no sample yet.
    Unseen,
    /// It did nothing.
    Idle,
    /// It worked, and there is no model to say at what.
    Busy,
    /// These counters were absent.
    Missing {
        /// Which ones.
        events: Vec<Event>,
    },
    /// It worked.
    Active {
        /// The phase it was in.
        phase: PhaseId,
        /// How unlike that phase it looked: 1 at the edge of what training saw, above 3 nothing alike was seen.
        novelty: f64,
    },
}

/// What a policy that acts on forecasts takes a vCPU's coming phases from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Its forecast.
    #[default]
    Forecast,
    /// Its last phase: the forecast is not sure enough.
    Unsure,
    /// Its last phase: forecasts of late were worse.
    WorseOfLate,
}

impl Basis {
    const fn is_forecast(&self) -> bool {
        matches!(self, Basis::Forecast)
    }
}

/// The most probable phase of a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Likely {
    /// Which.
    pub phase: PhaseId,
    /// How probable.
    pub probability: f64,
}

impl Likely {
    /// Of `forecast`.
    #[must_use]
    pub fn of(forecast: &Forecast) -> Self {
        let phase = forecast.most_likely();
        Self { phase, probability: forecast.probability(phase) }
    }
}

/// The step that would do most for all, among those that take one vCPU elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// Where to.
    pub to: DomainId,
    /// For whom, where there is no free CPU or an exchange is better.
    pub exchanged_with: Option<VcpuId>,
    /// Its own slowdown there.
    pub slowdown_there: Slowdown,
    /// By how much the sum of all slowdowns falls, as the mean over the horizon, the cost of moving deducted; may be
    /// negative.
    pub gain: f64,
    /// What it must gain to be worth it.
    pub needed: f64,
}

/// What becomes of a vCPU, and the first reason for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is to move.
    Moves {
        /// Where to.
        to: DomainId,
    },
    /// The policy moves nobody.
    NeverMoves,
    /// The operator wants it left alone.
    Excluded,
    /// The operator wants it where it is, or nowhere else than in a domain that has no room for it now.
    Ordered,
    /// Nothing is known about it.
    NothingKnown,
    /// It moved, or was refused, not long ago.
    CoolsDown {
        /// How many more quanta it stays.
        quanta: u32,
    },
    /// There is no CPU for it elsewhere and nobody to exchange it with.
    NoRoom,
    /// The policy does not ask what a move of it is worth, and did not choose it.
    NotChosen,
    /// Moves of late did not pay.
    Pauses {
        /// For how many more quanta there are none.
        quanta: u32,
    },
    /// No move of it would help.
    NoGain,
    /// A move would help, but too little.
    GainTooSmall,
    /// A move would help, but not yet in the coming quantum.
    TooEarly,
    /// A move would help, but there were too many of late.
    BudgetSpent,
    /// A move would help, but the moves of others help more.
    OthersMove,
}

impl std::fmt::Display for VcpuState {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            VcpuState::Unseen => out.write_str("not seen yet"),
            VcpuState::Idle => out.write_str("idle"),
            VcpuState::Busy => out.write_str("at work"),
            VcpuState::Missing { events } => {
                let names: Vec<_> = events.iter().map(|event| event.name()).collect();
                write!(out, "no counts of {}", names.join(", "))
            }
            VcpuState::Active { phase, novelty } if *novelty > NOVELTY_BOUND => {
                write!(out, "{phase}, though unlike anything in training")
            }
            VcpuState::Active { phase, .. } => write!(out, "{phase}"),
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Verdict::Moves { to } => write!(out, "moves to domain {}", to.0),
            Verdict::NeverMoves => out.write_str("stays: the policy moves nobody"),
            Verdict::Excluded => out.write_str("stays: the operator wants it left alone"),
            Verdict::Ordered => out.write_str("stays: the operator ordered where it belongs"),
            Verdict::NothingKnown => out.write_str("stays: nothing is known about it"),
            Verdict::CoolsDown { quanta } => write!(out, "stays: cools down for {quanta} more quanta"),
            Verdict::NoRoom => out.write_str("stays: nowhere else to go"),
            Verdict::NotChosen => out.write_str("stays: was not chosen"),
            Verdict::Pauses { quanta } => {
                write!(out, "stays: moves of late did not pay, none for {quanta} more quanta")
            }
            Verdict::NoGain => out.write_str("stays: no move of it helps"),
            Verdict::GainTooSmall => out.write_str("stays: the gain is too small"),
            Verdict::TooEarly => out.write_str("stays: a move would not yet help"),
            Verdict::BudgetSpent => out.write_str("stays: the budget of moves is spent"),
            Verdict::OthersMove => out.write_str("stays: moving others helps more"),
        }
    }
}

/// One sentence, such as `guest 1 vCPU 0 in domain 0: phase 2, next phase 0 (91 %), 1.85x; in domain 1 for guest 3
/// vCPU 0 1.02x (gain 1.20, needs 0.15); moves to domain 1`.
impl std::fmt::Display for VcpuRationale {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} in domain {}: {}", self.vcpu, self.domain.0, self.state)?;
        if let Some(Likely { phase, probability }) = self.forecast {
            write!(out, ", next {phase} ({:.0} %", probability * 100.0)?;
            out.write_str(match self.basis {
                Basis::Forecast => ")",
                Basis::Unsure => ", too unsure to act on)",
                Basis::WorseOfLate => ", not acted on: of late the last phase was right more often)",
            })?;
        }
        write!(out, ", {}", self.slowdown_here)?;
        out.write_str(match self.curve {
            None | Some(CurveSource::Measured) => "",
            Some(CurveSource::PartlyMeasured) => " (its need of cache is partly a guess from counters)",
            Some(CurveSource::Estimated) => " (its need of cache is a guess from counters)",
        })?;
        if let Some(there) = &self.alternative {
            write!(out, "; in domain {}", there.to.0)?;
            if let Some(partner) = there.exchanged_with {
                write!(out, " for {partner}")?;
            }
            write!(out, " {} (gain {:.2}, needs {:.2})", there.slowdown_there, there.gain, there.needed)?;
        }
        write!(out, "; {}", self.verdict)
    }
}

impl std::fmt::Display for Rationale {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: sum of slowdowns {:.2}", self.policy, self.cost_before)?;
        if self.cost_after < self.cost_before {
            write!(out, ", {:.2} after moving", self.cost_after)?;
        }
        if !self.note.is_empty() {
            write!(out, "; {}", self.note)?;
        }
        self.vcpus.iter().try_for_each(|vcpu| write!(out, "\n  {vcpu}"))
    }
}
