//! What users may do with single DAGs, beside what their role allows everywhere.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{Role, User};
use crate::read::{Page, TextFilter, page};
use crate::{Store, StoreError};

/// DAGs that a user has grants for; a tag may mean many.
const GRANTED_MOST: i64 = 10_000;

/// A grant: a role for one DAG, or for all that have a tag.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Grant {
    pub username: String,
    pub role: String,
    pub dag_id: Option<String>,
    pub tag: Option<String>,
}

/// What a grant is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantOn {
    Dag(String),
    Tag(String),
}

impl GrantOn {
    fn parts(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Dag(dag_id) => (Some(dag_id), None),
            Self::Tag(tag) => (None, Some(tag)),
        }
    }

    /// The grant as the audit log has it.
    #[must_use]
    pub fn recorded(&self, role: Role) -> Value {
        let (dag, tag) = self.parts();
        json!({"role": role.as_str(), "dag": dag, "tag": tag})
    }
}

impl Store {
    /// The DAGs that a user has grants for, each with the highest role.
    pub async fn granted_dags(&self, user: Uuid) -> Result<BTreeMap<String, Role>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT d.dag_id, g.role FROM dag_grant g
             JOIN dag d ON d.dag_id = g.dag_id OR d.tags @> ARRAY[g.tag]
             WHERE g.user_id = $1 LIMIT $2",
        )
        .bind(user)
        .bind(GRANTED_MOST)
        .fetch_all(self.pool())
        .await?;
        let mut granted = BTreeMap::new();
        for (dag_id, role) in rows {
            let role = Role::parse(&role).unwrap_or(Role::None);
            let highest = granted.entry(dag_id).or_insert(role);
            *highest = role.max(*highest);
        }
        Ok(granted)
    }

    /// Gives a user a role for a DAG or a tag, and returns the one that they had for it before.
    pub async fn grant_put(
        &self,
        user: &User,
        on: &GrantOn,
        role: Role,
    ) -> Result<Option<Role>, StoreError> {
        let (dag_id, tag) = on.parts();
        let before: Option<String> = sqlx::query_scalar(
            "WITH put AS (
                 INSERT INTO dag_grant (user_id, role, dag_id, tag) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (user_id, dag_id, tag) DO UPDATE SET role = excluded.role
             )
             SELECT role FROM dag_grant
             WHERE user_id = $1 AND dag_id IS NOT DISTINCT FROM $3 AND tag IS NOT DISTINCT FROM $4",
        )
        .bind(user.user_id)
        .bind(role.as_str())
        .bind(dag_id)
        .bind(tag)
        .fetch_optional(self.pool())
        .await?;
        Ok(before.map(|role| Role::parse(&role).unwrap_or(Role::None)))
    }

    /// Takes a grant away, and returns what it was; `None`: there is none.
    pub async fn grant_remove(
        &self,
        user: &User,
        on: &GrantOn,
    ) -> Result<Option<Role>, StoreError> {
        let (dag_id, tag) = on.parts();
        let before: Option<String> = sqlx::query_scalar(
            "DELETE FROM dag_grant
             WHERE user_id = $1 AND dag_id IS NOT DISTINCT FROM $2 AND tag IS NOT DISTINCT FROM $3
             RETURNING role",
        )
        .bind(user.user_id)
        .bind(dag_id)
        .bind(tag)
        .fetch_optional(self.pool())
        .await?;
        Ok(before.map(|role| Role::parse(&role).unwrap_or(Role::None)))
    }

    /// The first `each` grants of every one of these users, by user.
    pub async fn grants_of(&self, users: &[Uuid], each: i64) -> Result<Vec<Grant>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT u.username, g.role, g.dag_id, g.tag FROM app_user u
             CROSS JOIN LATERAL (
                 SELECT * FROM dag_grant WHERE dag_grant.user_id = u.user_id
                 ORDER BY dag_id, tag LIMIT $2
             ) g
             WHERE u.user_id = ANY ($1)
             ORDER BY u.username, g.dag_id, g.tag",
        )
        .bind(users)
        .bind(each)
        .fetch_all(self.pool())
        .await?)
    }

    /// Returns a page of the grants of a user, by DAG and tag.
    pub async fn grant_page(
        &self,
        user: &User,
        wanted: &TextFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<Grant>, StoreError> {
        let of = |query: &mut QueryBuilder<Postgres>| {
            query.push(" FROM dag_grant g JOIN app_user u USING (user_id) WHERE g.user_id = ");
            query.push_bind(user.user_id);
            wanted.push(query, "coalesce(g.dag_id, g.tag)");
        };
        let by = |query: &mut QueryBuilder<Postgres>| {
            query.push("ORDER BY g.dag_id, g.tag");
        };
        let columns = "SELECT u.username, g.role, g.dag_id, g.tag";
        page(self.pool(), columns, of, by, (limit, offset)).await
    }
}
