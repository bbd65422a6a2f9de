//! `subak audit`: who did what.

use chrono::{DateTime, Utc};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use subak_store::{Audit, AuditFilter};

use crate::exit::{Ended, Outcome};
use crate::output::{self, Output, Row};
use crate::place::{At, Place};

/// Lists who did what, the last first. At a server it needs the role Op.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak audit --dag retail_retention
  subak audit --user ana --limit 100 --output json")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Only about this DAG.
    #[arg(long, value_name = "DAG")]
    dag: Option<String>,
    /// Only about this run.
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Only what this user did.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only this, such as `trigger_dag_run`.
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    limit: u16,
    #[command(flatten)]
    output: Output,
}

/// A record, spelt as the API spells it.
#[derive(Serialize, Deserialize)]
struct Event {
    event_log_id: i64,
    when: DateTime<Utc>,
    owner: String,
    event: String,
    dag_id: Option<String>,
    run_id: Option<String>,
    task_id: Option<String>,
    map_index: Option<i32>,
    /// JSON: `via`, and what is known of `subject`, `request_id`, `before`, `after` and `request`.
    extra: Option<String>,
}

impl Row for Event {
    const HEADING: &'static [&'static str] =
        &["when", "who", "via", "what", "dag", "run", "task", "about", "after"];

    fn cells(&self) -> Vec<String> {
        let extra: Value =
            self.extra.as_deref().and_then(|it| serde_json::from_str(it).ok()).unwrap_or_default();
        let text = |name: &str| match &extra[name] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let known = |value: &Option<String>| value.clone().unwrap_or_default();
        vec![
            output::instant(Some(self.when)),
            self.owner.clone(),
            text("via"),
            self.event.clone(),
            known(&self.dag_id),
            known(&self.run_id),
            known(&self.task_id),
            text("subject"),
            text("after"),
        ]
    }
}

impl From<Audit> for Event {
    fn from(it: Audit) -> Self {
        let parts = [
            ("via", Some(json!(it.via))),
            ("subject", it.subject.map(Value::from)),
            ("request_id", it.request_id.map(Value::from)),
            ("before", it.before),
            ("after", it.after),
            ("request", it.extra),
        ];
        let extra: Map<String, Value> =
            parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Self {
            event_log_id: it.audit_id,
            when: it.at,
            owner: it.username,
            event: it.event,
            dag_id: it.dag_id,
            run_id: it.run_id,
            task_id: it.task_id,
            map_index: it.map_index,
            extra: Some(Value::Object(extra).to_string()),
        }
    }
}

pub(crate) async fn run(options: Options) -> Outcome {
    let Options { place, dag, run, user, event, limit, output } = options;
    let (events, total) = match place.open().await? {
        At::Database(store) => {
            let filter = AuditFilter {
                dag_id: dag,
                run_id: run,
                username: user,
                event,
                ..AuditFilter::default()
            };
            let page = store.audit_list(&filter, i64::from(limit), 0).await?;
            (page.items.into_iter().map(Event::from).collect::<Vec<_>>(), page.total)
        }
        At::Server(server) => {
            let mut query = vec![("order_by", "-event_log_id".to_owned())];
            let wanted = [("dag_id", dag), ("run_id", run), ("owner", user), ("event", event)];
            query.extend(wanted.into_iter().filter_map(|(name, value)| Some((name, value?))));
            let list = server.list(&["eventLogs"], "event_logs", &query, limit.into()).await?;
            (list.items, list.total)
        }
    };
    output.list(&events)?;
    output.more(events.len(), total)?;
    Ok(Ended::Success)
}
