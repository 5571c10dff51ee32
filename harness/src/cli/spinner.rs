//! What is being done, shown while a command works on something whose length nobody knows.

use std::time::Duration;

use indicatif::ProgressBar;

/// A spinner with a line beside it; it is gone when dropped.
#[derive(Debug)]
pub(super) struct Spinner(ProgressBar);

impl Spinner {
    pub(super) fn start() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Where there is no terminal the spinner shows nothing: a log gets the lines instead.
    pub(super) fn tell(&self, line: &str) {
        if self.0.is_hidden() { eprintln!("{line}") } else { self.0.set_message(line.to_owned()) }
    }
}

impl Spinner {
    /// The same for lines that come so often that a log should not have them.
    pub(super) fn tell_if_seen(&self, line: &str) {
        self.0.set_message(line.to_owned());
    }
}

impl Spinner {
    /// Does something that prints, without the spinner in between.
    pub(super) fn suspend<Answer>(&self, print: impl FnOnce() -> Answer) -> Answer {
        self.0.suspend(print)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
