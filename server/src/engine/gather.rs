//! What instances of mapped tasks have returned, gathered for tasks that name them, and what one instance
//! of a mapped task is given.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use serde_json::Value;
use subak_core::decide::{Item, PlanTask};
use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskId, TaskNo};
use subak_core::template::{GROUP_KEY, RenderError, RunContext, XComKey, XComOf};
use subak_proto as proto;
use subak_store::engine::HandedOver;

use super::Core;
use super::caches::Facts;

/// What a task that names a mapped one is given at most: it travels in a message.
const GATHERED_BYTES: i64 = 1 << 20;
/// What a task is mapped over has at most.
const SOURCE_BYTES: i64 = 16 << 20;

/// What the tasks have returned that one is mapped over, as it is and as people see it.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    values: BTreeMap<TaskId, Value>,
    /// Where something is hidden.
    shown: BTreeMap<TaskId, Value>,
}

impl Sources {
    /// Everything of it.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Value> {
        self.values.values().chain(self.shown.values())
    }
}

impl Core {
    /// What an instance of a mapped task is given, and how that is sent to its worker.
    pub(super) async fn item(
        &self,
        try_: &HandedOver,
        facts: &Facts,
        planned: &PlanTask,
    ) -> anyhow::Result<(Item, Option<proto::XCom>)> {
        let expand = facts.plan.spec(planned).expand.as_ref();
        let expand = expand.context("the DAG's version does not map the task")?;
        let index = try_.key.map_index.0;
        let wrong = |why: String| anyhow::anyhow!("instance {index} of the task: {why}");
        let in_group = facts.plan.is_in_group(planned);
        let of_group = |item: Item, shown: Option<Item>| {
            let sent = of_group(facts, item, shown).map_err(|error| wrong(error.to_string()))?;
            anyhow::Ok((Item::default(), Some(sent)))
        };
        if expand.tasks().next().is_none() {
            let item = expand.item(index, &|_| None).map_err(wrong)?;
            return match in_group {
                true => of_group(item, None),
                false => Ok((item, None)),
            };
        }
        let sources = self.sources(try_, facts, expand.tasks()).await?;
        let item = expand.item(index, &|task| sources.values.get(task)).map_err(wrong)?;
        let shown = match sources.shown.is_empty() {
            true => None,
            false => {
                let shown =
                    |task: &TaskId| sources.shown.get(task).or_else(|| sources.values.get(task));
                Some(expand.item(index, &shown).map_err(wrong)?)
            }
        };
        if in_group {
            return of_group(item, shown);
        }
        let shown = shown
            .map_or_else(Vec::new, |shown| Value::Object(shown.returned).to_string().into_bytes());
        let value = Value::Object(item.returned.clone()).to_string().into_bytes();
        Ok((item, Some(proto::XCom { map_index: index, value, shown, ..proto::XCom::default() })))
    }

    /// What an expansion is made of, kept in memory: each of ten thousand instances asks for it.
    async fn sources(
        &self,
        try_: &HandedOver,
        facts: &Facts,
        tasks: impl Iterator<Item = &TaskId>,
    ) -> anyhow::Result<Arc<Sources>> {
        let (run, expansion) = (try_.key.run, self.store.expansion(try_.key).await?);
        let (token, _) = expansion.context("the task is no longer expanded")?;
        if let Some(known) = self.caches.sources(token) {
            return Ok(known);
        }
        let mut sources = Sources::default();
        for id in tasks {
            let no = facts.plan.number(id).context("the DAG's version has no such task")?;
            let is_mapped = facts.plan.task(no).is_some_and(PlanTask::is_mapped);
            let (value, shown) = match is_mapped {
                true => self.gather(run, no, id, XComKey::RETURN_VALUE, SOURCE_BYTES).await?,
                false => match self.returned(run, no).await? {
                    Some(returned) => returned,
                    None => continue,
                },
            };
            sources.values.insert(id.clone(), value);
            sources.shown.extend(shown.map(|shown| (id.clone(), shown)));
        }
        Ok(self.caches.keep_sources(token, sources))
    }

    /// What a task that is not mapped has returned.
    async fn returned(
        &self,
        run: RunKey,
        task: TaskNo,
    ) -> anyhow::Result<Option<(Value, Option<Value>)>> {
        let all = self.store.xcoms_of(run, &[task.0]).await?;
        let found = all.into_iter().find(|xcom| xcom.key == XComKey::RETURN_VALUE);
        let Some(xcom) = found else { return Ok(None) };
        Ok(Some(match xcom.object {
            Some(object) => {
                let large = self.store.xcom_large(&object).await?;
                (large.value, large.shown)
            }
            None => (xcom.value, xcom.shown),
        }))
    }

    /// What the instances of a mapped task hand on under a key, in their order.
    async fn gather(
        &self,
        run: RunKey,
        task: TaskNo,
        id: &TaskId,
        key: &str,
        most: i64,
    ) -> anyhow::Result<(Value, Option<Value>)> {
        let gathered = self.store.xcoms_gather(run, task, key, most).await?;
        let gathered = gathered.with_context(|| {
            format!(
                "what the instances of task `{id}` hand on is together more than {} MiB: hand large \
                 data on as files",
                most >> 20
            )
        })?;
        let hides = gathered.iter().any(|(_, shown)| shown.is_some());
        let shown = hides.then(|| {
            gathered.iter().map(|(value, shown)| shown.as_ref().unwrap_or(value).clone()).collect()
        });
        Ok((gathered.into_iter().map(|(value, _)| value).collect(), shown))
    }

    /// What of mapped tasks a task's templates name: lists, ordered by map index; within a mapped group,
    /// what the instance with the same index has handed on.
    pub(super) async fn gathered(
        &self,
        of: InstanceKey,
        facts: &Facts,
        to: &PlanTask,
        named: &[(TaskNo, String)],
    ) -> anyhow::Result<Vec<proto::XCom>> {
        let run = of.run;
        let mut all = Vec::new();
        for (task, key) in named {
            let planned = facts.plan.task(*task).context("the DAG's version has no such task")?;
            if facts.plan.in_one_group(planned, to) {
                all.extend(self.of_same_index(of, facts, planned, key).await?);
                continue;
            }
            let id = &facts.plan.spec(planned).task_id;
            let (value, shown) = self.gather(run, *task, id, key, GATHERED_BYTES).await?;
            all.push(proto::XCom {
                task_id: id.0.clone(),
                map_index: -1,
                key: key.clone(),
                value: value.to_string().into_bytes(),
                shown: shown.map_or_else(Vec::new, |shown| shown.to_string().into_bytes()),
                ..proto::XCom::default()
            });
        }
        Ok(all)
    }

    /// What of single instances, and of earlier runs, a task's templates name.
    pub(super) async fn single(
        &self,
        run: RunKey,
        named: &[(TaskNo, XComKey)],
    ) -> anyhow::Result<Vec<proto::XCom>> {
        let mut all = Vec::new();
        for (task, name) in named {
            let map_index = match name.of {
                XComOf::Instance(index) => MapIndex(index),
                XComOf::Run | XComOf::Prior => MapIndex::NONE,
            };
            let at = InstanceKey { run, task: *task, map_index };
            let found = match self.store.xcom_of(at, &name.key).await? {
                None if name.of == XComOf::Prior => {
                    self.store.xcom_before(run, *task, &name.key).await?
                }
                found => found,
            };
            let Some(xcom) = found else { continue };
            all.push(proto::XCom {
                task_id: name.task_id.clone(),
                map_index: map_index.0,
                key: name.key.clone(),
                value: xcom.value.to_string().into_bytes(),
                shown: xcom.shown.map_or_else(Vec::new, |shown| shown.to_string().into_bytes()),
                object: xcom.object.unwrap_or_default(),
                instance: (!map_index.is_none()).then_some(map_index.0),
                prior: name.of == XComOf::Prior,
                ..proto::XCom::default()
            });
        }
        Ok(all)
    }

    /// What the instance with the same index of another task in the group has handed on under a key.
    async fn of_same_index(
        &self,
        of: InstanceKey,
        facts: &Facts,
        task: &PlanTask,
        key: &str,
    ) -> anyhow::Result<Option<proto::XCom>> {
        let at = InstanceKey { task: task.no, ..of };
        let (value, shown, object) = match key == XComKey::OUTPUT {
            true => match self.store.dataset_of(at).await? {
                Some(dataset) => (dataset, None, None),
                None => return Ok(None),
            },
            false => match self.store.xcom_of(at, key).await? {
                Some(xcom) => (xcom.value, xcom.shown, xcom.object),
                None => return Ok(None),
            },
        };
        Ok(Some(proto::XCom {
            task_id: facts.plan.spec(task).task_id.0.clone(),
            map_index: of.map_index.0,
            key: key.to_owned(),
            value: value.to_string().into_bytes(),
            shown: shown.map_or_else(Vec::new, |shown| shown.to_string().into_bytes()),
            object: object.unwrap_or_default(),
            ..proto::XCom::default()
        }))
    }
}

/// The item of a mapped group, as it is sent to the worker of an instance.
fn of_group(facts: &Facts, item: Item, shown: Option<Item>) -> Result<proto::XCom, RenderError> {
    let bytes = |item: Item| -> Result<Vec<u8>, RenderError> {
        let group = item.of_group(|| context(facts))?.group;
        Ok(Value::Object(group).to_string().into_bytes())
    };
    Ok(proto::XCom {
        key: GROUP_KEY.to_owned(),
        value: bytes(item)?,
        shown: shown.map(bytes).transpose()?.unwrap_or_default(),
        ..proto::XCom::default()
    })
}

/// What all tasks of a run see alike.
fn context(facts: &Facts) -> RunContext {
    let run = &facts.run;
    RunContext {
        dag_id: facts.plan.dag.dag_id.0.clone(),
        run_id: run.run_id.clone(),
        run_type: run.run_type.clone(),
        logical_date: run.logical_date,
        data_interval_start: run.data_interval_start,
        data_interval_end: run.data_interval_end,
        run_after: Some(run.run_after),
        params: facts.params.clone(),
        conf: run.conf.clone(),
        ..RunContext::default()
    }
}
