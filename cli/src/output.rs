//! What people read: lines and tables on standard output.

use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::{Args, ValueEnum};
use serde::Serialize;

/// For whom a command prints.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// Tables are for people, JSON is for programs.
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// The same as --output json.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// What lists show: a row of a table for people, and JSON for programs.
pub(crate) trait Row: Serialize {
    const HEADING: &'static [&'static str];

    /// As many as the heading has; a column in which all are empty is left out.
    fn cells(&self) -> Vec<String>;
}

impl Output {
    pub(crate) fn is_json(self) -> bool {
        self.json || self.output == Format::Json
    }

    /// Prints a list.
    pub(crate) fn list<T: Row>(self, items: &[T]) -> anyhow::Result<()> {
        if self.is_json() {
            return json(&items);
        }
        let mut table = Table::new(T::HEADING);
        for item in items {
            table.row(item.cells());
        }
        Ok(table.print()?)
    }

    /// Prints how many more there are than a table shows.
    pub(crate) fn more(self, shown: usize, total: i64) -> anyhow::Result<()> {
        let more = total - i64::try_from(shown).unwrap_or(i64::MAX);
        if more > 0 && !self.is_json() {
            line(format!("{more} more: see --limit"))?;
        }
        Ok(())
    }
}

/// Writes one line to standard output.
pub(crate) fn line(text: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// Says on standard error what is odd, and stops nothing.
pub(crate) fn warn(text: impl std::fmt::Display) {
    // Nobody is left to tell if it is closed.
    let _ = writeln!(io::stderr(), "warning: {text}");
}

/// Writes a value as indented JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// An instant as people read it, in UTC.
pub(crate) fn instant(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// A span as people read it: `0.12s`, `12.3s`, `3m 05s`, `2h 07m`.
pub(crate) fn span(span: TimeDelta) -> String {
    let secs = span.num_seconds();
    match secs {
        ..10 => format!("{:.2}s", span.as_seconds_f64().max(0.0)),
        10..60 => format!("{:.1}s", span.as_seconds_f64()),
        60..3600 => format!("{}m {:02}s", secs / 60, secs % 60),
        _ => format!("{}h {:02}m", secs / 3600, secs % 3600 / 60),
    }
}

/// The span from `start` to `end`, or until `now` if it has not ended; `-` before the start.
pub(crate) fn took(
    start: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> String {
    start.map_or_else(|| "-".to_owned(), |start| span(end.unwrap_or(now) - start))
}

/// Rows under a heading, in columns as wide as they need to be; a column in which no row says anything is
/// left out.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings, in capitals.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|name| name.to_uppercase()).collect()] }
    }

    /// A table with headings that are data themselves.
    pub(crate) fn of(heading: impl IntoIterator<Item = String>) -> Self {
        Self { rows: vec![heading.into_iter().collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Writes it to standard output.
    pub(crate) fn print(&self) -> io::Result<()> {
        io::stdout().write_all(self.to_string().as_bytes())
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let is_said = |column: usize| {
            let mut cells = self.rows.iter().skip(1).filter_map(|row| row.get(column));
            self.rows.len() == 1 || cells.any(|cell| !cell.is_empty())
        };
        let widths: Vec<(usize, bool)> =
            (0..columns).map(|column| (width(column), is_said(column))).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).filter(|(_, (_, is_said))| *is_said);
            let cells: Vec<String> =
                cells.map(|(cell, (width, _))| format!("{cell:width$}")).collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_as_exact_as_they_are_short() {
        let read = |millis| span(TimeDelta::milliseconds(millis));
        assert_eq!(read(4), "0.00s");
        assert_eq!(read(8_400), "8.40s");
        assert_eq!(read(12_340), "12.3s");
        assert_eq!(read(185_000), "3m 05s");
        assert_eq!(read(7_620_000), "2h 07m");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["dag", "state"]);
        table.row(["retail_retention".to_owned(), "success".to_owned()]);
        table.row(["größer".to_owned(), "failed".to_owned()]);
        assert_eq!(
            table.to_string(),
            "DAG               STATE\nretail_retention  success\ngrößer            failed\n"
        );
    }

    #[test]
    fn a_column_that_says_nothing_is_left_out() {
        let mut table = Table::new(&["dag", "error", "state"]);
        assert_eq!(table.to_string(), "DAG  ERROR  STATE\n");
        table.row(["one".to_owned(), String::new(), "failed".to_owned()]);
        assert_eq!(table.to_string(), "DAG  STATE\none  failed\n");
    }
}
