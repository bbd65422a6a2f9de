//! What commands change in the metadata database is recorded as the servers record it, by the name of
//! the system's user.

pub(crate) mod list;

use subak_store::read::RunRecord;
use subak_store::{NewAudit, Store, StoreError};

/// A record of a command.
pub(crate) fn by(event: &'static str) -> NewAudit {
    NewAudit { username: user(), via: "cli", event, ..NewAudit::default() }
}

/// The same, about something that is neither a DAG nor a run: `pool warehouse`.
pub(crate) fn about(event: &'static str, subject: String) -> NewAudit {
    NewAudit { subject: Some(subject), ..by(event) }
}

/// The same, about a DAG.
pub(crate) fn of_dag(event: &'static str, dag_id: &str) -> NewAudit {
    NewAudit { dag_id: Some(dag_id.to_owned()), ..by(event) }
}

/// Records what a command did to a run.
pub(crate) async fn of_run(
    store: &Store,
    event: &'static str,
    run: &RunRecord,
    extra: serde_json::Value,
) -> Result<(), StoreError> {
    let audit = NewAudit {
        run_id: Some(run.run_id.clone()),
        extra: Some(extra),
        ..of_dag(event, &run.dag_id)
    };
    store.audit_add(&audit).await
}

/// Who runs the command.
fn user() -> String {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let id = || format!("uid {}", rustix::process::getuid().as_raw());
    named.filter(|name| !name.is_empty()).unwrap_or_else(id)
}
