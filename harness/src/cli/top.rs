//! `phasecast top`: what a daemon does, in a terminal, from its status page.

use std::fmt::Write as _;
use std::io::{IsTerminal, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context;

use crate::cli::print;
use crate::daemon::status::Snapshot;
use crate::daemon::status::page::gain_text;
use crate::input::InputError;
use crate::interrupt::Interrupt;
use crate::provenance::time_of_millis;

/// A snapshot may be so long.
const LONGEST: u64 = 64 << 20;

/// Arguments of `phasecast top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast top
      every second, until Ctrl-C
  phasecast top --once
  phasecast top --once --json | jq '.vcpus[] | select(.slowdown > 1.2)'

What happened before is told by `phasecast explain`.")]
pub struct Args {
    /// The daemon's status.address.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9917")]
    address: SocketAddr,
    /// Print once and end.
    #[arg(long)]
    once: bool,
    /// Answer as JSON, a line each time.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, interrupt: &Interrupt) -> anyhow::Result<()> {
    let is_redrawn = !args.once && !args.json && std::io::stdout().is_terminal();
    loop {
        let text = fetch(args.address)?;
        if args.json {
            print(text.trim_end())?;
        } else {
            let snapshot: Snapshot = serde_json::from_str(&text)
                .with_context(|| format!("what answers on {} is no phasecast of this version", args.address))?;
            // Home, the table, and nothing of what stood below it.
            let (home, rest) = if is_redrawn { ("\x1b[H\x1b[2J", "\x1b[J") } else { ("", "") };
            print(&format!("{home}{}{rest}", table(&snapshot)))?;
        }
        for _ in 0..10 {
            if args.once || interrupt.check().is_err() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn fetch(address: SocketAddr) -> anyhow::Result<String> {
    let patience = Duration::from_secs(3);
    let mut stream = TcpStream::connect_timeout(&address, patience).map_err(|error| {
        InputError::new(format!("no daemon answers on {address}: {error}"), "start one, or give its status.address")
            .at("--address")
    })?;
    stream.set_read_timeout(Some(patience))?;
    write!(stream, "GET /status.json HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    let mut text = String::new();
    stream.take(LONGEST).read_to_string(&mut text).context("failed to read the daemon's answer")?;
    let (head, body) = text.split_once("\r\n\r\n").context("the answer is no HTTP")?;
    anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "the daemon answers {}: {}", first_line(head), body.trim());
    Ok(body.to_owned())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Names come from guests' owners: nothing of them may steer the terminal.
fn plain(text: &str, most: usize) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).take(most).collect()
}

/// The table.
fn table(snapshot: &Snapshot) -> String {
    let totals = &snapshot.totals;
    let at = time_of_millis(snapshot.at.0);
    let mut text = format!(
        "phasecast {}, {}, policy {}, {} UTC\n{} quanta of {} ms ({} late), moves: {} made, {} refused, {} only written down\n",
        snapshot.version,
        snapshot.mode.name().to_uppercase(),
        snapshot.policy,
        &at[11..19],
        snapshot.quanta,
        snapshot.quantum_milliseconds,
        totals.overruns,
        totals.done,
        totals.refused,
        totals.withheld
    );
    if let Some(gain) = snapshot.trial.as_ref().and_then(|trial| trial.gain.as_ref()) {
        let _ = writeln!(text, "acting against holding: {} progress", gain_text(gain));
    }
    let _ = writeln!(
        text,
        "\n{:<20} {:>4} {:>6}  {:<24} {:<18} {:>7} {:>8}  AND SO",
        "GUEST", "VCPU", "DOMAIN", "DID", "NEXT", "ON CPU", "SLOWED"
    );
    for vcpu in &snapshot.vcpus {
        let next = vcpu.next_phase.zip(vcpu.next_probability);
        let next = next.map(|(phase, share)| format!("phase {phase} ({:.0} %)", share * 100.0)).unwrap_or_default();
        let running = vcpu.running_share.map(|share| format!("{:.0} %", share * 100.0)).unwrap_or_default();
        let slowdown = vcpu.slowdown.map(|slowdown| format!("{slowdown:.2}x")).unwrap_or_default();
        let _ = writeln!(
            text,
            "{:<20} {:>4} {:>6}  {:<24} {next:<18} {running:>7} {slowdown:>8}  {}",
            plain(&vcpu.guest, 20),
            vcpu.vcpu.index,
            vcpu.domain,
            plain(&vcpu.state, 24),
            plain(&vcpu.verdict, 50)
        );
    }
    for decided in snapshot.decisions.iter().take(5) {
        let became = decided.refusal.as_deref().unwrap_or(if decided.from == decided.to { "held" } else { "moved" });
        let _ = write!(
            text,
            "\n{} {} vCPU {}: {} -> {}, {}",
            &time_of_millis(decided.at.0)[11..19],
            plain(&decided.guest, 20),
            decided.vcpu.index,
            decided.from,
            decided.to,
            plain(became, 60)
        );
    }
    text
}
