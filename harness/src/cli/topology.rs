//! `phasecast topology`: the CPUs of a machine and the last-level caches that they share, as the kernel tells them.

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::json;

use crate::cli::print;
use crate::interrupt::Interrupt;
use crate::sysfs::{self, Found};

/// Arguments of `phasecast topology`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast topology
      the LLC domains of this machine
  phasecast topology --root dump
      of another machine, of which dump/sys/devices/system is a copy
  phasecast topology --json | jq '.llc_domains | length'

A machine that tells of no cache has LLC level 0 and no domains. What makes no sense is passed over and told on the
standard error output.")]
pub struct Args {
    /// What stands for /: the folder in which sys/devices/system is.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, _interrupt: &Interrupt) -> anyhow::Result<()> {
    let found = sysfs::read(&args.root.join("sys"))?;
    for remark in &found.remarks {
        eprintln!("phasecast: passed over {remark}");
    }
    if args.json { print(&as_json(&found).to_string()) } else { print(&as_text(&found)) }
}

fn as_json(found: &Found) -> serde_json::Value {
    let domain = |domain: &sysfs::LastLevelCache| json!({ "cpus": domain.cpus.iter().collect::<Vec<_>>(), "size_bytes": domain.size_bytes });
    json!({
        "cpus_online": found.cpus_online.iter().collect::<Vec<_>>(),
        "packages": found.packages.len(),
        "nodes": found.nodes.len(),
        "cores": found.cores.len(),
        "llc_level": found.llc_level,
        "llc_domains": found.llc_domains.iter().map(domain).collect::<Vec<_>>(),
    })
}

fn as_text(found: &Found) -> String {
    let mut text = format!(
        "{} CPUs online ({}), packages: {}, nodes: {}, cores: {}\n",
        found.cpus_online.len(),
        found.cpus_online,
        found.packages.len(),
        found.nodes.len(),
        found.cores.len()
    );
    let mut line = |key: String, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {key:14}{value}");
    };
    for (node, cpus) in &found.nodes {
        line(format!("node {node}"), if cpus.is_empty() { "memory alone".to_owned() } else { format!("CPUs {cpus}") });
    }
    for (number, domain) in found.llc_domains.iter().enumerate() {
        let size = domain.size_bytes.map_or("size not told".to_owned(), |bytes| format!("{} KiB", bytes / 1024));
        line(format!("LLC domain {number}"), format!("L{}, {size}, CPUs {}", found.llc_level, domain.cpus));
    }
    if !found.cpus_without_llc.is_empty() {
        line("without".to_owned(), format!("CPUs {} tell of no last-level cache", found.cpus_without_llc));
    }
    text.trim_end().to_owned()
}
