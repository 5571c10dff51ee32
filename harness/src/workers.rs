//! Jobs that do not depend on each other, done several at a time: each run has an emulated machine of its own and virtual
//! time, so runs do not disturb each other's numbers, only share the wait. Or dealt to several processes, as shards.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::doctor::privileges::available_mib;
use crate::host::emulated::QEMU_OVERHEAD_MIB;

/// A process's share of jobs: of every `of` of them the `number`-th, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    number: u32,
    of: u32,
}

impl Shard {
    /// Whether the job at this place is among them.
    #[must_use]
    pub const fn has(self, place: usize) -> bool {
        place % self.of as usize == self.number as usize - 1
    }
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err("give the shard's number from 1 and how many there are, as 2/3".to_owned()),
        }
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.number, self.of)
    }
}

/// How many runs of `guests` guests go on at once where the largest has `memory_mib`: as many as there are CPUs and
/// memory, at least one.
#[must_use]
pub fn at_once(guests: usize, memory_mib: u32) -> usize {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let needed_mib = (u64::from(memory_mib) + QEMU_OVERHEAD_MIB) * guests as u64;
    let fitting = available_mib(Path::new("/proc")).map_or(1, |available| available / needed_mib.max(1));
    cpus.min(usize::try_from(fitting).unwrap_or(usize::MAX)).max(1)
}

/// Does `jobs` jobs with so many at once; answers in the order of their numbers. After a failure no further job begins, and
/// the first job's that failed is answered.
pub fn side_by_side<Answer: Send, Failure: Send>(
    jobs: usize,
    workers: usize,
    job: &(dyn Fn(usize) -> Result<Answer, Failure> + Sync),
) -> Result<Vec<Answer>, Failure> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..workers.min(jobs) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= jobs {
                        break;
                    }
                    let answer = job(number);
                    if answer.is_err() {
                        next.store(jobs, Ordering::Relaxed);
                    }
                    answers.lock().expect("no holder panics").insert(number, answer);
                }
            });
        }
    });
    answers.into_inner().expect("no holder panics").into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_stand_in_the_order_of_the_jobs_however_many_work() {
        for workers in [1, 3, 100] {
            assert_eq!(side_by_side(7, workers, &|job| Ok::<_, ()>(job * job)), Ok(vec![0, 1, 4, 9, 16, 25, 36]));
        }
    }

    #[test]
    fn every_job_is_of_exactly_one_shard() {
        let shards = ["1/3", "2/3", "3/3"].map(|text| text.parse::<Shard>().expect("sound"));
        for place in 0..10 {
            assert_eq!(shards.iter().filter(|shard| shard.has(place)).count(), 1, "job {place}");
        }
        assert_eq!(shards[1].to_string(), "2/3");
        for wrong in ["", "3", "0/3", "4/3", "1/0", "a/b", "1/2/3"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn after_a_failure_no_further_job_begins() {
        let begun = AtomicUsize::new(0);
        let outcome = side_by_side(1000, 1, &|job| {
            begun.fetch_add(1, Ordering::Relaxed);
            if job == 2 { Err(job) } else { Ok(job) }
        });
        assert_eq!((outcome, begun.into_inner()), (Err(2), 3));
    }
}
