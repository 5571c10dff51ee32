//! `phasecast machine`: which emulated machines there are, what one consists of, and whether it suits a control period.

use std::fmt::Write;
use std::path::Path;

use clap::builder::RangedU64ValueParser;
use machine::spec::{CacheSpec, Machine};
use serde_json::{Value, json};

use crate::cli::print;
use crate::interrupt::Interrupt;
use crate::machines;

/// The share of a quantum beyond which a refill is worth a warning.
const LARGE_SHARE: f64 = 0.05;

/// Arguments of `phasecast machine`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say which machines come with Phasecast; the first is the default.
    #[command(after_help = "Examples:
  phasecast machine list
  phasecast machine list --json | jq -r '.[].name'")]
    List {
        /// Answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say what a machine consists of, and how long refilling its LLC and a phase are beside a quantum.
    #[command(after_help = "Examples:
  phasecast machine show rome-4x2
      with the control period and the length of a phase that come to mind first
  phasecast machine show mine.toml --quantum-cycles 4_000_000 --phase-quanta 5
      whether a machine of your own suits a short control period
  phasecast machine show small-2x2 --json | jq .refill.share_of_quantum")]
    Show {
        /// The name of a machine, or a TOML file that describes one.
        #[arg(value_name = "NAME|FILE")]
        machine: String,
        /// The control period, in cycles.
        #[arg(long, value_name = "N", default_value = "10_000_000", value_parser = cycles)]
        quantum_cycles: u64,
        /// How long a phase of the guests is, in quanta.
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = RangedU64ValueParser::<u64>::new().range(1..=1_000_000))]
        phase_quanta: u64,
        /// Answer as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// A number of cycles as it stands in TOML, underscores between digits allowed.
fn cycles(text: &str) -> Result<u64, String> {
    match text.replace('_', "").parse() {
        Ok(cycles @ 1..=1_000_000_000_000) => Ok(cycles),
        _ => Err("give a whole number of cycles from 1 to 1_000_000_000_000".to_owned()),
    }
}

/// Runs the command.
pub fn run(args: &Args, _interrupt: &Interrupt) -> anyhow::Result<()> {
    match &args.command {
        Command::List { json } => list(*json),
        Command::Show { machine, quantum_cycles, phase_quanta, json } => {
            let (machine, _) = machines::find(machine, Path::new(""))?;
            let periods = Periods { quantum_cycles: *quantum_cycles, phase_quanta: *phase_quanta };
            if *json {
                print(&serde_json::to_string_pretty(&as_json(&machine, periods))?)
            } else {
                print(&as_text(&machine, periods))
            }
        }
    }
}

fn list(json: bool) -> anyhow::Result<()> {
    let machines = || Machine::preset_names().into_iter().filter_map(Machine::preset);
    if json {
        let entries: Vec<Value> = machines().map(|machine| describe(&machine)).collect();
        return print(&serde_json::to_string_pretty(&entries)?);
    }
    let lines: Vec<String> =
        machines().map(|machine| format!("{:18} {}", machine.name(), headline(&machine))).collect();
    print(&lines.join("\n"))
}

/// What a machine is judged by.
#[derive(Debug, Clone, Copy)]
struct Periods {
    quantum_cycles: u64,
    phase_quanta: u64,
}

impl Periods {
    fn refill_share_of_quantum(self, machine: &Machine) -> f64 {
        machine.refill_cycles() as f64 / self.quantum_cycles as f64
    }

    fn phase_cycles(self) -> u64 {
        self.quantum_cycles.saturating_mul(self.phase_quanta)
    }

    fn refills_per_phase(self, machine: &Machine) -> f64 {
        self.phase_cycles() as f64 / machine.refill_cycles() as f64
    }

    /// Why results on this machine would say little, if so.
    fn warning(self, machine: &Machine) -> Option<String> {
        let share = self.refill_share_of_quantum(machine);
        (share > LARGE_SHARE).then(|| {
            format!(
                "refilling the LLC takes {:.1} % of a quantum, more than {:.0} %: a move costs more than most can win; \
                 lengthen the quantum, or take a machine with a smaller LLC or more bandwidth",
                100.0 * share,
                100.0 * LARGE_SHARE
            )
        })
    }
}

fn nodes(machine: &Machine) -> usize {
    let nodes = machine.domains().into_iter().filter_map(|(domain, _)| machine.node_of(domain));
    nodes.collect::<std::collections::BTreeSet<_>>().len()
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn headline(machine: &Machine) -> String {
    let domains = machine.domains();
    let cpus = domains.iter().map(|(_, cpus)| cpus.len()).sum();
    format!(
        "{} in {} on {}, {} KiB of LLC each, {}",
        count(cpus, "CPU"),
        count(domains.len(), "LLC domain"),
        count(nodes(machine), "node"),
        machine.llc().bytes() / 1024,
        if machine.prefetcher().is_some() { "prefetcher" } else { "no prefetcher" }
    )
}

fn cache(spec: CacheSpec) -> String {
    format!("{} KiB, {} ways", spec.bytes() / 1024, spec.ways)
}

fn microseconds(machine: &Machine, cycles: u64) -> f64 {
    cycles as f64 / f64::from(machine.frequency_mhz())
}

fn as_text(machine: &Machine, periods: Periods) -> String {
    let mut text = format!("{}: {}, {} MHz\n", machine.name(), headline(machine), machine.frequency_mhz());
    let mut line = |key: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {key:14}{value}");
    };
    for (domain, cpus) in machine.domains() {
        let node = machine.node_of(domain).map_or(0, |node| node.0);
        let cpus: Vec<String> = cpus.iter().map(|cpu| cpu.0.to_string()).collect();
        line(&format!("domain {}", domain.0), format!("node {node}, CPUs {}", cpus.join(" ")));
    }
    line("L1", cache(machine.l1()));
    line("L2", machine.l2().map_or("none".to_owned(), |l2| format!("{}, {} cycles", cache(l2), l2.latency_cycles)));
    let prefetcher = machine.prefetcher().map(|spec| {
        format!("{} streams, {} lines an access, up to {} ahead", spec.streams, spec.degree, spec.distance)
    });
    line("prefetcher", prefetcher.unwrap_or_else(|| "none".to_owned()));
    line("LLC", format!("{}, {} cycles", cache(machine.llc()), machine.llc().latency_cycles));
    let memory = machine.memory();
    let remote = match memory.remote_latency_cycles {
        0 => String::new(),
        more => format!(", {} from another node", memory.latency_cycles + more),
    };
    line(
        "memory",
        format!("{} cycles{remote}, {} bytes a cycle behind each LLC", memory.latency_cycles, memory.bytes_per_cycle),
    );
    let core = machine.core();
    line(
        "core",
        format!(
            "{} cycles an instruction, window of {} instructions, {} misses under way",
            core.cycles_per_instruction, core.reorder_window, core.miss_registers
        ),
    );
    line("epoch", format!("{} cycles", machine.epoch_cycles()));
    let slices = machine.timeslice_cycles().map(|slice| format!("{slice} cycles"));
    line("time slices", slices.unwrap_or_else(|| "none: each vCPU has a CPU for itself".to_owned()));
    let milliseconds = |cycles| microseconds(machine, cycles) / 1000.0;
    line("quantum", format!("{} cycles, {:.3} ms", periods.quantum_cycles, milliseconds(periods.quantum_cycles)));
    line(
        "refill",
        format!(
            "{} cycles to fill an LLC from memory: {:.1} % of a quantum",
            machine.refill_cycles(),
            100.0 * periods.refill_share_of_quantum(machine)
        ),
    );
    line(
        "phase",
        format!(
            "{} quanta, {:.1} ms: as long as {:.0} refills",
            periods.phase_quanta,
            milliseconds(periods.phase_cycles()),
            periods.refills_per_phase(machine)
        ),
    );
    if let Some(warning) = periods.warning(machine) {
        line("warning", warning);
    }
    text.trim_end().to_owned()
}

/// Sizes in bytes, times in cycles.
fn describe(machine: &Machine) -> Value {
    let level = |spec: CacheSpec| json!({ "bytes": spec.bytes(), "ways": spec.ways, "sets": spec.sets, "latency_cycles": spec.latency_cycles });
    let domain = |(domain, cpus): (machine::spec::Domain, Vec<machine::spec::Cpu>)| {
        json!({
            "id": domain.0,
            "node": machine.node_of(domain).map(|node| node.0),
            "cpus": cpus.iter().map(|cpu| cpu.0).collect::<Vec<_>>(),
        })
    };
    let (l1, memory, core) = (machine.l1(), machine.memory(), machine.core());
    json!({
        "name": machine.name(),
        "frequency_mhz": machine.frequency_mhz(),
        "epoch_cycles": machine.epoch_cycles(),
        "domains": machine.domains().into_iter().map(domain).collect::<Vec<_>>(),
        "l1": { "bytes": l1.bytes(), "ways": l1.ways, "sets": l1.sets },
        "l2": machine.l2().map(level),
        "prefetcher": machine.prefetcher().map(|spec| {
            json!({ "streams": spec.streams, "degree": spec.degree, "distance": spec.distance })
        }),
        "llc": level(machine.llc()),
        "memory": {
            "latency_cycles": memory.latency_cycles,
            "remote_latency_cycles": memory.remote_latency_cycles,
            "bytes_per_cycle": memory.bytes_per_cycle,
        },
        "core": {
            "cycles_per_instruction": core.cycles_per_instruction,
            "reorder_window": core.reorder_window,
            "miss_registers": core.miss_registers,
            "timeslice_cycles": machine.timeslice_cycles(),
        },
        "refill_cycles": machine.refill_cycles(),
    })
}

fn as_json(machine: &Machine, periods: Periods) -> Value {
    json!({
        "machine": describe(machine),
        "quantum": {
            "cycles": periods.quantum_cycles,
            "microseconds": microseconds(machine, periods.quantum_cycles),
        },
        "refill": {
            "cycles": machine.refill_cycles(),
            "share_of_quantum": periods.refill_share_of_quantum(machine),
        },
        "phase": {
            "quanta": periods.phase_quanta,
            "cycles": periods.phase_cycles(),
            "refills": periods.refills_per_phase(machine),
        },
        "warning": periods.warning(machine),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const USUAL: Periods = Periods { quantum_cycles: 10_000_000, phase_quanta: 20 };

    fn preset(name: &str) -> Machine {
        Machine::preset(name).expect("it comes with the program")
    }

    #[test]
    fn a_machine_is_told_on_a_page() {
        expect![[r#"
            rome-4x2: 8 CPUs in 4 LLC domains on 2 nodes, 1024 KiB of LLC each, prefetcher, 2500 MHz
              domain 0      node 0, CPUs 0 1
              domain 1      node 0, CPUs 2 3
              domain 2      node 1, CPUs 4 5
              domain 3      node 1, CPUs 6 7
              L1            32 KiB, 8 ways
              L2            64 KiB, 8 ways, 13 cycles
              prefetcher    32 streams, 2 lines an access, up to 20 ahead
              LLC           1024 KiB, 16 ways, 34 cycles
              memory        283 cycles, 424 from another node, 2.56 bytes a cycle behind each LLC
              core          0.5 cycles an instruction, window of 224 instructions, 22 misses under way
              epoch         20000 cycles
              time slices   none: each vCPU has a CPU for itself
              quantum       10000000 cycles, 4.000 ms
              refill        409600 cycles to fill an LLC from memory: 4.1 % of a quantum
              phase         20 quanta, 80.0 ms: as long as 488 refills
        "#]]
        .assert_eq(&(as_text(&preset("rome-4x2"), USUAL) + "\n"));
    }

    #[test]
    fn no_preset_is_warned_of_at_the_usual_quantum_and_all_are_at_a_short_one() {
        let short = Periods { quantum_cycles: 1_000_000, ..USUAL };
        for machine in Machine::preset_names().into_iter().map(preset) {
            assert_eq!(USUAL.warning(&machine), None, "{}", machine.name());
            let warning = short.warning(&machine);
            assert!(warning.is_some_and(|text| text.contains("% of a quantum")), "{}", machine.name());
        }
    }

    #[test]
    fn json_says_the_same_with_units_in_the_keys() {
        let told = as_json(&preset("small-2x2"), USUAL);
        assert_eq!(told["refill"]["cycles"], 262_144);
        assert_eq!(told["machine"]["llc"]["bytes"], 1 << 20);
        assert_eq!(told["machine"]["prefetcher"], Value::Null);
        assert_eq!(told["warning"], Value::Null);
    }

    #[test]
    fn cycles_are_written_as_in_toml() {
        assert_eq!(cycles("10_000_000"), Ok(10_000_000));
        assert!(cycles("0").is_err() && cycles("ten").is_err());
    }
}
