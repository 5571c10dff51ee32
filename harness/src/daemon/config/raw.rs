//! The configuration as an operator writes it: every key optional, unknown ones refused. Checking it is the parent's business.

use std::path::PathBuf;

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    pub(super) act: bool,
    pub(super) quantum_milliseconds: Option<u64>,
    pub(super) model: Option<PathBuf>,
    pub(super) cpus: Option<String>,
    pub(super) cross_node: bool,
    pub(super) include_tcg: bool,
    pub(super) libvirt: Option<String>,
    pub(super) resctrl: bool,
    pub(super) introspection: bool,
    pub(super) rescan_quanta: Option<u32>,
    pub(super) ledger: Option<PathBuf>,
    pub(super) watchdog_seconds: Option<u64>,
    pub(super) policy: Policy,
    pub(super) journal: Journal,
    pub(super) status: Status,
    pub(super) trial: Option<Trial>,
    pub(super) guest: Vec<Guest>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Policy {
    pub(super) kind: Option<String>,
    pub(super) min_gain_share: Option<f64>,
    pub(super) cooldown_quanta: Option<u32>,
    pub(super) migration_cost_quanta: Option<f64>,
    pub(super) horizon_quanta: Option<u32>,
    pub(super) moves_per_vcpu_minute: Option<f64>,
    pub(super) min_confidence: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Journal {
    pub(super) folder: Option<PathBuf>,
    pub(super) file_mebibytes: Option<u64>,
    pub(super) files: Option<u32>,
    pub(super) quiet_kept_one_in: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Status {
    pub(super) address: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Trial {
    pub(super) block_seconds: Option<f64>,
    pub(super) settle_seconds: Option<f64>,
    pub(super) pairs: Option<u32>,
    pub(super) promised_gain_percent: Option<f64>,
    pub(super) rest_minutes: Option<f64>,
    pub(super) seed: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Guest {
    pub(super) name: String,
    #[serde(default)]
    pub(super) exclude: bool,
    pub(super) domain: Option<u32>,
    pub(super) priority: Option<f64>,
    pub(super) slowdown_target: Option<f64>,
}
