//! The snapshot as metrics, in the text format of Prometheus (version 0.0.4).

use std::collections::BTreeSet;
use std::fmt::Write;

use super::Snapshot;
use crate::journal::note::Mode;
use crate::resctrl::{CacheUse, Value};

/// What a metric is.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

struct Text(String);

impl Text {
    fn begin(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn single(&mut self, name: &str, kind: Kind, help: &str, value: f64) {
        self.begin(name, kind, help);
        self.value(name, &[], value);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// All metrics. What is not known is left out.
#[must_use]
pub fn render(snapshot: &Snapshot) -> String {
    let mut text = Text(String::new());
    text.begin("phasecast_build_info", Kind::Gauge, "The version of Phasecast and the policy it follows.");
    text.value("phasecast_build_info", &[("version", &snapshot.version), ("policy", &snapshot.policy)], 1.0);
    text.begin("phasecast_mode", Kind::Gauge, "1 for what becomes of moves now, 0 for the others.");
    for mode in [Mode::DryRun, Mode::Acting, Mode::Holding] {
        let is_now = f64::from(u8::from(snapshot.mode == mode));
        text.value("phasecast_mode", &[("mode", mode.name())], is_now);
    }
    let seconds = |millis: u64| millis as f64 / 1000.0;
    let (started, at) = (seconds(snapshot.started.0), seconds(snapshot.at.0));
    text.single("phasecast_start_time_seconds", Kind::Gauge, "When the daemon started, since 1970.", started);
    text.single("phasecast_snapshot_time_seconds", Kind::Gauge, "As of when this is, since 1970.", at);
    let totals = &snapshot.totals;
    text.single("phasecast_quanta_total", Kind::Counter, "Quanta that passed.", snapshot.quanta as f64);
    text.single(
        "phasecast_overruns_total",
        Kind::Counter,
        "Quanta that took over half as long again.",
        totals.overruns as f64,
    );
    text.begin("phasecast_moves_total", Kind::Counter, "Moves that were decided, by what became of them.");
    for (outcome, count) in [("done", totals.done), ("refused", totals.refused), ("withheld", totals.withheld)] {
        text.value("phasecast_moves_total", &[("outcome", outcome)], count as f64);
    }
    text.single(
        "phasecast_given_back_total",
        Kind::Counter,
        "Times that placement was given back.",
        totals.given_back as f64,
    );
    text.single(
        "phasecast_reloads_total",
        Kind::Counter,
        "Configurations taken in while running.",
        totals.reloads as f64,
    );
    let help = "Sum of what scored moves were to gain, in slowdowns times quanta; may fall.";
    text.single("phasecast_predicted_gain", Kind::Gauge, help, totals.predicted_gain);
    let help = "Sum of what scored moves gained, in slowdowns times quanta; may fall.";
    text.single("phasecast_realised_gain", Kind::Gauge, help, totals.realised_gain);
    let guests: BTreeSet<_> = snapshot.vcpus.iter().map(|vcpu| vcpu.vcpu.guest).collect();
    text.single("phasecast_guests", Kind::Gauge, "Guests that are watched.", guests.len() as f64);
    text.begin("phasecast_domain_vcpus", Kind::Gauge, "vCPUs that are watched, by LLC domain.");
    for domain in snapshot.topology.domains() {
        let count = snapshot.vcpus.iter().filter(|vcpu| vcpu.domain == domain.id.0).count();
        text.value("phasecast_domain_vcpus", &[("domain", &domain.id.0.to_string())], count as f64);
    }
    vcpus(&mut text, snapshot);
    caches(&mut text, snapshot);
    trial(&mut text, snapshot);
    text.0
}

fn vcpus(text: &mut Text, snapshot: &Snapshot) {
    type Of = fn(&super::VcpuStatus) -> Option<f64>;
    let metrics: [(&str, &str, Of); 4] = [
        ("phasecast_vcpu_domain", "The LLC domain in which the vCPU runs.", |vcpu| Some(f64::from(vcpu.domain))),
        ("phasecast_vcpu_phase", "The phase that the vCPU was in.", |vcpu| vcpu.phase.map(f64::from)),
        ("phasecast_vcpu_slowdown_ratio", "Expected slowdown where it is; 1 is alone.", |vcpu| vcpu.slowdown),
        ("phasecast_vcpu_running_ratio", "Share of the quantum in which it had a CPU.", |vcpu| vcpu.running_share),
    ];
    for (name, help, of) in metrics {
        text.begin(name, Kind::Gauge, help);
        for vcpu in &snapshot.vcpus {
            let (guest, index) = (vcpu.vcpu.guest.0.to_string(), vcpu.vcpu.index.to_string());
            let labels = [("guest", guest.as_str()), ("name", vcpu.guest.as_str()), ("vcpu", index.as_str())];
            of(vcpu).into_iter().for_each(|value| text.value(name, &labels, value));
        }
    }
}

fn caches(text: &mut Text, snapshot: &Snapshot) {
    type Of = fn(&CacheUse) -> Value;
    let metrics: [(&str, Kind, &str, Of); 3] = [
        ("phasecast_guest_llc_bytes", Kind::Gauge, "Bytes of the guest in the cache.", |cache| cache.occupancy),
        ("phasecast_guest_memory_bytes_total", Kind::Counter, "Bytes moved from and to all memory.", |cache| {
            cache.total_bytes
        }),
        (
            "phasecast_guest_local_memory_bytes_total",
            Kind::Counter,
            "Bytes moved from and to memory of the cache's node.",
            |cache| cache.local_bytes,
        ),
    ];
    for (name, kind, help, of) in metrics.into_iter().filter(|_| !snapshot.cache_use.is_empty()) {
        text.begin(name, kind, help);
        for guest in &snapshot.cache_use {
            for cache in &guest.caches {
                let (pid, number) = (guest.pid.0.to_string(), cache.cache.to_string());
                let labels = [("pid", pid.as_str()), ("name", guest.name.as_str()), ("cache", number.as_str())];
                of(cache).bytes().into_iter().for_each(|bytes| text.value(name, &labels, bytes as f64));
            }
        }
    }
}

fn trial(text: &mut Text, snapshot: &Snapshot) {
    let Some(trial) = &snapshot.trial else { return };
    text.single("phasecast_trial_pairs", Kind::Gauge, "Pairs of blocks that were compared.", f64::from(trial.pairs));
    let Some(gain) = &trial.gain else { return };
    text.begin("phasecast_trial_gain_ratio", Kind::Gauge, "By how much acting was faster, with its 95 % interval.");
    for (bound, value) in [("mean", gain.mean), ("low", gain.low), ("high", gain.high)] {
        text.value("phasecast_trial_gain_ratio", &[("bound", bound)], value);
    }
}
