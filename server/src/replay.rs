//! What goes through again: dead letters, in a run of the DAG for each task that has rejected some, and
//! ranges of topics.

use serde_json::{Map, Value, json};
use subak_core::dag::replay::{range_sinks, sinks};
use subak_core::ids::DagId;
use subak_core::letter::REPLAY_KEY;
use subak_store::read::LetterFilter;
use subak_store::{LetterGroup, NewReplay, NotReplayable, Store, StoreError};
use uuid::Uuid;

use crate::engine::{Engine, Trigger, TriggerError};

/// Runs that one request makes at most.
const RUNS_MOST: usize = 20;

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub filter: LetterFilter,
    /// `ui`, `rest_api`, `cli`.
    pub triggered_by: &'static str,
    pub user: Option<String>,
    /// Values of params for the runs.
    pub conf: Map<String, Value>,
}

/// A run that takes dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub dag_id: String,
    pub task_id: String,
    pub run_id: String,
    pub letters: i64,
}

/// Why nothing goes through again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The message says what became of those that were asked for.
    #[error("{0}")]
    Nothing(String),
    /// The DAG as it is cannot take them.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Trigger(#[from] TriggerError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who wants a range loaded once more.
#[derive(Debug, Clone)]
pub struct WantedRange {
    pub id: i64,
    /// `ui`, `rest_api`, `cli`.
    pub triggered_by: &'static str,
    pub user: Option<String>,
}

/// Makes a run that loads a range of a topic once more; returns the DAG's id and the run's.
pub async fn replay_range(
    store: &Store,
    engine: &Engine,
    wanted: &WantedRange,
) -> Result<(String, String), ReplayError> {
    let WantedRange { id, triggered_by, user } = wanted;
    let past = store.range_get(*id).await?.ok_or_else(|| {
        ReplayError::Nothing(format!(
            "there is no range {id}: `subak ranges list --dag ID` shows those of a DAG"
        ))
    })?;
    let (dag_id, sequence) = (&past.dag_id, past.range.sequence);
    if past.state == "open" {
        return Err(ReplayError::Refused(format!(
            "range {sequence} of `{dag_id}` is not in all of its loads yet: the next run reads it anyway"
        )));
    }
    let gone = || ReplayError::Refused(format!("DAG `{dag_id}` does not exist any more"));
    let dag = store.dag_get(dag_id).await?.ok_or_else(gone)?;
    let version = store.version_get(dag.dag, dag.version).await?.ok_or_else(gone)?;
    let sinks = range_sinks(&version.model, &past.task_id)
        .map_err(|why| ReplayError::Refused(format!("range {sequence} of `{dag_id}`: {why}")))?;
    let run_id = format!("replay__{}", Uuid::now_v7().simple());
    store.range_again(&past, &sinks, &run_id).await?;
    let topic = &past.range.topic;
    let conf = json!({REPLAY_KEY: {"range": sequence, "task": past.task_id, "topic": topic}});
    let trigger = Trigger {
        run_id: Some(run_id.clone()),
        user: user.clone(),
        note: Some(format!("replays range {sequence} of topic {topic}")),
        ..Trigger::manual(DagId(dag_id.clone()), triggered_by, conf)
    };
    engine.run_trigger(trigger).await?;
    Ok((past.dag_id, run_id))
}

/// Makes runs that take the dead letters that are asked for and open, each once.
pub async fn replay(
    store: &Store,
    engine: &Engine,
    wanted: &Wanted,
) -> Result<Vec<Started>, ReplayError> {
    let groups = store.letter_groups(&wanted.filter).await?;
    let mut checked = Vec::new();
    for group in groups {
        let sinks = sinks_of(store, &group).await?;
        checked.push((group, sinks));
    }
    let mut started = Vec::new();
    for (group, sinks) in &checked {
        while started.len() < RUNS_MOST {
            let run_id = format!("replay__{}", Uuid::now_v7().simple());
            let begun = store.replay_begin(group, &wanted.filter, sinks, &run_id).await?;
            let Some(begun) = begun else { break };
            engine.run_trigger(trigger(group, wanted, &run_id, begun)).await?;
            let (dag_id, task_id) = (group.dag_id.clone(), group.task_id.clone());
            started.push(Started { dag_id, task_id, run_id, letters: begun.letters });
        }
    }
    if started.is_empty() {
        let why = store.letters_not_replayable(&wanted.filter).await?;
        return Err(ReplayError::Nothing(explained(&why)));
    }
    Ok(started)
}

async fn sinks_of(store: &Store, group: &LetterGroup) -> Result<Vec<String>, ReplayError> {
    let gone = || ReplayError::Refused(format!("DAG `{}` does not exist any more", group.dag_id));
    let dag = store.dag_get(&group.dag_id).await?.ok_or_else(gone)?;
    let version = store.version_get(dag.dag, dag.version).await?.ok_or_else(gone)?;
    sinks(&version.model, &group.task_id).map_err(|why| {
        let LetterGroup { dag_id, task_id, .. } = group;
        ReplayError::Refused(format!("dead letters of `{dag_id}` / `{task_id}`: {why}"))
    })
}

fn trigger(group: &LetterGroup, wanted: &Wanted, run_id: &str, begun: NewReplay) -> Trigger {
    let NewReplay { id, letters } = begun;
    let mut conf = wanted.conf.clone();
    let about = json!({"id": id, "task": group.task_id, "dead_letters": letters});
    conf.insert(REPLAY_KEY.to_owned(), about);
    Trigger {
        run_id: Some(run_id.to_owned()),
        user: wanted.user.clone(),
        note: Some(format!("replays {letters} dead letters of task {}", group.task_id)),
        ..Trigger::manual(DagId(group.dag_id.clone()), wanted.triggered_by, Value::Object(conf))
    }
}

/// What became of dead letters of which none is open.
fn explained(why: &NotReplayable) -> String {
    if why.all == 0 {
        return "no dead letter is like that: see `subak deadletters list`".to_owned();
    }
    let taken = match &why.taken_by {
        Some(run) => format!("taken by run `{run}` now"),
        None => "taken by a run now".to_owned(),
    };
    let parts = [
        (why.replayed, "replayed already"),
        (why.taken, taken.as_str()),
        (why.unsettled, "of records that are not loaded yet: they are read anew with those"),
        (why.cut, "too large: only their first MiB was kept"),
        (why.superseded, "superseded: their task was cleared, or has read them anew"),
        (why.dismissed, "dismissed"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    format!("nothing is open to be replayed: {}", parts.join("; "))
}
