//! What a guest of the lab runs: a loop that is at work for a given share of the time, in phases.

use std::io::Write;
use std::time::{Duration, Instant};

use workloads::script::Script;

use crate::report::Failure;

/// Work and rest alternate this often, well within a quantum of the daemon.
const PERIOD: Duration = Duration::from_millis(40);
/// A piece of work: well below a millisecond on a processor of today, some milliseconds on one that is emulated.
const PIECE: &str = "chase:64KiB:1M";
/// What a guest says once it is at work.
pub(crate) const AT_WORK: &str = "lab guest is at work";

/// So much of the time at work, for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Phase {
    percent: u32,
    length: Duration,
}

/// Runs `phases` again and again; returns only if they cannot be understood.
pub(crate) fn run(phases: &str) -> Result<(), Failure> {
    let phases = parse(phases).ok_or_else(|| Failure::new("read the phases", phases))?;
    let piece: Script = PIECE.parse().map_err(|error| Failure::new("read the piece of work", error))?;
    println!("{AT_WORK}");
    // A console that cannot be written to is the lab's to notice.
    let _ = std::io::stdout().flush();
    loop {
        for phase in &phases {
            let end = Instant::now() + phase.length;
            while Instant::now() < end {
                let began = Instant::now();
                let work = PERIOD * phase.percent / 100;
                while began.elapsed() < work {
                    // Its answer is of no use; the time it took is.
                    let _ = piece.run(1, 1);
                }
                std::thread::sleep(PERIOD.saturating_sub(began.elapsed()));
            }
        }
    }
}

/// Reads "80:3,20:5".
fn parse(phases: &str) -> Option<Vec<Phase>> {
    let one = |text: &str| {
        let (percent, seconds) = text.split_once(':')?;
        let (percent, seconds): (u32, u64) = (percent.parse().ok()?, seconds.parse().ok()?);
        (percent <= 100 && seconds > 0).then_some(Phase { percent, length: Duration::from_secs(seconds) })
    };
    phases.split(',').map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_percent_and_seconds() {
        let phase = |percent, seconds| Phase { percent, length: Duration::from_secs(seconds) };
        assert_eq!(parse("80:3,20:5"), Some(vec![phase(80, 3), phase(20, 5)]));
        assert_eq!(parse("101:3"), None);
        assert_eq!(parse("80:0"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn the_piece_of_work_is_a_script() {
        assert!(PIECE.parse::<Script>().is_ok());
    }
}
