//! What instances of mapped tasks are called: their `map_index_template`, rendered when somebody looks.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use subak_core::dag::model::{Dag, Task};
use subak_core::ids::{MapIndex, TaskId, TaskNo};
use subak_core::template::{RunContext, XComKey, render};
use subak_store::read::{InstanceRecord, RunRecord, VersionRecord};

use crate::app::App;
use crate::problem::ApiError;

/// Bytes of what a task is mapped over that are read for names; beyond it instances have none.
const SOURCE_BYTES: i64 = 16 << 20;

/// The names of instances of one task, by map index; none where there is no template, or it fails.
pub(crate) async fn labels(
    app: &App,
    run: &RunRecord,
    version: &VersionRecord,
    instances: &[InstanceRecord],
) -> Result<BTreeMap<i32, String>, ApiError> {
    let Some(first) = instances.iter().find(|it| !it.map_index.is_none()) else {
        return Ok(BTreeMap::new());
    };
    let Some(task) = version.model.task(&first.task_id) else { return Ok(BTreeMap::new()) };
    let (Some(template), Some(expand)) = (&task.map_index_template, &task.expand) else {
        return Ok(BTreeMap::new());
    };
    let in_group = is_mapped_with_group(&version.model, task);
    let mut sources: BTreeMap<TaskId, Value> = BTreeMap::new();
    for id in expand.tasks() {
        if let Some(value) = source(app, run, version, id).await? {
            sources.insert(id.clone(), value);
        }
    }
    let run = context(run, version, &first.task_id);
    let name = |it: &InstanceRecord| {
        let index = it.map_index.0;
        let item = expand.item(index, &|task| sources.get(task)).ok()?;
        let context = RunContext { map_index: index, ..run.clone() };
        let context = if in_group {
            let group = item.of_group(|| run.clone()).ok()?.group;
            RunContext { group, ..context }
        } else {
            let mut arguments: Map<String, Value> = Map::new();
            for (name, value) in item.written {
                arguments.insert(name, render(&value, &context).ok()?);
            }
            arguments.extend(item.returned);
            RunContext { arguments, ..context }
        };
        let name = match render(&Value::from(template.as_str()), &context).ok()? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Some((index, name.chars().take(250).collect()))
    };
    Ok(instances.iter().filter_map(name).collect())
}

/// Whether a task has the instances of a group around it.
fn is_mapped_with_group(dag: &Dag, task: &Task) -> bool {
    let group = task.task_group.as_deref();
    let around = std::iter::successors(group, |id| Some(id.rsplit_once('.')?.0));
    around.filter_map(|id| dag.task_groups.get(id)).any(|group| group.expand.is_some())
}

/// What a task has returned, as people see it.
async fn source(
    app: &App,
    run: &RunRecord,
    version: &VersionRecord,
    id: &TaskId,
) -> Result<Option<Value>, ApiError> {
    let Some(number) = version.numbers.get(id).copied() else { return Ok(None) };
    let is_mapped = version.model.task(id).is_some_and(|task| task.expand.is_some());
    if is_mapped {
        let (task, key) = (TaskNo(number), XComKey::RETURN_VALUE);
        let all = app.store.xcoms_gather(run.run_key, task, key, SOURCE_BYTES).await?;
        let shown = |(value, shown): (Value, Option<Value>)| shown.unwrap_or(value);
        return Ok(all.map(|all| all.into_iter().map(shown).collect()));
    }
    let all = app.store.xcom_list(run.run_key, number, MapIndex::NONE).await?;
    let found = all.into_iter().find(|xcom| xcom.key == XComKey::RETURN_VALUE);
    Ok(match found {
        Some(xcom) => Some(app.store.xcom_value(xcom).await?),
        None => None,
    })
}

fn context(run: &RunRecord, version: &VersionRecord, task_id: &TaskId) -> RunContext {
    RunContext {
        dag_id: run.dag_id.clone(),
        task_id: task_id.0.clone(),
        run_id: run.run_id.clone(),
        run_type: run.run_type.to_string(),
        logical_date: run.logical_date,
        data_interval_start: run.data_interval_start,
        data_interval_end: run.data_interval_end,
        run_after: Some(run.run_after),
        params: version.model.params_with(&run.conf).unwrap_or_else(|_| run.conf.clone()),
        conf: run.conf.clone(),
        ..RunContext::default()
    }
}
