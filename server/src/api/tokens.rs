//! API tokens: everybody their own, administrators everybody's. Ours, beside Airflow's resources.

use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use subak_store::access::{Role, TokenRow, User};
use subak_store::read::TextFilter;

use super::paging::{List, Listed, Part};
use crate::accounts::{self, NewToken, invalid};
use crate::app::App;
use crate::audit::Trail;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::openapi::{Created, NoContent};
use crate::problem::{ApiError, FieldProblem};

/// As the page proposes it.
const DAYS: u32 = 90;

#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    /// Whose; left out: all that one may see.
    username: Option<String>,
}

/// A new token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    /// What it is for.
    #[schemars(length(min = 1, max = 100))]
    name: String,
    /// For whom it acts; left out: for whoever asks.
    username: Option<String>,
    /// The most that it may do: a role. Left out: all that its user may, or the token that asks.
    scope: Option<String>,
    /// How long it is good for; left out: 90.
    #[schemars(range(min = 1, max = 3650))]
    days: Option<u32>,
}

/// A token, without its secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ApiToken")]
pub(super) struct View {
    token_id: String,
    username: String,
    name: String,
    /// Null: all that its user may.
    scope: Option<String>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
}

/// A token that was made, with its secret, this once.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ApiTokenMade")]
pub(super) struct Made {
    access_token: String,
    #[serde(flatten)]
    token: View,
}

impl Listed for View {
    const PLURAL: &'static str = "tokens";
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    part: Part,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let whose = match &query.username {
        Some(name) => Some(whom(&app, &caller, name, FieldProblem::query).await?),
        None if caller.may_everywhere(Role::Admin) => None,
        None => Some(caller.user().clone()),
    };
    let all = TextFilter::default();
    let page = app.store.api_token_page(whose.as_ref(), &all, part.limit, part.offset).await?;
    Ok(Json(List::of(page)))
}

pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
    Json(body): Json<Body>,
) -> Result<Created<Json<Made>>, ApiError> {
    let user = match &body.username {
        Some(name) => whom(&app, &caller, name, FieldProblem::body).await?,
        None => caller.user().clone(),
    };
    let scope = body.scope.as_deref().map(|it| Role::parse(it).ok_or_else(not_a_scope));
    let scope = scope.transpose()?;
    let days = body.days.unwrap_or(DAYS);
    let new = NewToken { user: &user, name: &body.name, scope, days };
    let (token, secret) = accounts::token_make(&app, &caller, &trail, new).await?;
    let access_token = secret.expose().to_owned();
    Ok(Created(Json(Made { access_token, token: token.into() })))
}

/// Ends a token: one's own, or, as an administrator, anybody's.
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
    Path(id): Path<String>,
) -> Result<NoContent, ApiError> {
    let not_found = || ApiError::NotFound(format!("tokens/{id}"));
    let number = id.parse().map_err(|_| not_found())?;
    let whose = (!caller.may_everywhere(Role::Admin)).then(|| caller.user());
    let name = app.store.api_token_revoke(number, whose).await?.ok_or_else(not_found)?;
    trail.before(json!({"name": name}));
    Ok(NoContent)
}

fn not_a_scope() -> ApiError {
    invalid("scope", "is one of none, viewer, user, op, admin")
}

/// Returns the user of this name: oneself, or, for administrators, anybody. Others do not learn whether
/// there is one.
async fn whom(
    app: &App,
    caller: &Caller,
    name: &str,
    at: fn(&str, String) -> FieldProblem,
) -> Result<User, ApiError> {
    if name == caller.name() {
        return Ok(caller.user().clone());
    }
    caller.must_everywhere(Role::Admin)?;
    let found = app.store.user_named(name).await?;
    let absent = || at("username", format!("names nobody: there is no user `{name}`"));
    found.ok_or_else(|| ApiError::Invalid(vec![absent()]))
}

impl From<TokenRow> for View {
    fn from(it: TokenRow) -> Self {
        Self {
            token_id: it.token_id.to_string(),
            username: it.username,
            name: it.name,
            scope: it.scope,
            created_at: it.created_at,
            expires_at: it.expires_at,
            last_used_at: it.last_used_at,
        }
    }
}
