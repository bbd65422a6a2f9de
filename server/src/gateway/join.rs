//! Who may join: off loopback, whoever has a join token.

use subak_store::Store;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// What a listener asks of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinCheck {
    /// Loopback or a Unix socket that only this user can open.
    Trusted,
    /// A token, see `subak workers token`.
    Token,
}

impl JoinCheck {
    /// Refuses a stream without a valid token.
    pub(crate) async fn check(self, store: &Store, metadata: &MetadataMap) -> Result<(), Status> {
        if self == Self::Trusted {
            return Ok(());
        }
        let token = metadata
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(|| {
                Status::unauthenticated("a join token is needed: subak workers token")
            })?;
        match store.join_token_valid(token).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Status::unauthenticated(
                "the join token is unknown, expired or revoked: subak workers token makes a new one",
            )),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "a join token could not be checked");
                Err(Status::unavailable("the database cannot be asked now"))
            }
        }
    }
}
