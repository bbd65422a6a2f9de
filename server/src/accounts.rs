//! What administrators do with users, and everybody with tokens of their own: the same by page and by API.

use std::time::Duration;

use serde_json::json;
use subak_store::access::{GrantOn, NewUserError, PasswordProblem, Role, Secret, TokenRow, User};

use crate::app::App;
use crate::audit::Trail;
use crate::auth::Caller;
use crate::problem::{ApiError, FieldProblem};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A sign-in link is good for so long.
pub(crate) const LINK_LIFE: Duration = DAY;

/// The longest that a token is good for.
const DAYS_MOST: u32 = 3_650;

const TOKEN_NAME_CHARS_MOST: usize = 100;

/// A DAG's id, or a tag.
const GRANT_NAME_BYTES_MOST: usize = 250;

/// A token that somebody wants.
pub(crate) struct NewToken<'a> {
    pub(crate) user: &'a User,
    pub(crate) name: &'a str,
    /// The most that it may do; `None`: all that the user may.
    pub(crate) scope: Option<Role>,
    pub(crate) days: u32,
}

/// Returns the user of this name who may sign in.
pub(crate) async fn named(app: &App, name: &str) -> Result<User, ApiError> {
    let found = app.store.user_named(name).await?;
    found.ok_or_else(|| ApiError::NotFound(format!("users/{name}")))
}

/// Reads a role.
pub(crate) fn role_of(text: &str) -> Result<Role, ApiError> {
    Role::parse(text).ok_or_else(|| invalid("role", "is one of none, viewer, user, op, admin"))
}

/// Reads what a grant is for; the error says what it has to be.
pub(crate) fn grant_on(dag_id: Option<&str>, tag: Option<&str>) -> Result<GrantOn, &'static str> {
    let named = |name: &str| match name.trim() {
        name if name.is_empty() || name.len() > GRANT_NAME_BYTES_MOST => Err("is 1 to 250 bytes"),
        name => Ok(name.to_owned()),
    };
    match (dag_id, tag) {
        (Some(dag_id), None) => Ok(GrantOn::Dag(named(dag_id)?)),
        (None, Some(tag)) => Ok(GrantOn::Tag(named(tag)?)),
        _ => Err("or `tag` says what it is for: one of them"),
    }
}

/// Refuses an administrator who would be none any more: there may be no other.
pub(crate) fn role_check(caller: &Caller, user: &User, role: Role) -> Result<(), ApiError> {
    if user.username == caller.name() && role < Role::Admin {
        let why = "you cannot take your own role away: let another administrator do it";
        return Err(ApiError::Conflict(why.to_owned()));
    }
    Ok(())
}

/// Changes what a user may do everywhere.
pub(crate) async fn role_set(
    app: &App,
    caller: &Caller,
    trail: &Trail,
    user: &User,
    role: Role,
) -> Result<(), ApiError> {
    role_check(caller, user, role)?;
    trail.before(json!({"role": user.role.as_str()}));
    app.store.user_role_set(user, role).await?;
    trail.after(json!({"role": role.as_str()}));
    Ok(())
}

/// Gives a user a role for a DAG or a tag.
pub(crate) async fn grant(
    app: &App,
    trail: &Trail,
    user: &User,
    on: &GrantOn,
    role: Role,
) -> Result<(), ApiError> {
    if !(Role::Viewer..=Role::Op).contains(&role) {
        return Err(invalid("role", "of single DAGs is one of viewer, user, op"));
    }
    let before = app.store.grant_put(user, on, role).await?;
    trail.before(before.map(|before| on.recorded(before)));
    trail.after(on.recorded(role));
    Ok(())
}

/// Takes a grant away; false if there is none.
pub(crate) async fn revoke(
    app: &App,
    trail: &Trail,
    user: &User,
    on: &GrantOn,
) -> Result<bool, ApiError> {
    let before = app.store.grant_remove(user, on).await?;
    match before {
        Some(role) => trail.before(on.recorded(role)),
        None => trail.nothing(),
    }
    Ok(before.is_some())
}

/// Keeps a user from signing in; their sessions and tokens end at once.
pub(crate) async fn disable(
    app: &App,
    caller: &Caller,
    trail: &Trail,
    user: &User,
) -> Result<(), ApiError> {
    if user.username == caller.name() {
        let why = "you cannot disable yourself: let another administrator do it";
        return Err(ApiError::Conflict(why.to_owned()));
    }
    trail.before(json!({"role": user.role.as_str(), "is_disabled": false}));
    app.store.user_disable(user).await?;
    trail.after(json!({"role": user.role.as_str(), "is_disabled": true}));
    Ok(())
}

/// Lets a disabled user sign in again, with the role, the grants and the password that they had.
pub(crate) async fn enable(app: &App, trail: &Trail, username: &str) -> Result<(), ApiError> {
    let Some(user) = app.store.user_enable(username).await? else {
        named(app, username).await?;
        return Err(ApiError::Conflict(format!("user `{username}` is not disabled")));
    };
    let role = user.role.as_str();
    trail.before(json!({"role": role, "is_disabled": true}));
    trail.after(json!({"role": role, "is_disabled": false}));
    Ok(())
}

/// Makes a token, which may do no more than the one that asks for it.
pub(crate) async fn token_make(
    app: &App,
    caller: &Caller,
    trail: &Trail,
    new: NewToken<'_>,
) -> Result<(TokenRow, Secret), ApiError> {
    let NewToken { user, name, scope, days } = new;
    let name = name.trim();
    if name.is_empty() || name.chars().count() > TOKEN_NAME_CHARS_MOST {
        return Err(invalid("name", "is 1 to 100 characters"));
    }
    if !(1..=DAYS_MOST).contains(&days) {
        return Err(invalid("days", "is at least 1, and at most 3650"));
    }
    let scope = caller.scope_for(scope)?;
    let made = app.store.api_token_make(user, name, scope, Some(DAY * days)).await?;
    let scope = scope.map(Role::as_str);
    let who = &user.username;
    trail.made("user", who);
    trail.after(json!({"username": who, "name": name, "scope": scope, "days": days}));
    Ok(made)
}

/// Why a user was not made, or their password not changed.
pub(crate) fn refused(error: NewUserError) -> ApiError {
    match error {
        NewUserError::Store(error) => error.into(),
        NewUserError::Exists(_) => ApiError::Conflict(error.to_string()),
        NewUserError::Name(_) => invalid("username", &error.to_string()),
        NewUserError::Password(PasswordProblem::Hash) => ApiError::Internal,
        NewUserError::Password(problem) => invalid("password", &problem.to_string()),
    }
}

/// A field of a body or a form that is not as it must be.
pub(crate) fn invalid(field: &str, msg: &str) -> ApiError {
    ApiError::Invalid(vec![FieldProblem::body(field, msg)])
}
