//! Tokens by which workers join.

use std::time::Duration;

use super::{Secret, secret};
use crate::{Store, StoreError};

impl Store {
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
        .execute(&self.pool)
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
        .fetch_one(&self.pool)
        .await?;
        Ok(valid)
    }
}
