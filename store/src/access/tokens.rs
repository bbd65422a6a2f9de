//! API tokens: as `POST /auth/token` gives them, and as people make them for programs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use super::users::{UserRow, user_columns};
use super::{Role, Secret, User, secret};
use crate::read::{Page, TextFilter, page};
use crate::{Store, StoreError};

/// A token, without its secret.
#[derive(Debug, Clone, FromRow)]
pub struct TokenRow {
    pub token_id: Uuid,
    pub username: String,
    pub name: String,
    /// The most that it may do; `None`: all that its user may.
    pub scope: Option<String>,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
}

#[derive(FromRow)]
struct FoundRow {
    #[sqlx(flatten)]
    user: UserRow,
    scope: Option<String>,
}

impl Store {
    /// Makes a token that acts for `user`, with `scope` at the most, until `life` is over (`None`: for
    /// ever).
    pub async fn api_token_create(
        &self,
        user: &User,
        name: &str,
        scope: Option<Role>,
        life: Option<Duration>,
    ) -> Result<Secret, StoreError> {
        Ok(self.api_token_make(user, name, scope, life).await?.1)
    }

    /// The same, with the token as it is listed.
    pub async fn api_token_make(
        &self,
        user: &User,
        name: &str,
        scope: Option<Role>,
        life: Option<Duration>,
    ) -> Result<(TokenRow, Secret), StoreError> {
        let secret = Secret::draw("subak_api_");
        let made = sqlx::query_as(
            "WITH gone AS (DELETE FROM api_token WHERE expires_at < now())
             INSERT INTO api_token (hash, user_id, name, scope, expires_at)
             VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))
             RETURNING token_id, $6::text AS username, name, scope, created_at, expires_at,
                       last_used_at",
        )
        .bind(secret::hash(secret.expose()))
        .bind(user.user_id)
        .bind(name)
        .bind(scope.map(Role::as_str))
        .bind(life.map(|life| life.as_secs_f64()))
        .bind(&user.username)
        .fetch_one(self.pool())
        .await?;
        Ok((made, secret))
    }

    /// Returns for whom a token acts, if it is good, with the most that it may do, and notes the use
    /// (once a minute).
    pub async fn api_token_user(
        &self,
        token: &str,
    ) -> Result<Option<(User, Option<Role>)>, StoreError> {
        let row: Option<FoundRow> = sqlx::query_as(concat!(
            "WITH found AS (
                 SELECT t.hash, t.last_used_at, t.scope, ",
            user_columns!(),
            " FROM api_token t JOIN app_user u USING (user_id)
                 WHERE t.hash = $1 AND (t.expires_at IS NULL OR t.expires_at > now())
                   AND u.disabled_at IS NULL
             ), used AS (
                 UPDATE api_token t SET last_used_at = now() FROM found f
                 WHERE t.hash = f.hash
                   AND (f.last_used_at IS NULL OR f.last_used_at < now() - interval '1 minute')
             )
             SELECT user_id, username, role, has_grants, scope FROM found"
        ))
        .bind(secret::hash(token))
        .fetch_optional(self.pool())
        .await?;
        // A scope of a later version grants nothing.
        let scope = |it: &str| Role::parse(it).unwrap_or(Role::None);
        Ok(row.map(|row| (row.user.into(), row.scope.as_deref().map(scope))))
    }

    /// The tokens of a user, or of everybody, the newest first.
    pub async fn api_token_list(&self, user: Option<&User>) -> Result<Vec<TokenRow>, StoreError> {
        let all = "SELECT t.token_id, u.username, t.name, t.scope, t.created_at, t.expires_at,
                          t.last_used_at
                   FROM api_token t JOIN app_user u USING (user_id)
                   WHERE ($1::uuid IS NULL OR t.user_id = $1)
                     AND (t.expires_at IS NULL OR t.expires_at > now())
                   ORDER BY t.created_at DESC LIMIT 1000";
        Ok(sqlx::query_as(all).bind(user.map(|it| it.user_id)).fetch_all(self.pool()).await?)
    }

    /// Returns a page of them, by what is in their names or their users'.
    pub async fn api_token_page(
        &self,
        user: Option<&User>,
        wanted: &TextFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<TokenRow>, StoreError> {
        let of = |query: &mut QueryBuilder<Postgres>| {
            query.push(
                " FROM api_token t JOIN app_user u USING (user_id)
                  WHERE (t.expires_at IS NULL OR t.expires_at > now())",
            );
            if let Some(user) = user {
                query.push(" AND t.user_id = ").push_bind(user.user_id);
            }
            wanted.push(query, "(t.name || ' ' || u.username)");
        };
        let by = |query: &mut QueryBuilder<Postgres>| {
            query.push("ORDER BY t.created_at DESC");
        };
        let columns = "SELECT t.token_id, u.username, t.name, t.scope, t.created_at, t.expires_at,
                    t.last_used_at";
        page(self.pool(), columns, of, by, (limit, offset)).await
    }

    /// Ends a token of a user, or of anybody, and returns its name; `None` if there is none.
    pub async fn api_token_revoke(
        &self,
        token: Uuid,
        user: Option<&User>,
    ) -> Result<Option<String>, StoreError> {
        let gone = "DELETE FROM api_token
                    WHERE token_id = $1 AND ($2::uuid IS NULL OR user_id = $2) RETURNING name";
        let user = user.map(|it| it.user_id);
        Ok(sqlx::query_scalar(gone).bind(token).bind(user).fetch_optional(self.pool()).await?)
    }

    /// Ends the token that this is, and returns its name; `None` if it is none.
    pub async fn api_token_end(&self, token: &str) -> Result<Option<String>, StoreError> {
        let gone = "DELETE FROM api_token WHERE hash = $1 RETURNING name";
        Ok(sqlx::query_scalar(gone).bind(secret::hash(token)).fetch_optional(self.pool()).await?)
    }
}
