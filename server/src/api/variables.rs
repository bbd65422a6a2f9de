//! Variables, in Airflow's shapes. Values whose names tell that they are secret are never shown.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subak_core::problem::Problem;
use subak_core::variable::{MASK, is_secret, problem, veil};
use subak_store::{ListedVariable, Variable, VariableOrder};

use super::kept::{Digest, Kept, digest, missing, no_team, wrong};
use super::mask::{Mask, clearable};
use super::paging::{List, Listed, Listing, text};
use crate::app::App;
use crate::extract::{Json, Query};
use crate::problem::ApiError;

#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    variable_key_pattern: Option<String>,
    variable_key_prefix_pattern: Option<String>,
}

/// Airflow's `VariableBody`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    key: String,
    value: Value,
    #[serde(default, deserialize_with = "clearable")]
    #[schemars(with = "Option<String>")]
    description: Option<Option<String>>,
    team_name: Option<String>,
}

/// Airflow's `VariableResponse`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "VariableResponse")]
pub(crate) struct View {
    key: String,
    /// Null: it cannot be decrypted; the description says why.
    value: Option<String>,
    description: Option<String>,
    is_encrypted: bool,
    team_name: Option<String>,
    /// Tells whether the value is another one, where it is not shown.
    #[serde(skip)]
    digest: Digest,
}

/// What variables are ordered by: all are encrypted, and of no team.
const ORDERS: &[(&str, VariableOrder)] = &[
    ("key", VariableOrder::Key),
    ("_key", VariableOrder::Key),
    ("id", VariableOrder::Key),
    ("_val", VariableOrder::Value),
    ("description", VariableOrder::Description),
    ("is_encrypted", VariableOrder::Nothing),
    ("team_name", VariableOrder::Nothing),
];

impl Listed for View {
    const PLURAL: &'static str = "variables";
}

pub(super) async fn list(
    State(app): State<App>,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let part = listing.part;
    let orders = listing.orders(ORDERS)?;
    let wanted = text(query.variable_key_pattern, query.variable_key_prefix_pattern);
    let key = app.actions.key()?;
    let page = app.store.variables(key, &wanted, &orders, part.limit, part.offset).await?;
    Ok(Json(List::of(page)))
}

impl Kept for Body {
    const KIND: &'static str = "variable";
    const NAME: &'static str = "key";
    const FIELDS: &'static [&'static str] = &["key", "value", "description", "team_name"];

    type View = View;
    type Patch = Self;

    fn name(&self) -> &str {
        &self.key
    }

    fn name_of(patch: &Self) -> Option<&str> {
        Some(&patch.key)
    }

    async fn find(app: &App, name: &str) -> Result<Option<View>, ApiError> {
        Ok(variable(app, name).await?.map(View::from))
    }

    async fn put(&self, app: &App) -> Result<(), ApiError> {
        let (text, key) = (checked(self)?, app.actions.key()?);
        let description = self.description.as_ref().map(|text| text.as_deref().unwrap_or_default());
        app.store.variable_put(key, &self.key, &text, description, true).await?;
        Ok(())
    }

    async fn change(app: &App, name: &str, patch: Self, mask: &Mask) -> Result<(), ApiError> {
        let known = variable(app, name).await?.ok_or_else(|| missing::<Self>(name))?;
        let value = if mask.has("value") { patch.value } else { Value::String(known.value) };
        let description = patch.description.filter(|_| mask.has("description"));
        Self { value, description, ..patch }.put(app).await
    }

    /// Which values are secret their names only suggest: none is recorded.
    fn recorded(now: &View, before: Option<&View>) -> Value {
        let mut recorded = json!(now);
        recorded["value"] = veil(before.is_some_and(|it| it.digest != now.digest)).into();
        recorded
    }

    async fn remove(app: &App, name: &str) -> Result<bool, ApiError> {
        Ok(app.store.variable_remove(name).await?)
    }
}

/// The value as it is kept: a text as it is, anything else as JSON.
fn checked(body: &Body) -> Result<String, ApiError> {
    no_team(body.team_name.as_deref())?;
    let text = match &body.value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match problem(&body.key, &text) {
        Some(why @ Problem::VariableName { .. }) => Err(wrong("key", why)),
        Some(why) => Err(wrong("value", why)),
        None => Ok(text),
    }
}

async fn variable(app: &App, name: &str) -> Result<Option<Variable>, ApiError> {
    let key = app.actions.key()?;
    Ok(app.store.variables_open(key, &[name.to_owned()]).await?.into_iter().next())
}

impl From<Variable> for View {
    fn from(it: Variable) -> Self {
        Self {
            digest: digest(&it.value),
            value: Some(if is_secret(&it.key) { MASK.to_owned() } else { it.value }),
            key: it.key,
            description: it.description,
            is_encrypted: true,
            team_name: None,
        }
    }
}

impl From<ListedVariable> for View {
    fn from(it: ListedVariable) -> Self {
        let ListedVariable { key, value, description, updated_at } = it;
        match value {
            Ok(value) => Variable { key, value, description, updated_at }.into(),
            Err(sealed) => Self {
                digest: digest(""),
                value: None,
                key,
                description: Some(sealed.beside(description.as_deref())),
                is_encrypted: true,
                team_name: None,
            },
        }
    }
}
