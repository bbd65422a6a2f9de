//! Users with what they may do, and API tokens.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::json;
use subak_store::access::{Grant, GrantOn, ListedUser, NewUserError, User};
use subak_web::accounts::{GrantRow, GrantsPage, TokenRow, TokensPage, UserRow, UsersPage};
use subak_web::format::Stamp;
use subak_web::url::encode;

use super::listing::{NameQuery, PAGE};
use super::viewer::Viewer;
use crate::accounts::{self, LINK_LIFE, NewToken, invalid, named, role_of};
use crate::app::App;
use crate::audit::Trail;
use crate::auth::sign_in_path;
use crate::clock;
use crate::extract::{Form, Path, Query};
use crate::problem::ApiError;

/// Grants of a user that the list of users shows.
const GRANTS: usize = 10;

#[derive(Deserialize)]
pub(super) struct NewUser {
    username: String,
    role: String,
}

#[derive(Deserialize)]
pub(super) struct NewRole {
    role: String,
}

/// A role for a DAG or a tag; to take it away, without the role.
#[derive(Deserialize)]
pub(super) struct GrantForm {
    role: Option<String>,
    kind: String,
    name: String,
}

#[derive(Deserialize)]
pub(super) struct NewTokenForm {
    name: String,
    #[serde(default)]
    scope: String,
    days: u32,
}

pub(super) async fn users(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<NameQuery>,
) -> Result<Html<String>, ApiError> {
    users_page(&app, &viewer, &query, None, None).await
}

async fn users_page(
    app: &App,
    viewer: &Viewer,
    query: &NameQuery,
    link: Option<(String, String)>,
    problem: Option<String>,
) -> Result<Html<String>, ApiError> {
    let found = app.store.user_page_all(&query.wanted(), PAGE, query.offset()).await?;
    let ids: Vec<_> = found.items.iter().map(|it| it.user.user_id).collect();
    // One more than is shown: whether there are more.
    let most = i64::try_from(GRANTS + 1).unwrap_or(i64::MAX);
    let grants = app.store.grants_of(&ids, most).await?;
    let row = |ListedUser { user, is_disabled }: ListedUser| {
        let own = grants.iter().filter(|grant| grant.username == user.username);
        let mut own: Vec<GrantRow> = own.map(grant_row).collect();
        let has_more = own.len() > GRANTS;
        own.truncate(GRANTS);
        UserRow {
            role: user.role.as_str(),
            grants: own,
            all_grants: has_more.then(|| grants_of(&user.username)),
            is_self: user.username == viewer.name(),
            is_disabled,
            name: user.username,
        }
    };
    let (find, pager) = query.ways("/users", found.items.len(), found.total);
    let rows = found.items.into_iter().map(row).collect();
    Ok(Html(UsersPage { frame: viewer.frame(), find, pager, rows, link, problem }.page()))
}

/// Where all that is granted to a user is.
fn grants_of(username: &str) -> String {
    format!("/users/{}/grants", encode(username))
}

fn grant_row(grant: &Grant) -> GrantRow {
    let (kind, name) = match (&grant.dag_id, &grant.tag) {
        (Some(dag_id), _) => ("dag", dag_id),
        (_, tag) => ("tag", tag.as_ref().unwrap_or(&grant.username)),
    };
    GrantRow { role: grant.role.clone(), kind, name: name.clone() }
}

/// All that is granted to a user for single DAGs.
pub(super) async fn grants(
    State(app): State<App>,
    viewer: Viewer,
    Path(name): Path<String>,
    Query(query): Query<NameQuery>,
) -> Result<Html<String>, ApiError> {
    let user = named(&app, &name).await?;
    let found = app.store.grant_page(&user, &query.wanted(), PAGE, query.offset()).await?;
    let here = grants_of(&user.username);
    let (find, pager) = query.ways(&here, found.items.len(), found.total);
    let rows = found.items.iter().map(grant_row).collect();
    let page = GrantsPage { frame: viewer.frame(), find, pager, username: user.username, rows };
    Ok(Html(page.page()))
}

/// Makes a user, and a link that signs them in once.
pub(super) async fn user_add(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    headers: HeaderMap,
    Form(new): Form<NewUser>,
) -> Result<Response, ApiError> {
    let role = role_of(&new.role)?;
    match app.store.user_create(new.username.trim(), None, role).await {
        Ok(user) => {
            trail.made("user", &user.username);
            trail.after(json!({"username": user.username, "role": role.as_str()}));
            Ok(with_link(&app, &viewer, &headers, &user).await?.into_response())
        }
        Err(NewUserError::Store(error)) => Err(error.into()),
        Err(error) => {
            let t = viewer.t;
            let problem = match &error {
                NewUserError::Exists(name) => t.fill(t.user_exists, name),
                NewUserError::Name(name) => t.fill(t.user_no_name, name),
                other => other.to_string(),
            };
            let page =
                users_page(&app, &viewer, &NameQuery::default(), None, Some(problem)).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// Makes a link that signs a user in once.
pub(super) async fn user_link(
    State(app): State<App>,
    viewer: Viewer,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Html<String>, ApiError> {
    let user = named(&app, &name).await?;
    with_link(&app, &viewer, &headers, &user).await
}

/// The list again: a link is shown where it was asked for.
pub(super) async fn users_again() -> Redirect {
    Redirect::to("/users")
}

pub(super) async fn user_role(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Path(name): Path<String>,
    Form(new): Form<NewRole>,
) -> Result<Redirect, ApiError> {
    let (user, role) = (named(&app, &name).await?, role_of(&new.role)?);
    accounts::role_set(&app, viewer.caller(), &trail, &user, role).await?;
    Ok(Redirect::to("/users"))
}

pub(super) async fn user_grant(
    State(app): State<App>,
    trail: Trail,
    Path(name): Path<String>,
    Form(form): Form<GrantForm>,
) -> Result<Redirect, ApiError> {
    let user = named(&app, &name).await?;
    let role = role_of(form.role.as_deref().unwrap_or_default())?;
    accounts::grant(&app, &trail, &user, &form.on()?, role).await?;
    Ok(Redirect::to("/users"))
}

pub(super) async fn user_revoke(
    State(app): State<App>,
    trail: Trail,
    Path(name): Path<String>,
    Form(form): Form<GrantForm>,
) -> Result<Redirect, ApiError> {
    let user = named(&app, &name).await?;
    accounts::revoke(&app, &trail, &user, &form.on()?).await?;
    Ok(Redirect::to("/users"))
}

pub(super) async fn user_disable(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Path(name): Path<String>,
) -> Result<Redirect, ApiError> {
    let user = named(&app, &name).await?;
    accounts::disable(&app, viewer.caller(), &trail, &user).await?;
    Ok(Redirect::to("/users"))
}

pub(super) async fn user_enable(
    State(app): State<App>,
    trail: Trail,
    Path(name): Path<String>,
) -> Result<Redirect, ApiError> {
    accounts::enable(&app, &trail, &name).await?;
    Ok(Redirect::to("/users"))
}

pub(super) async fn tokens(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<NameQuery>,
) -> Result<Html<String>, ApiError> {
    tokens_page(&app, &viewer, &query, None).await
}

async fn tokens_page(
    app: &App,
    viewer: &Viewer,
    query: &NameQuery,
    secret: Option<String>,
) -> Result<Html<String>, ApiError> {
    let (now, t) = (clock::now(), viewer.t);
    let whose = (!viewer.is_admin()).then(|| viewer.user());
    let found = app.store.api_token_page(whose, &query.wanted(), PAGE, query.offset()).await?;
    let (find, pager) = query.ways("/tokens", found.items.len(), found.total);
    let row = |it: subak_store::access::TokenRow| TokenRow {
        id: it.token_id.to_string(),
        user: it.username,
        name: it.name,
        scope: it.scope,
        made: Stamp::new(it.created_at, now, t),
        expires: it.expires_at.map(|at| Stamp::new(at, now, t)),
        used: it.last_used_at.map(|at| Stamp::new(at, now, t)),
    };
    let rows = found.items.into_iter().map(row).collect();
    Ok(Html(TokensPage { frame: viewer.frame(), find, pager, rows, secret, problem: None }.page()))
}

/// Makes a token of the viewer's, and shows its secret this once.
pub(super) async fn token_add(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Form(new): Form<NewTokenForm>,
) -> Result<Html<String>, ApiError> {
    let scope = match new.scope.as_str() {
        "" => None,
        scope => Some(role_of(scope)?),
    };
    let new = NewToken { user: viewer.user(), name: &new.name, scope, days: new.days };
    let (_, secret) = accounts::token_make(&app, viewer.caller(), &trail, new).await?;
    tokens_page(&app, &viewer, &NameQuery::default(), Some(secret.expose().to_owned())).await
}

/// Ends a token: one's own, or, as an administrator, anybody's.
pub(super) async fn token_revoke(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Path(id): Path<String>,
) -> Result<Redirect, ApiError> {
    let not_found = || ApiError::NotFound(format!("tokens/{id}"));
    let number = id.parse().map_err(|_| not_found())?;
    let whose = (!viewer.is_admin()).then(|| viewer.user());
    let name = app.store.api_token_revoke(number, whose).await?.ok_or_else(not_found)?;
    trail.before(json!({"name": name}));
    Ok(Redirect::to("/tokens"))
}

/// The page of users, with a new sign-in link.
async fn with_link(
    app: &App,
    viewer: &Viewer,
    headers: &HeaderMap,
    user: &User,
) -> Result<Html<String>, ApiError> {
    let secret = app.store.sign_in_link_create(user, LINK_LIFE).await?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let scheme = if app.cookie.https { "https" } else { "http" };
    let address = format!("{scheme}://{host}{}", sign_in_path(secret.expose()));
    users_page(app, viewer, &NameQuery::default(), Some((user.username.clone(), address)), None)
        .await
}

impl GrantForm {
    fn on(&self) -> Result<GrantOn, ApiError> {
        let name = Some(self.name.as_str());
        let on = match self.kind.as_str() {
            "dag" => accounts::grant_on(name, None),
            "tag" => accounts::grant_on(None, name),
            _ => return Err(invalid("kind", "is `dag` or `tag`")),
        };
        on.map_err(|msg| invalid("name", msg))
    }
}
