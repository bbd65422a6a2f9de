//! Airflow's bulk requests: `{"actions": [{"action": "create", "entities": […]}]}`. What fails is told,
//! and what comes after it is done all the same.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::kept::{self, Kept};
use super::mask::Mask;
use crate::app::App;
use crate::audit::Trail;
use crate::problem::ApiError;

/// Entities of one request.
const MOST: usize = 1_000;

/// Entities of which the audit log has how they were and are.
const NOTED_MOST: usize = 100;

/// Airflow's `BulkBody_…_`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Bulk<E> {
    actions: Vec<Action<E>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "lowercase", deny_unknown_fields)]
enum Action<E> {
    Create {
        entities: Vec<E>,
        #[serde(default)]
        action_on_existence: OnExistence,
    },
    Update {
        entities: Vec<E>,
        #[serde(default)]
        update_mask: Option<Vec<String>>,
        #[serde(default)]
        action_on_non_existence: OnAbsence,
    },
    Delete {
        entities: Vec<Named<E>>,
        #[serde(default)]
        action_on_non_existence: OnAbsence,
    },
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum OnExistence {
    #[default]
    Fail,
    Skip,
    Overwrite,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum OnAbsence {
    #[default]
    Fail,
    Skip,
}

/// One to remove: its name, or the whole of it.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Named<E> {
    Name(String),
    Whole(E),
}

/// Airflow's `BulkResponse`.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "BulkResponse")]
pub(super) struct Answer {
    create: Option<Done>,
    update: Option<Done>,
    delete: Option<Done>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "BulkActionResponse")]
struct Done {
    success: Vec<String>,
    errors: Vec<Value>,
}

impl<E: Kept> Bulk<E> {
    /// Does everything of it, in its order.
    pub(super) async fn run(self, app: &App, trail: &Trail) -> Result<Answer, ApiError> {
        let count: usize = self.actions.iter().map(Action::len).sum();
        if count > MOST {
            let why = format!("{count} entities are more than {MOST}: send them in parts");
            return Err(ApiError::BadRequest(why));
        }
        let (mut answer, mut changes) = (Answer::default(), Changes::default());
        for action in self.actions {
            match action {
                Action::Create { entities, action_on_existence } => {
                    let done = answer.create.get_or_insert_default();
                    for it in entities {
                        let before = seen::<E>(app, it.name()).await;
                        let made = create(app, &it, action_on_existence).await;
                        changes.note::<E>(app, it.name(), before, &made).await;
                        done.note(it.name(), made);
                    }
                }
                Action::Update { entities, update_mask, action_on_non_existence } => {
                    let mask = Mask::of(update_mask.unwrap_or_default());
                    let done = answer.update.get_or_insert_default();
                    for it in entities {
                        let name = it.name().to_owned();
                        let before = seen::<E>(app, &name).await;
                        let changed = update(app, it, &mask, action_on_non_existence).await;
                        changes.note::<E>(app, &name, before, &changed).await;
                        done.note(&name, changed);
                    }
                }
                Action::Delete { entities, action_on_non_existence } => {
                    let done = answer.delete.get_or_insert_default();
                    for it in &entities {
                        let before = seen::<E>(app, it.name()).await;
                        let removed = delete::<E>(app, it.name(), action_on_non_existence).await;
                        changes.note::<E>(app, it.name(), before, &removed).await;
                        done.note(it.name(), removed);
                    }
                }
            }
        }
        trail.before(changes.before);
        trail.after(changes.after);
        Ok(answer)
    }
}

/// How entities were and are, by name, for the audit log.
#[derive(Default)]
struct Changes {
    before: Map<String, Value>,
    after: Map<String, Value>,
}

impl Changes {
    /// Notes an entity that was changed.
    async fn note<E: Kept>(
        &mut self,
        app: &App,
        name: &str,
        before: Option<E::View>,
        done: &Result<bool, ApiError>,
    ) {
        let is_room = self.before.len().max(self.after.len()) < NOTED_MOST;
        if !matches!(done, Ok(true)) || !is_room {
            return;
        }
        let after = seen::<E>(app, name).await.map(|now| E::recorded(&now, before.as_ref()));
        // What one request changes twice was as it was at first.
        if let Some(before) = before
            && !self.before.contains_key(name)
            && !self.after.contains_key(name)
        {
            self.before.insert(name.to_owned(), E::recorded(&before, None));
        }
        match after {
            Some(after) => drop(self.after.insert(name.to_owned(), after)),
            None => drop(self.after.remove(name)),
        }
    }
}

/// An entity as it is shown, without secrets.
async fn seen<E: Kept>(app: &App, name: &str) -> Option<E::View> {
    E::find(app, name).await.ok().flatten()
}

async fn create<E: Kept>(app: &App, it: &E, existing: OnExistence) -> Result<bool, ApiError> {
    if existing != OnExistence::Overwrite && E::find(app, it.name()).await?.is_some() {
        return match existing {
            OnExistence::Skip => Ok(false),
            _ => Err(kept::exists::<E>(it.name())),
        };
    }
    it.put(app).await.map(|()| true)
}

async fn update<E: Kept>(
    app: &App,
    it: E,
    mask: &Mask,
    absent: OnAbsence,
) -> Result<bool, ApiError> {
    let name = it.name().to_owned();
    match kept::change::<E>(app, &name, it.into(), mask).await {
        Err(ApiError::NotFound(_)) if absent == OnAbsence::Skip => Ok(false),
        done => done.map(|()| true),
    }
}

async fn delete<E: Kept>(app: &App, name: &str, absent: OnAbsence) -> Result<bool, ApiError> {
    match E::remove(app, name).await? {
        false if absent == OnAbsence::Fail => Err(kept::missing::<E>(name)),
        removed => Ok(removed),
    }
}

impl Done {
    /// Notes how it went; what was passed over is in neither list.
    fn note(&mut self, name: &str, done: Result<bool, ApiError>) {
        match done {
            Ok(true) => self.success.push(name.to_owned()),
            Ok(false) => {}
            Err(error) => {
                let status = error.shape().status.as_u16();
                self.errors
                    .push(json!({ "error": error.said(), "status_code": status, "name": name }));
            }
        }
    }
}

impl<E> Action<E> {
    fn len(&self) -> usize {
        match self {
            Self::Create { entities, .. } | Self::Update { entities, .. } => entities.len(),
            Self::Delete { entities, .. } => entities.len(),
        }
    }
}

impl<E: Kept> Named<E> {
    fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Whole(it) => it.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_its_own_fields_and_no_others() {
        let is_read = |action: Value| {
            serde_json::from_value::<Bulk<String>>(json!({ "actions": [action] })).is_ok()
        };
        assert!(is_read(
            json!({"action": "create", "entities": [], "action_on_existence": "skip"})
        ));
        assert!(is_read(json!({"action": "update", "entities": ["a"], "update_mask": null})));
        assert!(is_read(json!({"action": "delete", "entities": ["a"]})));
        assert!(!is_read(json!({"action": "create", "entities": [], "on_existence": "skip"})));
        assert!(!is_read(json!({"action": "delete", "entities": [], "update_mask": ["a"]})));
        assert!(!is_read(json!({"action": "merge", "entities": []})));
    }
}
