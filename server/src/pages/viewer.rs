//! Who looks at a page, and in which language.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum_extra::extract::cookie::CookieJar;
use subak_store::access::{Role, User};
use subak_web::frame::Frame;
use subak_web::text::Text;

use super::watch;
use crate::auth::{Caller, Rights};
use crate::problem::ApiError;

/// What a person has chosen at the foot of a page; `app.js` sets it.
const LANGUAGE_COOKIE: &str = "subak-language";

/// The texts that a person has chosen, or that the browser asks for.
pub(crate) fn language(headers: &HeaderMap) -> &'static Text {
    let jar = CookieJar::from_headers(headers);
    if let Some(chosen) = jar.get(LANGUAGE_COOKIE).and_then(|it| Text::named(it.value())) {
        return chosen;
    }
    let language = headers.get(header::ACCEPT_LANGUAGE);
    Text::accepted(language.and_then(|it| it.to_str().ok()).unwrap_or(""))
}

/// What of somebody makes a page another one: whoever has the same eyes sees the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Eyes {
    language: &'static str,
    rights: Rights,
}

impl Eyes {
    /// The number of what these eyes see of something that has a number.
    pub(super) fn number(&self, print: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self, print).hash(&mut hasher);
        hasher.finish()
    }

    /// Those of somebody without grants.
    #[cfg(test)]
    pub(super) fn of(language: &'static str, role: Role) -> Self {
        Self { language, rights: Rights::of(role) }
    }
}

/// A signed-in person before a page.
pub(super) struct Viewer {
    caller: Caller,
    pub(super) t: &'static Text,
}

impl Viewer {
    /// Who asks, for what pages and the API do alike.
    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns what of the viewer a page depends on.
    pub(super) fn eyes(&self) -> Eyes {
        Eyes { language: self.t.language, rights: self.caller.rights() }
    }

    /// The address of a stream for a page that is loaded with the part of this number.
    pub(super) fn events(&self, address: &str, print: u64) -> String {
        watch::address(address, &self.eyes(), print)
    }

    /// Returns the name that runs are triggered by.
    pub(super) fn name(&self) -> &str {
        self.caller.name()
    }

    /// Whether triggers, cancels and clears are shown.
    pub(super) fn can_run(&self) -> bool {
        self.caller.may(Role::User)
    }

    /// Whether pausing and resuming is shown.
    pub(super) fn can_pause(&self) -> bool {
        self.caller.may(Role::Op)
    }

    /// The DAGs that are shown; `None`: all.
    pub(super) fn sight(&self) -> Option<Vec<String>> {
        self.caller.sight()
    }

    /// Returns what is around the page.
    pub(super) fn frame(&self) -> Frame<'_> {
        Frame {
            t: self.t,
            user: self.caller.name(),
            can_run: self.can_run(),
            can_pause: self.can_pause(),
            sees_all: self.caller.may_everywhere(Role::Viewer),
            is_op: self.caller.may_everywhere(Role::Op),
            is_admin: self.caller.may_everywhere(Role::Admin),
        }
    }

    /// The same for a row of a list that is about a DAG.
    pub(super) fn frame_for(&self, dag_id: &str) -> Frame<'_> {
        let can_run = self.may_with(dag_id, Role::User);
        Frame { can_run, can_pause: self.may_with(dag_id, Role::Op), ..self.frame() }
    }

    /// Whether the viewer may do what `role` may with a DAG.
    pub(super) fn may_with(&self, dag_id: &str, role: Role) -> bool {
        self.caller.may_with(dag_id, role)
    }

    /// The signed-in user.
    pub(super) fn user(&self) -> &User {
        self.caller.user()
    }

    /// Whether the viewer may see other people's tokens.
    pub(super) fn is_admin(&self) -> bool {
        self.caller.may_everywhere(Role::Admin)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Viewer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        Ok(Self { caller, t: language(&parts.headers) })
    }
}
