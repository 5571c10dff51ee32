//! What people see while an experiment runs: bars on a terminal, a line for each run elsewhere, on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows how far things are.
#[derive(Debug)]
pub struct Progress {
    bars: MultiProgress,
    lines: bool,
}

impl Progress {
    /// On standard error: bars if it is a terminal, else lines.
    #[must_use]
    pub fn on_standard_error() -> Self {
        Self { bars: MultiProgress::new(), lines: !std::io::stderr().is_terminal() }
    }

    /// Shows nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), lines: false }
    }

    /// Says one thing.
    pub fn note(&self, line: &str) {
        if self.lines {
            eprintln!("{line}");
        } else {
            // A terminal that went away is no reason to stop.
            let _ = self.bars.println(line);
        }
    }

    /// A run of `quanta` begins.
    #[must_use]
    pub fn run(&self, label: &str, quanta: u64) -> RunProgress<'_> {
        let bar = self.bars.add(ProgressBar::new(quanta));
        let style = ProgressStyle::with_template("{prefix:28!} {bar:32} {pos:>4}/{len} quanta {eta:>4} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        RunProgress { progress: self, bar, label: label.to_owned(), began: Instant::now() }
    }
}

/// One run on show.
#[derive(Debug)]
pub struct RunProgress<'a> {
    progress: &'a Progress,
    bar: ProgressBar,
    label: String,
    began: Instant,
}

impl RunProgress<'_> {
    /// What is being done before the first quantum.
    pub fn preparing(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// One more quantum has passed.
    pub fn quantum(&self) {
        if self.bar.position() == 0 {
            self.bar.set_message("");
        }
        self.bar.inc(1);
    }

    /// The run is over.
    pub fn done(self) {
        // Finishing the bar moves it to its end, wherever the run stopped.
        let quanta = self.bar.position();
        self.bar.finish_and_clear();
        let seconds = self.began.elapsed().as_secs_f64();
        self.progress.note(&format!("{}: {quanta} quanta in {seconds:.1} s", self.label));
    }
}
