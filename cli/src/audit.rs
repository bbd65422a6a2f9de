//! What commands change in the metadata database is recorded as the servers record it, by the name of
//! the system's user.

pub(crate) mod list;

use serde_json::{Value, json};
use subak_core::ids::TaskNo;
use subak_server::selection::Selected;
use subak_store::read::{InstanceRecord, RunRecord};
use subak_store::{NewAudit, Store, StoreError};

/// Task instances of which a record tells how they stand.
const INSTANCES_MOST: usize = 100;

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

/// Adds a record, with how things were and how they are; null: there is nothing. Never with secrets.
pub(crate) async fn add(
    store: &Store,
    of: NewAudit,
    before: Value,
    after: Value,
) -> Result<(), StoreError> {
    let told = |value: Value| Some(value).filter(|it| !it.is_null());
    store.audit_add(&NewAudit { before: told(before), after: told(after), ..of }).await
}

/// Records what a command did to a run, which was like this before.
pub(crate) async fn of_run(
    store: &Store,
    event: &'static str,
    run: &RunRecord,
    extra: Value,
) -> Result<(), StoreError> {
    let stands = |run: &RunRecord| json!({"state": run.state, "note": run.note});
    let after = store.run_get(&run.dag_id, &run.run_id).await?;
    let of = NewAudit { extra: Some(extra), ..about_run(event, run) };
    add(store, of, stands(run), after.as_ref().map_or(Value::Null, stands)).await
}

/// The same of tasks of a run, which stood like this before.
pub(crate) async fn of_tasks(
    store: &Store,
    event: &'static str,
    one: &Selected,
    before: Value,
    extra: Value,
) -> Result<(), StoreError> {
    let of = NewAudit { extra: Some(extra), ..about_run(event, &one.run) };
    let after = states(store, one).await?;
    add(store, of, before, after).await
}

/// How the instances of tasks stand, the first of them.
pub(crate) async fn states(store: &Store, one: &Selected) -> Result<Value, StoreError> {
    let all = store.instance_list(&one.run, &one.version).await?;
    let state = |it: &InstanceRecord| {
        let (task_id, map_index) = (&it.task_id, it.map_index);
        json!({"task_id": task_id, "map_index": map_index, "state": it.state})
    };
    let found = all.iter().filter(|it| one.tasks.contains(&TaskNo(it.task)));
    Ok(found.take(INSTANCES_MOST).map(state).collect())
}

/// A record about a run.
pub(crate) fn about_run(event: &'static str, run: &RunRecord) -> NewAudit {
    NewAudit { run_id: Some(run.run_id.clone()), ..of_dag(event, &run.dag_id) }
}

/// Who runs the command.
fn user() -> String {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let id = || format!("uid {}", rustix::process::getuid().as_raw());
    named.filter(|name| !name.is_empty()).unwrap_or_else(id)
}
