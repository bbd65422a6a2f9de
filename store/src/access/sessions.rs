//! Browser sessions: they end when idle for 12 hours, and 7 days after they began.

use super::users::{UserRow, user_columns};
use super::{Secret, User, secret};
use crate::{Store, StoreError};

impl Store {
    /// Begins a session and returns its secret, for the cookie.
    pub async fn web_session_create(&self, user: &User) -> Result<Secret, StoreError> {
        let secret = Secret::draw("subak_web_");
        sqlx::query(
            "WITH gone AS (
                 DELETE FROM web_session
                 WHERE expires_at < now() OR seen_at < now() - interval '12 hours'
             )
             INSERT INTO web_session (hash, user_id, expires_at)
             VALUES ($1, $2, now() + interval '7 days')",
        )
        .bind(secret::hash(secret.expose()))
        .bind(user.user_id)
        .execute(self.pool())
        .await?;
        Ok(secret)
    }

    /// Returns whose session it is, if it goes on, and notes the visit (once a minute).
    pub async fn web_session_user(&self, session: &str) -> Result<Option<User>, StoreError> {
        let row: Option<UserRow> = sqlx::query_as(concat!(
            "WITH found AS (
                 SELECT s.hash, s.seen_at, ",
            user_columns!(),
            " FROM web_session s JOIN app_user u USING (user_id)
                 WHERE s.hash = $1 AND s.expires_at > now()
                   AND s.seen_at > now() - interval '12 hours' AND u.disabled_at IS NULL
             ), seen AS (
                 UPDATE web_session s SET seen_at = now() FROM found f
                 WHERE s.hash = f.hash AND f.seen_at < now() - interval '1 minute'
             )
             SELECT user_id, username, role, has_grants FROM found"
        ))
        .bind(secret::hash(session))
        .fetch_optional(self.pool())
        .await?;
        Ok(row.map(User::from))
    }

    /// Ends a session.
    pub async fn web_session_end(&self, session: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM web_session WHERE hash = $1")
            .bind(secret::hash(session))
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
