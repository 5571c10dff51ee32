//! `phasecast guests`: the guests that run on this machine, whoever launched them.

use std::fmt::Write;
use std::path::PathBuf;

use crate::cli::print;
use crate::discovery::{Discovery, Scan, Scope};
use crate::interrupt::Interrupt;
use crate::procfs::Proc;

/// Arguments of `phasecast guests`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast guests
      every KVM guest of this machine with the threads of its vCPUs, and what may be one and cannot be seen
  phasecast guests --include-tcg
      guests that QEMU emulates as well
  phasecast guests --root dump --json
      of a copy of another machine's /proc, in dump/proc

Nobody is touched. Whoever runs this without CAP_SYS_PTRACE sees guests of the same user only.")]
pub struct Args {
    /// What stands for /: the folder in which proc is.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Also find guests that QEMU emulates, without KVM.
    #[arg(long)]
    include_tcg: bool,
    /// Ask QEMU which threads are vCPUs, where it serves QMP on a socket with a name. It serves one client at a time.
    #[arg(long)]
    ask_qmp: bool,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, _interrupt: &Interrupt) -> anyhow::Result<()> {
    let scope = Scope { include_tcg: args.include_tcg, ask_qmp: args.ask_qmp };
    let scan = Discovery::new(Proc::open(&args.root)?, scope).scan()?;
    print(&if args.json { serde_json::to_string(&scan)? } else { as_text(&scan) })
}

fn as_text(scan: &Scan) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    if scan.guests.is_empty() {
        let _ = writeln!(text, "no guest was found");
    }
    for guest in &scan.guests {
        let (vmm, accelerator) = (format!("{:?}", guest.vmm), format!("{:?}", guest.accelerator).to_uppercase());
        let _ = writeln!(text, "{} (process {}, {vmm}, {accelerator})", guest.name, guest.pid.0);
        for vcpu in &guest.vcpus {
            let _ = writeln!(text, "  vCPU {:3}  thread {:7}  {}", vcpu.number, vcpu.thread.tid.0, vcpu.comm);
        }
    }
    for hidden in &scan.hidden {
        let _ = writeln!(
            text,
            "left alone: {} (process {}): {}; {}",
            hidden.name, hidden.pid.0, hidden.problem, hidden.remedy
        );
    }
    text.trim_end().to_owned()
}
