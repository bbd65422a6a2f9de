//! Sign-in links: good once, for a short while.

use std::time::Duration;

use super::users::{UserRow, user_columns};
use super::{Secret, User, secret};
use crate::{Store, StoreError};

impl Store {
    /// Makes a link's secret that signs `user` in once within `life`.
    pub async fn sign_in_link_create(
        &self,
        user: &User,
        life: Duration,
    ) -> Result<Secret, StoreError> {
        let secret = Secret::draw("subak_link_");
        sqlx::query(
            "WITH gone AS (DELETE FROM sign_in_link WHERE expires_at < now() - interval '1 day')
             INSERT INTO sign_in_link (hash, user_id, expires_at)
             VALUES ($1, $2, now() + make_interval(secs => $3))",
        )
        .bind(secret::hash(secret.expose()))
        .bind(user.user_id)
        .bind(life.as_secs_f64())
        .execute(self.pool())
        .await?;
        Ok(secret)
    }

    /// Uses a link up and returns whom it signs in; a second use finds nobody.
    pub async fn sign_in_link_redeem(&self, link: &str) -> Result<Option<User>, StoreError> {
        let row: Option<UserRow> = sqlx::query_as(concat!(
            "UPDATE sign_in_link l SET used_at = now()
             FROM app_user u
             WHERE l.hash = $1 AND l.used_at IS NULL AND l.expires_at > now()
               AND u.user_id = l.user_id AND u.disabled_at IS NULL
             RETURNING ",
            user_columns!()
        ))
        .bind(secret::hash(link))
        .fetch_optional(self.pool())
        .await?;
        Ok(row.map(User::from))
    }
}
