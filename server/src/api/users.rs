//! Users, and what they may do: for administrators. Airflow leaves them to its auth managers: ours, beside
//! its resources.

use axum::extract::State;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use subak_core::variable::{MASK, veil};
use subak_store::access::{Grant, User};

use super::paging::{List, Listed, Part, text};
use crate::accounts::{self, LINK_LIFE, grant_on, invalid, named, refused, role_of};
use crate::app::App;
use crate::audit::Trail;
use crate::auth::{Caller, sign_in_path};
use crate::extract::{Json, Path, Query};
use crate::openapi::{Created, NoContent};
use crate::problem::{ApiError, FieldProblem};

#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    username_pattern: Option<String>,
    username_prefix_pattern: Option<String>,
}

/// A new user.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    username: String,
    /// `none`, `viewer`, `user`, `op`, `admin`.
    role: String,
    /// Left out: they sign in by a link that is good once.
    password: Option<String>,
}

/// What is changed of a user; what is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchBody {
    role: Option<String>,
    /// Their browser sessions end.
    password: Option<String>,
}

/// A role for one DAG, or for all that have a tag.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantBody {
    /// `viewer`, `user`, `op`.
    role: String,
    dag_id: Option<String>,
    tag: Option<String>,
}

/// What a grant is for: one of them.
#[derive(Deserialize, JsonSchema)]
pub(super) struct GrantQuery {
    dag_id: Option<String>,
    tag: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub(super) struct View {
    username: String,
    /// For all DAGs, and for what belongs to none.
    role: String,
    grants: Vec<GrantView>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UserGrant")]
struct GrantView {
    role: String,
    dag_id: Option<String>,
    tag: Option<String>,
}

/// Signs in once, within a day.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SignInLink")]
pub(super) struct Link {
    /// Below the server's address.
    path: String,
}

impl Listed for View {
    const PLURAL: &'static str = "users";
}

pub(super) async fn list(
    State(app): State<App>,
    part: Part,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let wanted = text(query.username_pattern, query.username_prefix_pattern);
    let page = app.store.user_page(&wanted, part.limit, part.offset).await?;
    let ids: Vec<_> = page.items.iter().map(|user| user.user_id).collect();
    let grants = app.store.grants_of(&ids, i64::MAX).await?;
    Ok(Json(List::<User>::of(page).map(|user| View::new(&user, &grants))))
}

pub(super) async fn get(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<View>, ApiError> {
    Ok(Json(view(&app, &name).await?))
}

pub(super) async fn create(
    State(app): State<App>,
    trail: Trail,
    Json(body): Json<Body>,
) -> Result<Created<Json<View>>, ApiError> {
    let role = role_of(&body.role)?;
    let password = body.password.map(SecretString::from);
    let _turn = match password {
        Some(_) => Some(app.logins.turn().await?),
        None => None,
    };
    let made = app.store.user_create(&body.username, password.as_ref(), role).await;
    let made = View::new(&made.map_err(refused)?, &[]);
    trail.made("user", &made.username);
    trail.after(&made);
    Ok(Created(Json(made)))
}

pub(super) async fn patch(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
    Path(name): Path<String>,
    Json(body): Json<PatchBody>,
) -> Result<Json<View>, ApiError> {
    let role = body.role.as_deref().map(role_of).transpose()?;
    let user = named(&app, &name).await?;
    if let Some(role) = role {
        accounts::role_check(&caller, &user, role)?;
    }
    let password = body.password.map(SecretString::from);
    if let Some(password) = &password {
        let _turn = app.logins.turn().await?;
        app.store.user_password_set(&user, password).await.map_err(refused)?;
    }
    if let Some(role) = role {
        accounts::role_set(&app, &caller, &trail, &user, role).await?;
    }
    match (role, password) {
        (Some(role), Some(_)) => {
            trail.before(json!({"role": user.role.as_str(), "password": MASK}));
            trail.after(json!({"role": role.as_str(), "password": veil(true)}));
        }
        (None, Some(_)) => {
            trail.before(json!({"password": MASK}));
            trail.after(json!({"password": veil(true)}));
        }
        (Some(_), None) => {}
        (None, None) => trail.nothing(),
    }
    Ok(Json(view(&app, &name).await?))
}

/// Keeps a user from signing in; their sessions and tokens end at once.
pub(super) async fn disable(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
    Path(name): Path<String>,
) -> Result<NoContent, ApiError> {
    accounts::disable(&app, &caller, &trail, &named(&app, &name).await?).await?;
    Ok(NoContent)
}

/// Lets a disabled user sign in again, with the role, the grants and the password that they had.
pub(super) async fn enable(
    State(app): State<App>,
    trail: Trail,
    Path(name): Path<String>,
) -> Result<Json<View>, ApiError> {
    accounts::enable(&app, &trail, &name).await?;
    Ok(Json(view(&app, &name).await?))
}

/// Gives a user a role for a DAG or a tag, in the place of the one that they had for it.
pub(super) async fn grant(
    State(app): State<App>,
    trail: Trail,
    Path(name): Path<String>,
    Json(body): Json<GrantBody>,
) -> Result<Json<View>, ApiError> {
    let on = grant_on(body.dag_id.as_deref(), body.tag.as_deref());
    let on = on.map_err(|msg| invalid("dag_id", msg))?;
    let (user, role) = (named(&app, &name).await?, role_of(&body.role)?);
    accounts::grant(&app, &trail, &user, &on, role).await?;
    Ok(Json(view(&app, &name).await?))
}

/// Takes a grant away.
pub(super) async fn revoke(
    State(app): State<App>,
    trail: Trail,
    Path(name): Path<String>,
    Query(query): Query<GrantQuery>,
) -> Result<NoContent, ApiError> {
    let on = grant_on(query.dag_id.as_deref(), query.tag.as_deref());
    let on = on.map_err(|msg| ApiError::Invalid(vec![FieldProblem::query("dag_id", msg)]))?;
    match accounts::revoke(&app, &trail, &named(&app, &name).await?, &on).await? {
        true => Ok(NoContent),
        false => Err(ApiError::NotFound(format!("users/{name}/grants, of this DAG or tag"))),
    }
}

/// Makes a link that signs a user in once.
pub(super) async fn link(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Created<Json<Link>>, ApiError> {
    let user = named(&app, &name).await?;
    let secret = app.store.sign_in_link_create(&user, LINK_LIFE).await?;
    Ok(Created(Json(Link { path: sign_in_path(secret.expose()) })))
}

async fn view(app: &App, name: &str) -> Result<View, ApiError> {
    let user = named(app, name).await?;
    let grants = app.store.grants_of(&[user.user_id], i64::MAX).await?;
    Ok(View::new(&user, &grants))
}

impl View {
    fn new(user: &User, grants: &[Grant]) -> Self {
        let own = grants.iter().filter(|grant| grant.username == user.username);
        let grant = |it: &Grant| GrantView {
            role: it.role.clone(),
            dag_id: it.dag_id.clone(),
            tag: it.tag.clone(),
        };
        Self {
            username: user.username.clone(),
            role: user.role.as_str().to_owned(),
            grants: own.map(grant).collect(),
        }
    }
}
