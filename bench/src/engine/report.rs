//! One row of the table of targets.

use std::fmt;

/// A figure beside what it must and should be.
#[derive(Debug, Clone)]
pub struct Row {
    pub what: &'static str,
    pub measured: f64,
    pub unit: &'static str,
    /// Infinite: the figure has no target, it is for comparison.
    pub must: f64,
    pub aim: f64,
    /// Whether more is better.
    pub more: bool,
}

impl Row {
    /// Whether the figure meets what it must.
    #[must_use]
    pub fn meets_must(&self) -> bool {
        if self.more { self.measured >= self.must } else { self.measured <= self.must }
    }

    fn verdict(&self) -> &'static str {
        let meets_aim =
            if self.more { self.measured >= self.aim } else { self.measured <= self.aim };
        match (meets_aim, self.meets_must()) {
            (true, _) => "aim",
            (false, true) => "must",
            (false, false) => "MISSED",
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, measured, unit, must, aim, .. } = self;
        if must.is_infinite() {
            return write!(f, "| {what} | {measured:.2} {unit} | – | – | – |");
        }
        let verdict = self.verdict();
        write!(f, "| {what} | {measured:.2} {unit} | {must} | {aim} | {verdict} |")
    }
}
