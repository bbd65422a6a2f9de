//! Tokens by which workers join.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Secret, secret};
use crate::{Store, StoreError};

/// A join token as it is kept: never the secret itself.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct JoinTokenRow {
    pub name: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Returns the newest 1,000 join tokens, newest first.
    pub async fn join_token_list(&self) -> Result<Vec<JoinTokenRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT name, created_at, expires_at, revoked_at FROM join_token
             ORDER BY created_at DESC, hash LIMIT 1000",
        )
        .fetch_all(self.pool())
        .await?)
    }

    /// Lets no worker join any more by the tokens of this name; returns how many there were. Workers
    /// that have joined stay.
    pub async fn join_token_revoke(&self, name: &str) -> Result<u64, StoreError> {
        let revoked = sqlx::query(
            "UPDATE join_token SET revoked_at = now() WHERE name = $1 AND revoked_at IS NULL",
        )
        .bind(name)
        .execute(self.pool())
        .await?;
        Ok(revoked.rows_affected())
    }

    /// Makes a join token; `life` of `None`: until it is revoked.
    pub async fn join_token_create(
        &self,
        name: &str,
        life: Option<Duration>,
    ) -> Result<Secret, StoreError> {
        let secret = Secret::draw("subak_join_");
        sqlx::query(
            "INSERT INTO join_token (hash, name, expires_at)
             VALUES ($1, $2, now() + make_interval(secs => $3))",
        )
        .bind(secret::hash(secret.expose()))
        .bind(name)
        .bind(life.map(|life| life.as_secs_f64()))
        .execute(self.pool())
        .await?;
        Ok(secret)
    }

    /// Whether a worker with this token may join.
    pub async fn join_token_valid(&self, token: &str) -> Result<bool, StoreError> {
        let (valid,): (bool,) = sqlx::query_as(
            "SELECT EXISTS (
                 SELECT FROM join_token
                 WHERE hash = $1 AND revoked_at IS NULL
                   AND (expires_at IS NULL OR expires_at > now())
             )",
        )
        .bind(secret::hash(token))
        .fetch_one(self.pool())
        .await?;
        Ok(valid)
    }
}
