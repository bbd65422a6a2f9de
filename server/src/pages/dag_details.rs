//! What a DAG's file says of it, but for its tasks.

use chrono::{DateTime, Utc};
use subak_core::dag::model::Param;
use subak_store::read::DagRecord;
use subak_web::dag::Details;
use subak_web::format::cut;
use subak_web::text::Text;

/// A default and the documentation are cut at this many characters.
const DEFAULT_CHARS: usize = 500;
const DOC_CHARS: usize = 50_000;

/// Returns them as the page shows them, but for what stands at its top.
pub(super) fn details(dag: &DagRecord, t: &'static Text) -> Details {
    let head = &dag.head;
    let local = |at: Option<DateTime<Utc>>| {
        let at = at.map(|at| at.with_timezone(&head.timezone));
        at.map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M %Z").to_string())
    };
    let facts = [
        (t.timezone, head.timezone.name().to_owned()),
        (t.catchup, if head.catchup { t.yes } else { t.no }.to_owned()),
        (t.start_date, local(head.start_date)),
        (t.end_date, local(head.end_date)),
        (t.max_active_runs, head.max_active_runs.to_string()),
        (t.max_active_tasks, head.max_active_tasks.to_string()),
    ];
    let default = |param: &Param| match &param.default {
        Some(value) => cut(&value.to_string(), DEFAULT_CHARS),
        None => t.required.to_owned(),
    };
    Details {
        facts: facts.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
        params: head.params_in_order().map(|(name, it)| (name.clone(), default(it))).collect(),
        doc: cut(head.doc_md.as_deref().unwrap_or_default().trim(), DOC_CHARS),
    }
}
