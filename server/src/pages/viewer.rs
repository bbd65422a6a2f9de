//! Who looks at a page, and in which language.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use subak_store::access::Role;
use subak_web::frame::Frame;
use subak_web::text::Text;

use crate::auth::Caller;
use crate::problem::ApiError;

/// A signed-in person before a page.
pub(super) struct Viewer {
    caller: Caller,
    pub(super) t: &'static Text,
}

impl Viewer {
    /// Returns the name that runs are triggered by.
    pub(super) fn name(&self) -> &str {
        self.caller.name()
    }

    /// Whether triggers, cancels and clears are shown.
    pub(super) fn can_run(&self) -> bool {
        self.caller.may(Role::User)
    }

    /// Returns what is around the page.
    pub(super) fn frame(&self) -> Frame<'_> {
        Frame {
            t: self.t,
            user: self.caller.name(),
            can_run: self.can_run(),
            can_pause: self.caller.may(Role::Op),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Viewer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let language = parts.headers.get(header::ACCEPT_LANGUAGE);
        let t = Text::accepted(language.and_then(|it| it.to_str().ok()).unwrap_or(""));
        Ok(Self { caller, t })
    }
}
