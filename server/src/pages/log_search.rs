//! Looking for a text in the whole log, and the lines around one that was found.

use std::collections::VecDeque;

use serde::Deserialize;
use subak_store::{Store, StoreError};
use subak_web::log::{LogHit, LogSearch, marked};
use subak_web::text::Text;
use subak_web::url::encode;

use crate::try_log::{Place, TryLog};

/// Lines that are found of one page.
const HITS_MOST: usize = 100;
/// Lines shown before and after one that was found, and bytes of them.
const LINES_BEFORE: u64 = 200;
const LINES_AFTER: u64 = 800;
const BYTES_MOST: usize = 1 << 20;
/// Parts read for them: the first one has the line.
const PARTS_MOST: usize = 3;

/// What an address asks for.
#[derive(Debug, Deserialize)]
pub(super) struct Seek {
    #[serde(default)]
    pub(super) find: String,
    /// Behind which place the search goes on.
    #[serde(default)]
    after: String,
    /// The place whose line is shown with those around it.
    #[serde(default)]
    at: String,
}

/// The lines around one that was found.
pub(super) struct Around {
    pub(super) markup: String,
    /// In words, and where the log's end is.
    pub(super) told: (String, String),
}

impl Seek {
    /// Looks for the text, if there is one; `href` is the page of the try.
    pub(super) async fn search(
        &self,
        store: &Store,
        log: TryLog,
        href: &str,
        t: &'static Text,
    ) -> Result<Option<LogSearch>, StoreError> {
        let wanted = self.find.trim();
        if wanted.is_empty() {
            return Ok(None);
        }
        let after = Place::parse(&self.after).unwrap_or(Place::FIRST);
        let found = log.find(store, wanted, after, HITS_MOST).await?;
        let same = format!("{href}&find={}", encode(wanted));
        let hit = |it: crate::try_log::Hit| LogHit {
            number: it.place.line,
            href: format!("{same}&after={after}&at={}#line", it.place),
            text: it.text,
        };
        let more = found
            .next
            .map(|next| (t.fill(t.hits_go_on, next.line), format!("{same}&after={next}#log-hits")));
        Ok(Some(LogSearch {
            t,
            title: t.fill(t.hits_title, wanted),
            hits: found.hits.into_iter().map(hit).collect(),
            more,
        }))
    }

    /// Reads the lines around the chosen one, if one is chosen.
    pub(super) async fn around(
        &self,
        store: &Store,
        log: TryLog,
        href: &str,
        t: &'static Text,
    ) -> Result<Option<Around>, StoreError> {
        let Some(place) = Place::parse(&self.at) else { return Ok(None) };
        let mut first = place.line.saturating_sub(LINES_BEFORE).max(place.number);
        let last = place.line + LINES_AFTER;
        let (mut from, mut number, mut bytes) = (place.from, place.number, 0);
        let mut lines = VecDeque::new();
        'read: for _ in 0..PARTS_MOST {
            let part = log.read(store, from).await?;
            let count = part.lines.len() as u64;
            for (line, mut said) in (number..).zip(part.lines) {
                said.truncate(BYTES_MOST);
                bytes += if line < first { 0 } else { said.len() };
                // The line itself is shown whatever stands before it.
                if line > last || (line > place.line && bytes > BYTES_MOST) {
                    break 'read;
                }
                if line >= first {
                    lines.push_back(said);
                }
                while line <= place.line && bytes > BYTES_MOST / 2 && lines.len() > 1 {
                    let Some(dropped) = lines.pop_front() else { break };
                    bytes -= dropped.len();
                    first += 1;
                }
            }
            (from, number) = (part.next, number + count);
            if !part.more {
                break;
            }
        }
        let told = (t.fill(t.log_around, place.line), format!("{href}#log"));
        Ok(Some(Around { markup: marked(&Vec::from(lines), first, place.line), told }))
    }
}
