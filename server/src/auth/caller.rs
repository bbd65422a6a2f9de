//! Who sent a request, and what they may do.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use subak_store::NewAudit;
use subak_store::access::{Role, User};

use crate::audit::Trail;
use crate::problem::ApiError;

/// How a caller showed who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// A browser's cookie, which it sends by itself.
    Cookie,
    /// A token in a header, which somebody put there.
    Token,
}

/// What a caller may do: everywhere, at most, and with single DAGs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Rights {
    role: Role,
    scope: Role,
    granted: Arc<BTreeMap<String, Role>>,
}

#[cfg(test)]
impl Rights {
    /// Those of a role, without grants.
    pub(crate) fn of(role: Role) -> Self {
        Self { role, scope: Role::Admin, granted: Arc::default() }
    }
}

/// A signed-in user. Only the gate makes one, so a handler that has it was let through.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    user: User,
    pub(super) via: Via,
    /// The most that a token may do.
    scope: Role,
    /// Of single DAGs.
    granted: Arc<BTreeMap<String, Role>>,
    /// For what this request is about.
    role: Role,
    /// For the audit log: what this request changes.
    pub(crate) trail: Trail,
}

impl Caller {
    /// Somebody with these grants; `scope` is the most that they may do, whatever they have.
    pub(super) fn new(
        user: User,
        via: Via,
        scope: Option<Role>,
        granted: BTreeMap<String, Role>,
    ) -> Self {
        let scope = scope.unwrap_or(Role::Admin);
        let role = user.role.min(scope);
        Self { user, via, scope, granted: Arc::new(granted), role, trail: Trail::default() }
    }

    /// How the request came, as the audit log has it.
    pub(crate) fn via(&self) -> &'static str {
        match self.via {
            Via::Cookie => "web",
            Via::Token => "api",
        }
    }

    /// The user's name.
    pub(crate) fn name(&self) -> &str {
        &self.user.username
    }

    /// The user.
    pub(crate) fn user(&self) -> &User {
        &self.user
    }

    /// A record for what writes it together with its change.
    pub(crate) fn settles(&self, event: &'static str, subject: String) -> NewAudit {
        NewAudit {
            username: self.name().to_owned(),
            via: self.via(),
            event,
            subject: Some(subject),
            ..NewAudit::default()
        }
    }

    /// What the caller may do with what the request is about.
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// Whether the caller may do what `role` may, with what the request is about.
    pub(crate) fn may(&self, role: Role) -> bool {
        self.role >= role
    }

    /// Whether the caller may do what `role` may, with every DAG and with what belongs to none.
    pub(crate) fn may_everywhere(&self, role: Role) -> bool {
        self.user.role.min(self.scope) >= role
    }

    /// Refuses a caller who may not do what `role` may everywhere.
    pub(crate) fn must_everywhere(&self, role: Role) -> Result<(), ApiError> {
        if self.may_everywhere(role) {
            return Ok(());
        }
        let has = self.user.role.min(self.scope).as_str();
        Err(ApiError::NotAllowed { needed: role.as_str(), has })
    }

    /// The most that a token may do which the caller makes: a token with a scope makes none that may
    /// more.
    pub(crate) fn scope_for(&self, asked: Option<Role>) -> Result<Option<Role>, ApiError> {
        match asked {
            None if self.scope < Role::Admin => Ok(Some(self.scope)),
            Some(asked) if asked > self.scope => {
                Err(ApiError::NotAllowed { needed: asked.as_str(), has: self.scope.as_str() })
            }
            asked => Ok(asked),
        }
    }

    /// Whether the caller may do what `role` may with a DAG.
    pub(crate) fn may_with(&self, dag_id: &str, role: Role) -> bool {
        self.role_for(dag_id) >= role
    }

    /// Refuses a caller who may not do what `role` may with a DAG; one who may not see it does not learn
    /// that there is one.
    pub(crate) fn must(&self, dag_id: &str, role: Role) -> Result<(), ApiError> {
        if !self.may_with(dag_id, Role::Viewer) {
            return Err(ApiError::DagNotFound(dag_id.to_owned()));
        }
        let has = self.role_for(dag_id);
        if has >= role {
            return Ok(());
        }
        Err(ApiError::NotAllowed { needed: role.as_str(), has: has.as_str() })
    }

    /// What the caller may do everywhere, or with one DAG.
    fn role_for(&self, dag_id: &str) -> Role {
        let granted = self.granted.get(dag_id).copied().unwrap_or(Role::None);
        self.user.role.max(granted).min(self.scope)
    }

    /// What the caller may do.
    pub(crate) fn rights(&self) -> Rights {
        let (role, scope, granted) = (self.user.role, self.scope, Arc::clone(&self.granted));
        Rights { role, scope, granted }
    }

    /// Whether this is somebody who may do what `other` may, no more and no less.
    pub(super) fn may_as(&self, other: &Self) -> bool {
        (&self.user, self.scope, &self.granted) == (&other.user, other.scope, &other.granted)
    }

    /// Lets the request be about a DAG.
    pub(super) fn turn_to(&mut self, dag_id: &str) {
        self.role = self.role_for(dag_id);
    }

    /// The DAGs that the caller may see; `None`: all.
    pub(crate) fn sight(&self) -> Option<Vec<String>> {
        if self.may_everywhere(Role::Viewer) {
            return None;
        }
        let seen = self.granted.keys().filter(|dag_id| self.may_with(dag_id, Role::Viewer));
        Some(seen.cloned().collect())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or(ApiError::SignInNeeded)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn caller(role: Role, scope: Option<Role>) -> Caller {
        let user = User { user_id: Uuid::nil(), username: "ana".into(), role, has_grants: true };
        let granted = [("shop".to_owned(), Role::Op), ("idle".to_owned(), Role::Viewer)];
        Caller::new(user, Via::Token, scope, granted.into())
    }

    #[test]
    fn the_higher_of_role_and_grant_counts_and_a_scope_is_above_both() {
        let mut limited = caller(Role::None, None);
        assert!(!limited.may(Role::Viewer));
        assert_eq!(limited.sight(), Some(vec!["idle".to_owned(), "shop".to_owned()]));
        limited.turn_to("shop");
        assert!(limited.may(Role::Op) && !limited.may(Role::Admin));
        limited.turn_to("other");
        assert!(!limited.may(Role::Viewer));
        let user = caller(Role::User, None);
        assert!(user.may_with("idle", Role::User) && user.may_with("shop", Role::Op));
        assert_eq!(user.sight(), None);
        let scoped = caller(Role::Admin, Some(Role::Viewer));
        assert!(!scoped.may(Role::User) && !scoped.may_with("shop", Role::User));
        assert_eq!(scoped.sight(), None);
        // A token hands on no more than it has.
        assert_eq!(scoped.scope_for(None).unwrap(), Some(Role::Viewer));
        assert!(scoped.scope_for(Some(Role::User)).is_err());
        assert_eq!(user.scope_for(None).unwrap(), None);
        assert!(scoped.must_everywhere(Role::Viewer).is_ok());
        assert!(scoped.must_everywhere(Role::Admin).is_err());
    }

    #[test]
    fn whoever_has_another_role_scope_or_grant_may_something_else() {
        let was = caller(Role::User, None);
        let mut turned = was.clone();
        turned.turn_to("shop");
        assert!(was.may_as(&caller(Role::User, None)) && was.may_as(&turned));
        assert!(!was.may_as(&caller(Role::Viewer, None)));
        assert!(!was.may_as(&caller(Role::User, Some(Role::Viewer))));
        let granted = Caller { granted: Arc::default(), ..was.clone() };
        assert!(!was.may_as(&granted));
    }
}
