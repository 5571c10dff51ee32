//! The control loop: watch, decide, act. One [`turn`] is all there is, whoever calls it; [`run`] makes a run of turns.
//!
//! It knows no clock and no guest: time is the host's, choices are the policy's. It sees to it that the journal always
//! says what happened up to the moment of a failure.

use std::io::Write;
use std::time::Duration;

use predictor::counters::VcpuId;
use predictor::placement::Move;
use predictor::policy::{Policy, Seen};
use predictor::topology::DomainId;

use crate::host::{Host, HostError, MoveOutcome, Observation};
use crate::interrupt::{Interrupt, Interrupted};
use crate::journal::{Ending, JournalError, JournalWriter, Turn};

/// Why a run stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The host could not go on.
    #[error("{cause} (quantum {quantum})")]
    Host {
        /// In which quantum.
        quantum: u64,
        /// What it said.
        cause: HostError,
    },
    /// The journal could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Whoever follows the run could not go on.
    #[error("{cause} (quantum {quantum})")]
    Follower {
        /// In which quantum.
        quantum: u64,
        /// What it said.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Somebody asked for it.
    #[error("stopped after {quanta} quanta")]
    Interrupted {
        /// How many quanta were completed.
        quanta: u64,
        /// The request.
        source: Interrupted,
    },
}

/// Whoever follows a run turn by turn, to record or to show it.
pub type Follower<'a> = dyn FnMut(&Turn) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + 'a;

/// Lets one quantum pass, decides on what was seen, and does what was decided.
///
/// Each step is in the journal before the next begins. Moves that the host refuses are no failure: the policy is told.
pub fn turn(
    host: &mut dyn Host,
    policy: &mut Policy,
    journal: &mut JournalWriter<impl Write>,
    number: u64,
    quantum: Duration,
) -> Result<Turn, ControlError> {
    turn_among(host, policy, journal, number, quantum, &mut |_, _| {})
}

/// Meets those who came before anything is decided about them, and gives the policy rules for them.
pub type Greeter<'a> = dyn FnMut(&Observation, &mut Policy) + 'a;

/// A [`turn`] where somebody has a say about those who come.
pub fn turn_among(
    host: &mut dyn Host,
    policy: &mut Policy,
    journal: &mut JournalWriter<impl Write>,
    number: u64,
    quantum: Duration,
    greeter: &mut Greeter<'_>,
) -> Result<Turn, ControlError> {
    let failed = |cause| ControlError::Host { quantum: number, cause };
    let observation = host.advance(quantum).map_err(failed)?;
    journal.saw(number, &observation)?;

    observe(policy, &observation);
    greeter(&observation, policy);
    let scores = policy.scores().to_vec();
    if !scores.is_empty() {
        journal.scored(number, &scores)?;
    }
    let decision = policy.decide();
    journal.decided(number, &decision)?;

    let mut outcomes = Vec::new();
    if !decision.moves.is_empty() {
        // Whatever becomes of this process, it is known what it was about to do.
        journal.flush()?;
        outcomes = host.apply(&decision.moves).map_err(failed)?;
        journal.did(number, &outcomes)?;
        let (done, refused) = sort(&outcomes);
        policy.confirm(&done, &refused);
    }
    journal.flush()?;
    Ok(Turn { quantum: number, at: None, observation, scores, decision, outcomes })
}

/// Takes `quanta` turns, shows each to `follower`, and ends the journal, whatever happens. Answers what the journal
/// was written on.
pub fn run<Output: Write>(
    host: &mut dyn Host,
    policy: &mut Policy,
    mut journal: JournalWriter<Output>,
    length: RunLength,
    interrupt: &Interrupt,
    follower: &mut Follower<'_>,
) -> Result<Output, ControlError> {
    let mut completed = 0;
    let outcome = loop {
        if completed == length.quanta {
            break Ok(());
        }
        if let Err(source) = interrupt.check() {
            break Err(ControlError::Interrupted { quanta: completed, source });
        }
        match turn(host, policy, &mut journal, completed, length.quantum) {
            Err(error) => break Err(error),
            Ok(turn) => {
                completed += 1;
                if let Err(cause) = follower(&turn) {
                    break Err(ControlError::Follower { quantum: turn.quantum, cause });
                }
            }
        }
    };
    let ending = match &outcome {
        Ok(()) => Ending::Complete,
        Err(ControlError::Interrupted { .. }) => Ending::Interrupted,
        Err(error) => Ending::Failed(error.to_string()),
    };
    let ended = journal.end(completed, ending);
    // What stopped the run matters more than a journal that cannot be ended.
    outcome?;
    Ok(ended?)
}

/// How long a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLength {
    /// The number of quanta.
    pub quanta: u64,
    /// The length of each on the host's clock.
    pub quantum: Duration,
}

fn observe(policy: &mut Policy, observation: &Observation) {
    let arrivals: Vec<(VcpuId, DomainId)> =
        observation.arrivals.iter().map(|arrival| (arrival.vcpu, arrival.domain)).collect();
    let departures = &observation.departures;
    policy.observe(&Seen { samples: &observation.samples, arrivals: &arrivals, departures });
}

/// What was done, and what was refused.
fn sort(outcomes: &[MoveOutcome]) -> (Vec<Move>, Vec<Move>) {
    let (done, refused): (Vec<_>, Vec<_>) = outcomes.iter().partition(|outcome| outcome.refusal.is_none());
    let requests = |outcomes: Vec<&MoveOutcome>| outcomes.into_iter().map(|outcome| outcome.requested).collect();
    (requests(done), requests(refused))
}
