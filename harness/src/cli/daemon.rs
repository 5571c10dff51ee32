//! `phasecast daemon`: the loop on this machine; and the hidden watchdog beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use predictor::placement::rules::Nodes;

use crate::artefact;
use crate::cli::print;
use crate::daemon::config::{Config, DEFAULT};
use crate::daemon::notify::Notifier;
use crate::daemon::status::server::Server;
use crate::daemon::watchdog::{self, Heartbeat};
use crate::daemon::{Brain, Daemon, Life};
use crate::host::Host;
use crate::host::live::{Acting, CrossNode, LiveHost, LiveSettings};
use crate::input::InputError;
use crate::interrupt::Interrupt;

/// Arguments of `phasecast daemon`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast daemon --print-default-config > /etc/phasecast.toml
  phasecast daemon --check /etc/phasecast.toml
  phasecast daemon --config /etc/phasecast.toml
      a dry run: decides, writes down why, moves nobody
  phasecast daemon --config /etc/phasecast.toml --act
      moves vCPUs; ends by SIGTERM or Ctrl-C and gives every affinity back
  phasecast explain /var/lib/phasecast/journal
      what it did, or would have done, and why

SIGHUP reads the configuration again. docs/operating.md leads from the first dry run to acting.")]
pub struct Args {
    /// The configuration.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["check", "print_default_config"])]
    config: Option<PathBuf>,
    /// Move vCPUs, whatever the configuration says.
    #[arg(long)]
    act: bool,
    /// Only check this configuration.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "act"])]
    check: Option<PathBuf>,
    /// Print a configuration with every key and its default.
    #[arg(long, conflicts_with_all = ["config", "act", "check"])]
    print_default_config: bool,
    /// Read the topology from here, for tests on machines with one domain.
    #[arg(long, value_name = "DIR", hide = true)]
    sysfs_root: Option<PathBuf>,
    /// Watch the guests of this process alone, for tests beside other guests.
    #[arg(long, value_name = "PID", hide = true)]
    within: Vec<u32>,
}

/// Arguments of the watchdog.
#[derive(Debug, clap::Args)]
pub struct WatchdogArgs {
    #[arg(long)]
    ledger: PathBuf,
    #[arg(long)]
    limit_milliseconds: u64,
}

/// Runs the command.
pub fn run(args: &Args, interrupt: &Interrupt) -> anyhow::Result<()> {
    if args.print_default_config {
        return print(DEFAULT.trim_end());
    }
    if let Some(file) = &args.check {
        let config = Config::read(file)?;
        brain(&config)?;
        let mode = if config.act { "moves vCPUs" } else { "is a dry run" };
        return print(&format!("{}: nothing wrong; the policy is {}, and this {mode}", file.display(), config.policy));
    }
    let file = args.config.as_deref().unwrap_or(Path::new("phasecast.toml"));
    let read = || -> Result<(Config, Brain), InputError> {
        let mut config = Config::read(file)?;
        config.act |= args.act;
        let brain = brain(&config)?;
        Ok((config, brain))
    };
    let (config, brain) = read()?;
    let ledger = config.ledger.clone();
    let status = config.status;
    // Before the host binds anybody, and before there are threads that a child would not have.
    let program = std::env::current_exe().context("failed to find this very program, which is the watchdog too")?;
    let mut host = LiveHost::new(live(&config, args))?;
    for thread in &host.inherited().threads {
        eprintln!("phasecast: a predecessor had left {}: {:?}", thread.comm, thread.outcome);
    }
    if let Some(model) = brain.model() {
        let quantum_nanoseconds = u64::try_from(config.quantum.as_nanos()).unwrap_or(u64::MAX);
        let sizes = host.topology().domains().iter().map(|domain| domain.llc_bytes).min().flatten();
        let here = predictor::model::Machine {
            quantum_nanoseconds,
            llc_bytes: sizes,
            memory_bytes_per_cycle: None,
            miss_per_hit_time: None,
        };
        if let Err(error) = model.check_host(host.events(), &here) {
            let remedy = "train one here, or leave the model out: then the load is balanced";
            return Err(InputError::new(format!("this machine is not the model's: {error}"), remedy)
                .at("model")
                .into());
        }
    }
    let heartbeat = config.act.then(|| Heartbeat::start(&program, &ledger, config.watchdog)).transpose();
    let heartbeat = heartbeat.context("failed to start the watchdog; without one nobody is moved")?;
    let reload = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&reload))?;
    let notifier = Notifier::of_environment();
    let program = heartbeat.is_some().then_some(program);
    let mut life = Life { stop: interrupt.clone(), reload, notifier, heartbeat, program };
    let mode = if config.act { "acting" } else { "dry run: nobody is moved" };
    let daemon = Daemon::new(config, brain, &mut host)?;
    let server = Server::start(status, daemon.board());
    let server = server.with_context(|| format!("failed to listen on {status}; choose another status.address"))?;
    eprintln!("phasecast: {mode}; status on http://{}/", server.address());
    daemon.run(&mut life, &mut || read().map_err(|mistake| mistake.to_string()))?;
    Ok(())
}

/// Runs the watchdog.
pub fn watchdog(args: &WatchdogArgs, _interrupt: &Interrupt) -> anyhow::Result<()> {
    let (_, restored) = watchdog::watch(&args.ledger, Duration::from_millis(args.limit_milliseconds))?;
    let failures = restored?.failures().count();
    anyhow::ensure!(failures == 0, "{failures} threads may still be bound; run `phasecast restore`");
    Ok(())
}

fn brain(config: &Config) -> Result<Brain, InputError> {
    match &config.model {
        Some(path) => Ok(Brain::with_model(artefact::load(path)?)),
        None => Ok(Brain::without_model()),
    }
}

fn live(config: &Config, args: &Args) -> LiveSettings {
    let within = (!args.within.is_empty()).then(|| args.within.iter().copied().map(crate::procfs::Pid).collect());
    LiveSettings {
        sysfs_root: args.sysfs_root.clone(),
        ledger: config.ledger.clone(),
        operator_cpus: config.cpus.clone(),
        within,
        cross_node: if config.nodes == Nodes::Across { CrossNode::Allowed } else { CrossNode::Refused },
        include_tcg: config.include_tcg,
        acting: if config.act { Acting::Act } else { Acting::DryRun },
        rescan_quanta: config.rescan_quanta,
        libvirt: config.libvirt.clone(),
        resctrl: config.resctrl,
        introspection: config.introspection,
        ..LiveSettings::default()
    }
}
