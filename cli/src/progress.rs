//! A progress bar over a run's tasks; plain lines where standard error is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// The bar. Lines about ended tasks stand above it.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar over so many tasks.
    pub(crate) fn new(tasks: usize) -> Self {
        let bar = ProgressBar::new(u64::try_from(tasks).unwrap_or(u64::MAX));
        if let Ok(style) =
            ProgressStyle::with_template("{bar:24.green} {pos}/{len} {elapsed} {msg}")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar }
    }

    /// There are more tasks than was known.
    pub(crate) fn grow(&self, tasks: usize) {
        self.bar.inc_length(u64::try_from(tasks).unwrap_or(u64::MAX));
    }

    /// There are so many tasks, as is known now.
    pub(crate) fn of(&self, tasks: usize) {
        self.bar.set_length(u64::try_from(tasks).unwrap_or(u64::MAX));
    }

    /// A task has ended.
    pub(crate) fn ended(&self, line: &str) {
        self.above(line);
        self.bar.inc(1);
    }

    /// Writes a line above the bar.
    pub(crate) fn above(&self, line: &str) {
        if self.bar.is_hidden() {
            // Who closed standard output sees no lines, and the run goes on.
            let _ = crate::output::line(line);
        } else {
            self.bar.println(line);
        }
    }

    /// Names what runs now.
    pub(crate) fn running(&self, tasks: &[String]) {
        self.bar.set_message(tasks.join(", "));
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
