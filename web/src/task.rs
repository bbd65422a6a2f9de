//! The page of one task instance: its log as it comes, its tries, and what it handed on.

use askama::Template;

use crate::badge::Badge;
use crate::dataset::DatasetView;
use crate::format::Stamp;
use crate::frame::Frame;
use crate::log::LogSearch;
use crate::pager::Pager;
use crate::render;
use crate::text::Text;

/// The page.
#[derive(Debug, Template)]
#[template(path = "task.html")]
pub struct TaskPage<'a> {
    pub frame: Frame<'a>,
    pub dag_id: String,
    pub dag_href: String,
    pub run_id: String,
    pub run_href: String,
    pub task_id: String,
    /// Of an instance of a mapped task: where the others are.
    pub map_href: Option<String>,
    pub live: TaskLive,
    pub tries: Vec<TryLink>,
    /// Markup made by [`crate::log::markup`].
    pub log: String,
    pub log_cut: bool,
    /// It is not the end of the log, but what is around a line: in words, and where the end is.
    pub log_around: Option<(String, String)>,
    /// What was looked for in the whole log, and where it is looked for.
    pub find: String,
    pub find_action: String,
    pub try_number: i32,
    pub map_index: i32,
    pub search: Option<LogSearch>,
    /// The whole log as text.
    pub log_href: String,
    /// The same as a file.
    pub download_href: String,
    /// Where its rest comes from; empty when it is complete.
    pub events: String,
    pub note: String,
    /// Where the note is changed.
    pub note_action: Option<String>,
    /// Markup made by [`crate::settings::markup`].
    pub settings: String,
    /// What the shown try made of its templates; markup, too. Empty: it has none.
    pub rendered: String,
    pub upstream: Vec<Neighbour>,
    pub downstream: Vec<Neighbour>,
    pub xcoms: Vec<XComView>,
    pub xcoms_pager: Pager,
    pub datasets: Vec<DatasetView>,
    pub datasets_pager: Pager,
}

/// The part of the page that changes while the task runs.
#[derive(Debug, Clone, Template)]
#[template(path = "task_live.html")]
pub struct TaskLive {
    pub t: &'static Text,
    /// What it is called; of an instance of a mapped task with its index.
    pub name: String,
    /// It is an older try: in words, and where the newest is.
    pub not_newest: Option<(String, String)>,
    pub badge: Badge,
    pub operator: String,
    pub tries: String,
    pub started: Option<Stamp>,
    pub ended: Option<Stamp>,
    pub due: Option<Stamp>,
    pub took: String,
    pub since: String,
    /// How far a running try is.
    pub progress: String,
    pub worker: String,
    pub exit_code: Option<String>,
    pub error: String,
    pub rejected: Option<String>,
    /// Its dead letters.
    pub letters_href: String,
    /// Where it is marked as ended.
    pub mark_action: Option<String>,
    /// It has not begun, or waits.
    pub waits: bool,
    /// Why it waits, or why it ran. Markup made by [`crate::why::markup`].
    pub why: Vec<String>,
    pub clear_action: Option<String>,
}

/// A try to look at.
#[derive(Debug, Clone)]
pub struct TryLink {
    pub label: String,
    pub href: String,
    pub badge: Badge,
    pub is_shown: bool,
}

/// A task beside this one.
#[derive(Debug, Clone)]
pub struct Neighbour {
    pub name: String,
    pub href: String,
    pub badge: Badge,
}

/// A value that was handed on.
#[derive(Debug, Clone)]
pub struct XComView {
    pub key: String,
    pub value: String,
}

impl TaskLive {
    /// Returns its markup without what changes by time alone, so that two looks can be compared.
    #[must_use]
    pub fn timeless(&self) -> String {
        let mut it = self.clone();
        for stamp in [&mut it.started, &mut it.ended, &mut it.due].into_iter().flatten() {
            stamp.relative.clear();
        }
        it.took.clear();
        it.markup()
    }

    /// Returns its markup.
    #[must_use]
    pub fn markup(&self) -> String {
        render(self)
    }
}

impl TaskPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

/// Returns a message of the page's stream: the part that changed and new lines of the log, in the
/// place of the old ones when a new try has begun.
#[must_use]
pub fn update(lines: &str, is_new_try: bool, live: &TaskLive) -> String {
    let mut message = format!(
        "<hx-partial hx-target=\"#task-live\" hx-swap=\"innerMorph\">{}</hx-partial>",
        live.markup()
    );
    if is_new_try || !lines.is_empty() {
        let swap = if is_new_try { "innerHTML" } else { "beforeend" };
        message.push_str("<hx-partial hx-target=\"#log\" hx-swap=\"");
        message.push_str(swap);
        message.push_str("\">");
        message.push_str(lines);
        message.push_str("</hx-partial>");
    }
    message
}
