//! `kernels`: runs one kernel or a script of them and prints a checksum. What the guests of most mixes run.
//!
//! The work is in the library; this file reads the command line. It is built static and does without a parser crate:
//! it stands on the read-only image of every guest.

use std::process::ExitCode;

use workloads::kernels::Kind;
use workloads::script::{Length, Part, Script, Step, parse_bytes, parse_count};

const HELP: &str = "\
Benchmark kernels with known answers.

usage: kernels KERNEL [--size SIZE] [--instructions COUNT] [--seed N]
       kernels phased SCRIPT [--repeat ROUNDS] [--seed N]
       kernels idle SECONDS

KERNEL   chase (dependent random loads), gather (independent random loads), stream (read and write in
         order), stencil (relaxation of a grid), blackscholes (arithmetic on little data), canneal (swaps in
         a netlist), swaptions (Monte Carlo), streamcluster (distances to a centre), fluidanimate (particles
         in cells), dedup (chunks of a stream), viterbi (dynamic programming), eventqueue (simulation),
         stringwalk (names of a document), spmv (sparse matrix times vector), btree (look-ups in an index)
SIZE     working set, as 768KiB or 8MiB (default 1MiB)
COUNT    about how many instructions to run, as 60M or 2G (default 100M)
SCRIPT   steps 'kernel:size:count', as 'chase:768KiB:60M blackscholes:64KiB:80M'; a count as 6M..600M is drawn
         each time, ~60M drawn with this mean; '(a b)x3 c' repeats a and b; '[a b | 20 80 | 100 0]x50' is a
         Markov chain of 50 steps, each next one drawn by the row (percent) of the one before
ROUNDS   how often the script is repeated (default 1)
N        what the buffers are filled from and what is drawn is drawn from (default 1)

Prints 'checksum' and 16 hexadecimal digits: a function of the arguments alone. Each phase is marked by one
no-operation instruction, which an emulated machine recognises.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(output) => {
            print!("{output}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("kernels: {problem}; see kernels --help");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Result<String, String> {
    let (command, rest) = arguments.split_first().ok_or("no kernel is named")?;
    match command.as_str() {
        "--help" | "-h" | "help" => Ok(HELP.to_owned()),
        "idle" => idle(rest),
        "phased" => {
            let (script, options) = rest.split_first().ok_or("phased needs a script")?;
            let options = Options::parse(options, &["--repeat", "--seed"])?;
            let script: Script = script.parse().map_err(|error| format!("{error}"))?;
            Ok(answer(&script, &options))
        }
        kernel => {
            let kind: Kind = kernel.parse()?;
            let options = Options::parse(rest, &["--size", "--instructions", "--seed"])?;
            if options.size_bytes < kind.least_bytes() {
                return Err(format!("a working set below {} bytes", kind.least_bytes()));
            }
            let length = Length::Exact(options.instructions);
            let step = Part::Step(Step { kind, working_set_bytes: options.size_bytes, length });
            Ok(answer(&Script::new(vec![step]).map_err(|error| error.to_string())?, &options))
        }
    }
}

fn answer(script: &Script, options: &Options) -> String {
    format!("checksum {:016x}\n", script.run(options.rounds, options.seed))
}

fn idle(arguments: &[String]) -> Result<String, String> {
    let [seconds] = arguments else { return Err("idle takes the seconds to sleep".to_owned()) };
    let seconds: u64 = seconds.parse().map_err(|_| format!("\"{seconds}\" is no number of seconds"))?;
    std::thread::sleep(std::time::Duration::from_secs(seconds));
    Ok("slept\n".to_owned())
}

/// What the options say, or their defaults.
struct Options {
    size_bytes: usize,
    instructions: u64,
    rounds: u64,
    seed: u64,
}

impl Options {
    fn parse(arguments: &[String], known: &[&str]) -> Result<Self, String> {
        let mut options = Self { size_bytes: 1 << 20, instructions: 100_000_000, rounds: 1, seed: 1 };
        for pair in arguments.chunks(2) {
            let name = pair[0].as_str();
            if !known.contains(&name) {
                return Err(format!("no option \"{name}\" here; there are {}", known.join(", ")));
            }
            let value = pair.get(1).ok_or_else(|| format!("{name} needs a value"))?;
            match name {
                "--size" => options.size_bytes = parse_bytes(value)?,
                "--instructions" => options.instructions = parse_count(value)?,
                "--repeat" => options.rounds = parse_count(value)?,
                _ => options.seed = value.parse().map_err(|_| format!("\"{value}\" is no seed"))?,
            }
        }
        Ok(options)
    }
}
