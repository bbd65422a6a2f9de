//! Reads a file's documents into nodes, within bounds that no honest file reaches.

use serde_saphyr::options::{DuplicateKeyPolicy, Options};
use serde_saphyr::{Error, MessageFormatter, UserMessageFormatter};

use super::node::{Kind, Node, place};
use crate::dag::diagnostic::{At, Report};
use crate::dag::page::Page;

/// Larger files are refused before they are read.
const MAX_BYTES: usize = 4 << 20;

/// Returns the documents of a file, duplicate keys and all: see [`check_keys`].
pub(crate) fn documents(text: &str, report: &Report<'_>) -> Vec<Node> {
    if text.len() > MAX_BYTES {
        let start = At { line: 1, column: 1, ..At::default() };
        report.error(
            Page::Size,
            start,
            "the file is larger than 4 MiB: split it into several DAG files",
        );
        return Vec::new();
    }
    let read = serde_saphyr::from_str_multiple_with_options::<Node, Vec<Node>>(text, options());
    read.unwrap_or_else(|error| {
        report_syntax(&error, report);
        Vec::new()
    })
}

fn options() -> Options {
    let budget = serde_saphyr::budget! {
        max_events: 4_000_000,
        max_nodes: 1_000_000,
        max_depth: 64,
        max_aliases: 100_000,
        max_anchors: 20_000,
        max_merge_keys: 40_000,
        max_total_scalar_bytes: 32 << 20,
        max_recorded_anchor_bytes: 16 << 20,
        // `<<: *defaults` on each of 5,000 tasks is honest; replayed events are bounded instead.
        enforce_alias_anchor_ratio: false,
    };
    serde_saphyr::options! {
        budget: budget,
        // YAML 1.2: `no` and `on` are texts.
        strict_booleans: true,
        // Duplicates are all reported by `check_keys`, not the first only.
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 500_000 },
        with_snippet: false,
    }
}

fn report_syntax(error: &Error, report: &Report<'_>) {
    let start = At { line: 1, column: 1, ..At::default() };
    let at = error.location().map_or(start, place);
    let mut inner = error.without_snippet();
    while let Error::AliasError { error, .. } = inner {
        inner = error;
    }
    let (page, message) = match inner {
        Error::Budget { .. } => (
            Page::Size,
            "the file is too large or nested too deeply: split it into several DAG files"
                .to_owned(),
        ),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => (
            Page::Size,
            "the file's aliases expand to far too much: write fewer or smaller ones".to_owned(),
        ),
        other => {
            let said = UserMessageFormatter.format_message(other);
            (Page::Yaml, format!("this is not valid YAML: {said}"))
        }
    };
    report.error(page, at, message);
}

/// Reports duplicate keys and keys that are not texts, and drops them.
pub(crate) fn check_keys(node: &mut Node, report: &Report<'_>) {
    match &mut node.kind {
        Kind::List(items) => items.iter_mut().for_each(|item| check_keys(item, report)),
        Kind::Map(entries) => {
            let mut lines = std::collections::HashMap::with_capacity(entries.len());
            entries.retain_mut(|(key, value)| {
                check_keys(value, report);
                if !key.is_text {
                    report.error(
                        Page::Yaml,
                        key.at,
                        format!("a key must be text: write \"{}\"", key.text),
                    );
                    return false;
                }
                if let Some(line) = lines.get(&key.text) {
                    let message =
                        format!("key {:?} is given twice, first in line {line}", key.text);
                    report.error(Page::Yaml, key.at, message);
                    return false;
                }
                lines.insert(key.text.clone(), key.at.line);
                true
            });
        }
        _ => {}
    }
}
