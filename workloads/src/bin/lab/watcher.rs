//! Looks at the CPUs of all vCPU threads all the time, as `/proc` tells them, and reports each change: what journals are
//! held against afterwards.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::report::{Change, Report, now};

/// Between two looks: a fraction of the daemon's quantum.
const PAUSE: Duration = Duration::from_millis(40);

/// Threads to be watched, and the guests they belong to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched(Arc<Mutex<BTreeMap<i32, (u32, String)>>>);

impl Watched {
    /// Watches a vCPU from now on, until its thread ends.
    pub(crate) fn add(&self, process: u32, thread: i32, guest: &str) {
        if let Ok(mut threads) = self.0.lock() {
            threads.insert(thread, (process, guest.to_owned()));
        }
    }

    fn all(&self) -> BTreeMap<i32, (u32, String)> {
        self.0.lock().map(|threads| threads.clone()).unwrap_or_default()
    }
}

/// Begins to look; never ends.
pub(crate) fn start(report: &Report) -> Watched {
    let (watched, report) = (Watched::default(), report.clone());
    let threads = watched.clone();
    std::thread::spawn(move || {
        let mut known: BTreeMap<i32, (String, u64)> = BTreeMap::new();
        loop {
            for (thread, (process, guest)) in threads.all() {
                let began = now();
                let Some(cpus) = cpus_of(process, thread) else { continue };
                let since = known.get(&thread).map(|(_, looked)| *looked);
                if known.get(&thread).is_none_or(|(before, _)| *before != cpus) {
                    let change = Change { guest: &guest, thread, cpus: &cpus, since: since.unwrap_or(0), at: now() };
                    report.change("seen", change);
                }
                // Whatever changes after this moment is seen at the next look.
                known.insert(thread, (cpus, began));
            }
            std::thread::sleep(PAUSE);
        }
    });
    watched
}

/// The CPUs a thread may run on, as the kernel writes them: "0-1,3".
pub(crate) fn cpus_of(process: u32, thread: i32) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{process}/task/{thread}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(line.trim().to_owned())
}
