//! What an operator configures: a TOML file, parsed once into a type that cannot be wrong.
//!
//! Owns the file, its checks and the rules for guests by name. `default.toml` beside this is what `--print-default-config`
//! prints, and a test holds it against the defaults here.

mod pattern;
mod raw;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use predictor::contention::Slowdown;
use predictor::forecast::kind::ForecasterKind;
use predictor::placement::rules::{Nodes, Rule, Whereabouts};
use predictor::policy::{PolicyKind, Settings};
use predictor::topology::DomainId;

pub use self::pattern::Pattern;
use self::raw::Raw;
use crate::custody::DEFAULT_LEDGER;
use crate::daemon::trial::TrialSettings;
use crate::input::{InputError, parse_toml, read_text, suggest};
use crate::journal::folder::Rotation;
use crate::libvirt;
use crate::sysfs::CpuSet;

/// Every key with its default, as a file to start from.
pub const DEFAULT: &str = include_str!("default.toml");

/// Policies that a daemon may follow. Random and round robin move for the sake of moving.
const POLICIES: [PolicyKind; 6] = [
    PolicyKind::StayPut,
    PolicyKind::LoadBalance,
    PolicyKind::Di,
    PolicyKind::Brm,
    PolicyKind::Reactive,
    PolicyKind::Predictive,
];

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Whether moves are made.
    pub act: bool,
    /// How often vCPUs are looked at.
    pub quantum: Duration,
    /// Where the model lies.
    pub model: Option<PathBuf>,
    /// CPUs that may be used.
    pub cpus: Option<CpuSet>,
    /// Whether a vCPU may leave the node of its memory.
    pub nodes: Nodes,
    /// Whether emulated guests are watched too.
    pub include_tcg: bool,
    /// Where libvirt is reached that binds the vCPUs of its guests.
    pub libvirt: Option<String>,
    /// Whether guests get monitoring groups.
    pub resctrl: bool,
    /// Whether QEMU is asked in which address space its vCPUs are.
    pub introspection: bool,
    /// Quanta between two searches for guests.
    pub rescan_quanta: std::num::NonZeroU32,
    /// Where original affinities are kept.
    pub ledger: PathBuf,
    /// After how long without life the watchdog acts.
    pub watchdog: Duration,
    /// Which policy.
    pub policy: PolicyKind,
    /// Its settings.
    pub settings: Settings,
    /// Where the journal lies.
    pub journal_folder: PathBuf,
    /// How much of it is kept.
    pub rotation: Rotation,
    /// Where status is told.
    pub status: SocketAddr,
    /// Whether and how it is tried whether moving helps.
    pub trial: Option<TrialSettings>,
    /// Rules for guests; the first that fits counts.
    pub guests: Vec<GuestRule>,
}

/// What is ordered about guests of a name.
#[derive(Debug, Clone, PartialEq)]
pub struct GuestRule {
    /// Which guests.
    pub name: Pattern,
    /// What.
    pub rule: Rule,
}

impl Config {
    /// Reads and checks `file`.
    pub fn read(file: &Path) -> Result<Self, InputError> {
        Self::parse(file, &read_text(file)?)
    }

    /// Checks `text`, which stands in `file`.
    pub fn parse(file: &Path, text: &str) -> Result<Self, InputError> {
        let raw: Raw = parse_toml(file, text)?;
        check(raw).map_err(|mistake| mistake.in_file(file))
    }

    /// What is ordered about a guest of this name.
    #[must_use]
    pub fn rule_for(&self, guest: &str) -> Rule {
        self.guests.iter().find(|rule| rule.name.fits(guest)).map(|rule| rule.rule).unwrap_or_default()
    }

    /// What differs from `other` and takes effect at the next start only.
    #[must_use]
    pub fn needs_restart(&self, other: &Config) -> Vec<&'static str> {
        let differs = [
            ("act", other.act && !self.act),
            ("quantum_milliseconds", self.quantum != other.quantum),
            ("cpus", self.cpus != other.cpus),
            ("cross_node", self.nodes != other.nodes),
            ("include_tcg", self.include_tcg != other.include_tcg),
            ("libvirt", self.libvirt != other.libvirt),
            ("resctrl", self.resctrl != other.resctrl),
            ("introspection", self.introspection != other.introspection),
            ("rescan_quanta", self.rescan_quanta != other.rescan_quanta),
            ("ledger", self.ledger != other.ledger),
            ("watchdog_seconds", self.watchdog != other.watchdog),
            ("journal", (&self.journal_folder, self.rotation) != (&other.journal_folder, other.rotation)),
            ("status.address", self.status != other.status),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

fn check(raw: Raw) -> Result<Config, InputError> {
    let milliseconds = within("quantum_milliseconds", raw.quantum_milliseconds.unwrap_or(100), 10, 10_000)?;
    let quantum = Duration::from_millis(milliseconds);
    let seconds = within("watchdog_seconds", raw.watchdog_seconds.unwrap_or(10), 2, 3600)?;
    let watchdog = Duration::from_secs(seconds);
    if watchdog < 5 * quantum {
        let problem = format!("{seconds} is less than five quanta of {milliseconds} ms");
        return Err(InputError::new(problem, "give more, or the daemon is ended for nothing").at("watchdog_seconds"));
    }
    let cpus = raw.cpus.map(|text| cpus(&text)).transpose()?;
    let nodes = if raw.cross_node { Nodes::Across } else { Nodes::Within };
    let status = loopback(raw.status.address.as_deref().unwrap_or("127.0.0.1:9917"))?;
    let journal = raw.journal;
    let mebibytes = within("journal.file_mebibytes", journal.file_mebibytes.unwrap_or(32), 1, 4096)?;
    let rotation = Rotation {
        file_bytes: mebibytes << 20,
        files: within("journal.files", journal.files.unwrap_or(16), 2, 10_000)?,
        quiet_kept_one_in: within("journal.quiet_kept_one_in", journal.quiet_kept_one_in.unwrap_or(10), 1, 100_000)?,
    };
    Ok(Config {
        act: raw.act,
        quantum,
        policy: policy(raw.policy.kind.as_deref(), raw.model.is_some())?,
        settings: Settings { forecaster: forecaster(raw.introspection), ..settings(&raw.policy, quantum)? },
        model: raw.model,
        cpus,
        nodes,
        include_tcg: raw.include_tcg,
        libvirt: raw.libvirt.map(libvirt).transpose()?,
        resctrl: raw.resctrl,
        introspection: raw.introspection,
        rescan_quanta: std::num::NonZeroU32::new(within("rescan_quanta", raw.rescan_quanta.unwrap_or(10), 1, 100_000)?)
            .unwrap_or(std::num::NonZeroU32::MIN),
        ledger: absolute("ledger", raw.ledger.unwrap_or_else(|| DEFAULT_LEDGER.into()))?,
        watchdog,
        journal_folder: absolute(
            "journal.folder",
            journal.folder.unwrap_or_else(|| "/var/lib/phasecast/journal".into()),
        )?,
        rotation,
        status,
        trial: raw.trial.map(|trial| check_trial(&trial, quantum)).transpose()?,
        guests: (0..).zip(&raw.guest).map(|(place, guest)| guest_rule(place, guest)).collect::<Result<_, _>>()?,
    })
}

fn libvirt(uri: String) -> Result<String, InputError> {
    if !libvirt::IS_BUILT_IN {
        let problem = "this phasecast was built without libvirt".to_owned();
        return Err(InputError::new(problem, "build it with --features libvirt, or leave the key out").at("libvirt"));
    }
    if !uri.starts_with("qemu:") {
        return Err(InputError::new(format!("{uri:?} is no URI of QEMU"), "give qemu:///system").at("libvirt"));
    }
    Ok(uri)
}

fn within<T: PartialOrd + std::fmt::Display>(key: &str, value: T, least: T, most: T) -> Result<T, InputError> {
    if value >= least && value <= most {
        return Ok(value);
    }
    Err(InputError::new(format!("{value} is out of range"), format!("give {least} to {most}")).at(key))
}

fn absolute(key: &str, path: PathBuf) -> Result<PathBuf, InputError> {
    if path.is_absolute() {
        return Ok(path);
    }
    let problem = format!("{:?} depends on where the daemon is started", path.display().to_string());
    Err(InputError::new(problem, "give a path that begins with /").at(key))
}

fn cpus(text: &str) -> Result<CpuSet, InputError> {
    let set = CpuSet::from_list(text).ok().filter(|set| !set.is_empty());
    set.ok_or_else(|| InputError::new(format!("{text:?} is no list of CPUs"), "write it as \"0-15,32-47\"").at("cpus"))
}

fn loopback(text: &str) -> Result<SocketAddr, InputError> {
    let mistake = |problem, remedy: &str| InputError::new(problem, remedy).at("status.address");
    let address: SocketAddr = text.parse().map_err(|_| {
        mistake(format!("{text:?} is no address with a port"), "write it as \"127.0.0.1:9917\" or \"[::1]:9917\"")
    })?;
    if !address.ip().is_loopback() {
        let problem = format!("{} is reachable from other machines", address.ip());
        return Err(mistake(problem, "give a loopback address, as 127.0.0.1, and a proxy of your own for others"));
    }
    Ok(address)
}

fn policy(name: Option<&str>, has_model: bool) -> Result<PolicyKind, InputError> {
    let Some(name) = name else {
        return Ok(if has_model { PolicyKind::Predictive } else { PolicyKind::LoadBalance });
    };
    let mistake = |problem: String, remedy: String| InputError::new(problem, remedy).at("policy.kind");
    let known = POLICIES.map(PolicyKind::name);
    let kind = POLICIES.into_iter().find(|kind| kind.name() == name);
    let kind = kind.ok_or_else(|| mistake(format!("no policy is called {name:?}"), suggest(name, &known)))?;
    if !has_model && !matches!(kind, PolicyKind::StayPut | PolicyKind::LoadBalance) {
        return Err(mistake(
            format!("{name} needs to know phases"),
            "give a model, or choose one of: stay-put, load-balance".to_owned(),
        ));
    }
    Ok(kind)
}

/// Address spaces are asked for to be heeded.
const fn forecaster(introspection: bool) -> ForecasterKind {
    if introspection { ForecasterKind::ContextsSpaces } else { ForecasterKind::Default }
}

fn settings(raw: &raw::Policy, quantum: Duration) -> Result<Settings, InputError> {
    let usual = Settings::default();
    let per_minute = raw.moves_per_vcpu_minute.unwrap_or(6.0);
    let settings = Settings {
        min_gain_share: raw.min_gain_share.unwrap_or(usual.min_gain_share),
        cooldown_quanta: raw.cooldown_quanta.unwrap_or(usual.cooldown_quanta),
        migration_cost_quanta: raw.migration_cost_quanta.unwrap_or(usual.migration_cost_quanta),
        horizon_quanta: raw.horizon_quanta.unwrap_or(usual.horizon_quanta),
        moves_per_vcpu_quantum: within("policy.moves_per_vcpu_minute", per_minute, 0.0, 60_000.0)? / 60.0
            * quantum.as_secs_f64(),
        min_confidence: raw.min_confidence.unwrap_or(usual.min_confidence),
        ..usual
    };
    settings.check().map_err(|out| {
        InputError::new(format!("{} is out of range", out.value), format!("give {}", out.range))
            .at(format!("policy.{}", out.key))
    })?;
    Ok(settings)
}

fn check_trial(raw: &raw::Trial, quantum: Duration) -> Result<TrialSettings, InputError> {
    let quanta = |seconds: f64| (seconds / quantum.as_secs_f64()).round();
    let block = within("trial.block_seconds", raw.block_seconds.unwrap_or(30.0), 0.1, 86_400.0)?;
    let settle = within("trial.settle_seconds", raw.settle_seconds.unwrap_or(5.0), 0.0, 86_400.0)?;
    let (block_quanta, settle_quanta) = (quanta(block) as u32, quanta(settle) as u32);
    if block_quanta < settle_quanta + 2 {
        let problem = format!("{settle} leaves fewer than two quanta of a block of {block} seconds");
        return Err(InputError::new(problem, "give less, or longer blocks").at("trial.settle_seconds"));
    }
    let percent = within("trial.promised_gain_percent", raw.promised_gain_percent.unwrap_or(0.0), -50.0, 100.0)?;
    let rest = within("trial.rest_minutes", raw.rest_minutes.unwrap_or(60.0), 0.0, 100_000.0)?;
    Ok(TrialSettings {
        block_quanta,
        settle_quanta,
        pairs: within("trial.pairs", raw.pairs.unwrap_or(10), 2, 10_000)?,
        promised_gain: percent / 100.0,
        rest_quanta: quanta(rest * 60.0) as u64,
        seed: raw.seed.unwrap_or(0),
    })
}

fn guest_rule(place: usize, raw: &raw::Guest) -> Result<GuestRule, InputError> {
    let key = |name: &str| format!("guest[{place}].{name}");
    if raw.name.is_empty() {
        return Err(InputError::new("an empty name fits nobody", "give a name, or * for all").at(key("name")));
    }
    let whereabouts = match (raw.exclude, raw.domain) {
        (true, Some(_)) => {
            let problem = "who is left alone cannot be brought to a domain";
            return Err(InputError::new(problem, "leave out exclude or domain").at(key("domain")));
        }
        (true, None) => Whereabouts::Excluded,
        (false, Some(domain)) => Whereabouts::In(DomainId(domain)),
        (false, None) => Whereabouts::Anywhere,
    };
    let weight = within(&key("priority"), raw.priority.unwrap_or(1.0), 0.01, 100.0)?;
    let target = raw.slowdown_target.map(|target| within(&key("slowdown_target"), target, 1.0, 100.0)).transpose()?;
    let rule = Rule { whereabouts, weight, target: target.map(Slowdown) };
    Ok(GuestRule { name: Pattern::new(&raw.name), rule })
}

#[cfg(test)]
mod tests;
