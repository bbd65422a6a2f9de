//! API tokens, as `POST /auth/token` gives them.

use std::time::Duration;

use super::users::UserRow;
use super::{Secret, User, secret};
use crate::{Store, StoreError};

impl Store {
    /// Makes a token that acts for `user` until `life` is over (`None`: for ever).
    pub async fn api_token_create(
        &self,
        user: &User,
        name: &str,
        life: Option<Duration>,
    ) -> Result<Secret, StoreError> {
        let secret = Secret::draw("subak_api_");
        sqlx::query(
            "WITH gone AS (DELETE FROM api_token WHERE expires_at < now())
             INSERT INTO api_token (hash, user_id, name, expires_at)
             VALUES ($1, $2, $3, now() + make_interval(secs => $4))",
        )
        .bind(secret::hash(secret.expose()))
        .bind(user.user_id)
        .bind(name)
        .bind(life.map(|life| life.as_secs_f64()))
        .execute(&self.pool)
        .await?;
        Ok(secret)
    }

    /// Returns for whom a token acts, if it is good, and notes the use (once a minute).
    pub async fn api_token_user(&self, token: &str) -> Result<Option<User>, StoreError> {
        let row: Option<UserRow> = sqlx::query_as(
            "WITH found AS (
                 SELECT t.hash, t.last_used_at, u.user_id, u.username, u.role
                 FROM api_token t JOIN app_user u USING (user_id)
                 WHERE t.hash = $1 AND (t.expires_at IS NULL OR t.expires_at > now())
                   AND u.disabled_at IS NULL
             ), used AS (
                 UPDATE api_token t SET last_used_at = now() FROM found f
                 WHERE t.hash = f.hash
                   AND (f.last_used_at IS NULL OR f.last_used_at < now() - interval '1 minute')
             )
             SELECT user_id, username, role FROM found",
        )
        .bind(secret::hash(token))
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(User::from))
    }
}
