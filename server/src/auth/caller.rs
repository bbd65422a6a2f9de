//! Who sent a request.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use subak_store::access::{Role, User};

use crate::problem::ApiError;

/// How a caller showed who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// A browser's cookie, which it sends by itself.
    Cookie,
    /// A token in a header, which somebody put there.
    Token,
}

/// A signed-in user. Only the gate makes one, so a handler that has it was let through.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(super) user: User,
    pub(super) via: Via,
}

impl Caller {
    /// The user's name.
    pub(crate) fn name(&self) -> &str {
        &self.user.username
    }

    /// Whether the caller may do what `role` may.
    pub(crate) fn may(&self, role: Role) -> bool {
        self.user.role >= role
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or(ApiError::SignInNeeded)
    }
}
