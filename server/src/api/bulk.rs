//! Airflow's bulk requests: `{"actions": [{"action": "create", "entities": […]}]}`. What fails is told,
//! and what comes after it is done all the same.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::problem::ApiError;

/// Entities of one request.
const MOST: usize = 1_000;

/// What a resource is called in errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Connection,
    Pool,
    Variable,
}

/// What can be made, changed and removed by its name.
pub(super) trait Entity: Sized + Send + Sync {
    const KIND: Kind;

    fn name(&self) -> &str;

    fn exists(app: &App, name: &str) -> impl Future<Output = Result<bool, ApiError>> + Send;

    /// Makes it, or changes it.
    fn put(&self, app: &App) -> impl Future<Output = Result<(), ApiError>> + Send;

    fn remove(app: &App, name: &str) -> impl Future<Output = Result<(), ApiError>> + Send;
}

/// Airflow's `BulkBody_…_`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bulk<E> {
    actions: Vec<Action<E>>,
}

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
enum Action<E> {
    Create {
        entities: Vec<E>,
        #[serde(default)]
        action_on_existence: OnExistence,
    },
    Update {
        entities: Vec<E>,
        #[serde(default)]
        action_on_non_existence: OnAbsence,
    },
    Delete {
        entities: Vec<Named<E>>,
        #[serde(default)]
        action_on_non_existence: OnAbsence,
    },
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum OnExistence {
    #[default]
    Fail,
    Skip,
    Overwrite,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum OnAbsence {
    #[default]
    Fail,
    Skip,
}

/// One to remove: its name, or the whole of it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named<E> {
    Name(String),
    Whole(E),
}

/// Airflow's `BulkResponse`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Answer {
    create: Option<Done>,
    update: Option<Done>,
    delete: Option<Done>,
}

#[derive(Debug, Default, Serialize)]
struct Done {
    success: Vec<String>,
    errors: Vec<Value>,
}

impl<E: Entity> Bulk<E> {
    /// Does everything of it, in its order.
    pub(super) async fn run(self, app: &App) -> Result<Answer, ApiError> {
        let count: usize = self.actions.iter().map(Action::len).sum();
        if count > MOST {
            let why = format!("{count} entities are more than {MOST}: send them in parts");
            return Err(ApiError::BadRequest(why));
        }
        let mut answer = Answer::default();
        for action in self.actions {
            match action {
                Action::Create { entities, action_on_existence } => {
                    let done = answer.create.get_or_insert_default();
                    for it in entities {
                        done.note(it.name(), create(app, &it, action_on_existence).await);
                    }
                }
                Action::Update { entities, action_on_non_existence } => {
                    let done = answer.update.get_or_insert_default();
                    for it in entities {
                        done.note(it.name(), update(app, &it, action_on_non_existence).await);
                    }
                }
                Action::Delete { entities, action_on_non_existence } => {
                    let done = answer.delete.get_or_insert_default();
                    for it in &entities {
                        let removed = delete::<E>(app, it.name(), action_on_non_existence).await;
                        done.note(it.name(), removed);
                    }
                }
            }
        }
        Ok(answer)
    }
}

async fn create<E: Entity>(app: &App, it: &E, existing: OnExistence) -> Result<bool, ApiError> {
    if existing != OnExistence::Overwrite && E::exists(app, it.name()).await? {
        return match existing {
            OnExistence::Skip => Ok(false),
            _ => Err(ApiError::Conflict(format!("{} is there already", E::KIND.named(it.name())))),
        };
    }
    it.put(app).await.map(|()| true)
}

async fn update<E: Entity>(app: &App, it: &E, absent: OnAbsence) -> Result<bool, ApiError> {
    if !E::exists(app, it.name()).await? {
        return missing::<E>(it.name(), absent);
    }
    it.put(app).await.map(|()| true)
}

async fn delete<E: Entity>(app: &App, name: &str, absent: OnAbsence) -> Result<bool, ApiError> {
    if !E::exists(app, name).await? {
        return missing::<E>(name, absent);
    }
    E::remove(app, name).await.map(|()| true)
}

fn missing<E: Entity>(name: &str, absent: OnAbsence) -> Result<bool, ApiError> {
    match absent {
        OnAbsence::Skip => Ok(false),
        OnAbsence::Fail => Err(ApiError::NotFound(E::KIND.named(name))),
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

impl<E: Entity> Named<E> {
    fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Whole(it) => it.name(),
        }
    }
}

impl Kind {
    fn named(self, name: &str) -> String {
        let kind = match self {
            Self::Connection => "connection",
            Self::Pool => "pool",
            Self::Variable => "variable",
        };
        format!("{kind} {name}")
    }
}
