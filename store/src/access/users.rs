//! Users and their roles.

use secrecy::SecretString;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::password;
use crate::read::{Page, TextFilter, page};
use crate::{PasswordProblem, Store, StoreError};

/// What a user may do; each role may do all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Nothing, but for what is granted for single DAGs.
    None,
    /// Looks.
    Viewer,
    /// Triggers, cancels and clears runs.
    User,
    /// Pauses DAGs, manages connections and pools.
    Op,
    /// Manages users and tokens.
    Admin,
}

impl Role {
    /// All roles, the least powerful first.
    pub const ALL: [Self; 5] = [Self::None, Self::Viewer, Self::User, Self::Op, Self::Admin];

    /// The spelling in the database and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Viewer => "viewer",
            Self::User => "user",
            Self::Op => "op",
            Self::Admin => "admin",
        }
    }

    /// Returns the role of this spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// Somebody who may sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub user_id: Uuid,
    pub username: String,
    /// For all DAGs, and for what belongs to none.
    pub role: Role,
    /// There may be more that they may do with single DAGs: [`Store::granted_dags`].
    pub has_grants: bool,
}

/// A user in the list of all there have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedUser {
    pub user: User,
    /// Keeps them from signing in.
    pub is_disabled: bool,
}

/// Why a user was not made.
#[derive(Debug, thiserror::Error)]
pub enum NewUserError {
    #[error("user `{0}` exists already")]
    Exists(String),
    #[error("`{0}` cannot be a user name: use 1 to 100 letters, digits, `.`, `_`, `-` or `@`")]
    Name(String),
    #[error(transparent)]
    Password(#[from] PasswordProblem),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A user as a row has them.
#[derive(sqlx::FromRow)]
pub(super) struct UserRow {
    user_id: Uuid,
    username: String,
    role: String,
    has_grants: bool,
}

/// The same with whether they may not sign in.
#[derive(sqlx::FromRow)]
struct ListedRow {
    #[sqlx(flatten)]
    user: UserRow,
    is_disabled: bool,
}

/// What a query of users returns, for [`UserRow`], of the table `u`.
macro_rules! user_columns {
    () => {
        "u.user_id, u.username, u.role,
         EXISTS (SELECT FROM dag_grant g WHERE g.user_id = u.user_id) AS has_grants"
    };
}
pub(super) use user_columns;

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        // A role of a later version grants nothing.
        let role = Role::parse(&row.role).unwrap_or(Role::None);
        let UserRow { user_id, username, has_grants, .. } = row;
        Self { user_id, username, role, has_grants }
    }
}

impl Store {
    /// Makes a user. Without a password they sign in by link only.
    pub async fn user_create(
        &self,
        username: &str,
        password: Option<&SecretString>,
        role: Role,
    ) -> Result<User, NewUserError> {
        if !is_username(username) {
            return Err(NewUserError::Name(username.to_owned()));
        }
        let hash = match password {
            Some(password) => Some(password::hash(password).await?),
            None => None,
        };
        let made: Option<UserRow> = sqlx::query_as(
            "INSERT INTO app_user (username, password_hash, role) VALUES ($1, $2, $3)
             ON CONFLICT (username) DO NOTHING
             RETURNING user_id, username, role, false AS has_grants",
        )
        .bind(username)
        .bind(hash)
        .bind(role.as_str())
        .fetch_optional(self.pool())
        .await
        .map_err(StoreError::from)?;
        made.map(User::from).ok_or_else(|| NewUserError::Exists(username.to_owned()))
    }

    /// Returns the user of this name, unless disabled.
    pub async fn user_named(&self, username: &str) -> Result<Option<User>, StoreError> {
        let row: Option<UserRow> = sqlx::query_as(concat!(
            "SELECT ",
            user_columns!(),
            " FROM app_user u WHERE u.username = $1 AND u.disabled_at IS NULL"
        ))
        .bind(username)
        .fetch_optional(self.pool())
        .await?;
        Ok(row.map(User::from))
    }

    /// Returns a page of the users that may sign in, by name.
    pub async fn user_page(
        &self,
        wanted: &TextFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<User>, StoreError> {
        let of = |query: &mut QueryBuilder<Postgres>| {
            query.push(" FROM app_user u WHERE u.disabled_at IS NULL");
            wanted.push(query, "u.username");
        };
        let by = |query: &mut QueryBuilder<Postgres>| {
            query.push("ORDER BY u.username");
        };
        let columns = concat!("SELECT ", user_columns!());
        let rows: Page<UserRow> = page(self.pool(), columns, of, by, (limit, offset)).await?;
        Ok(Page { items: rows.items.into_iter().map(User::from).collect(), total: rows.total })
    }

    /// Returns a page of all users, those first that may sign in, by name.
    pub async fn user_page_all(
        &self,
        wanted: &TextFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<ListedUser>, StoreError> {
        let of = |query: &mut QueryBuilder<Postgres>| {
            query.push(" FROM app_user u WHERE true");
            wanted.push(query, "u.username");
        };
        let by = |query: &mut QueryBuilder<Postgres>| {
            query.push("ORDER BY is_disabled, u.username");
        };
        let columns =
            concat!("SELECT ", user_columns!(), ", u.disabled_at IS NOT NULL AS is_disabled");
        let rows: Page<ListedRow> = page(self.pool(), columns, of, by, (limit, offset)).await?;
        let listed =
            |row: ListedRow| ListedUser { user: row.user.into(), is_disabled: row.is_disabled };
        Ok(Page { items: rows.items.into_iter().map(listed).collect(), total: rows.total })
    }

    /// Returns the user if name and password fit. Takes as long for a name that does not exist.
    pub async fn user_check(
        &self,
        username: &str,
        password: &SecretString,
    ) -> Result<Option<User>, StoreError> {
        let hash: Option<Option<String>> = sqlx::query_scalar(
            "SELECT password_hash FROM app_user WHERE username = $1 AND disabled_at IS NULL",
        )
        .bind(username)
        .fetch_optional(self.pool())
        .await?;
        if password::verify(password, hash.flatten()).await {
            self.user_named(username).await
        } else {
            Ok(None)
        }
    }
}

impl Store {
    /// Changes what a user may do everywhere. Their sessions and tokens may at once, too.
    pub async fn user_role_set(&self, user: &User, role: Role) -> Result<(), StoreError> {
        sqlx::query("UPDATE app_user SET role = $2 WHERE user_id = $1")
            .bind(user.user_id)
            .bind(role.as_str())
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Keeps a user from signing in, and ends all of their sessions and tokens. What they did keeps their
    /// name, which is not given out again.
    pub async fn user_disable(&self, user: &User) -> Result<(), StoreError> {
        let mut tx = self.pool().begin().await?;
        for sql in [
            "UPDATE app_user SET disabled_at = now() WHERE user_id = $1",
            "DELETE FROM web_session WHERE user_id = $1",
            "DELETE FROM api_token WHERE user_id = $1",
            "DELETE FROM sign_in_link WHERE user_id = $1",
        ] {
            sqlx::query(sql).bind(user.user_id).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Lets a disabled user sign in again, with the role, the grants and the password that they had;
    /// `None` if nobody who is disabled has this name.
    pub async fn user_enable(&self, username: &str) -> Result<Option<User>, StoreError> {
        let row: Option<UserRow> = sqlx::query_as(concat!(
            "UPDATE app_user u SET disabled_at = NULL
             WHERE u.username = $1 AND u.disabled_at IS NOT NULL RETURNING ",
            user_columns!()
        ))
        .bind(username)
        .fetch_optional(self.pool())
        .await?;
        Ok(row.map(User::from))
    }

    /// Gives a user a new password, and ends all of their browser sessions.
    pub async fn user_password_set(
        &self,
        user: &User,
        password: &SecretString,
    ) -> Result<(), NewUserError> {
        let hash = password::hash(password).await?;
        let mut tx = self.pool().begin().await.map_err(StoreError::from)?;
        sqlx::query("UPDATE app_user SET password_hash = $2 WHERE user_id = $1")
            .bind(user.user_id)
            .bind(hash)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::from)?;
        sqlx::query("DELETE FROM web_session WHERE user_id = $1")
            .bind(user.user_id)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::from)?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(())
    }

    /// Returns the user whom an identity provider means, or makes one with this role; `None` if they are
    /// disabled. A name that somebody else has already gets a number behind it.
    pub async fn user_of_provider(
        &self,
        issuer: &str,
        subject: &str,
        name: &str,
        role: Role,
    ) -> Result<Option<User>, StoreError> {
        let mut base: String = name.chars().map(|c| if is_letter(c) { c } else { '_' }).collect();
        base.truncate(90);
        if base.is_empty() {
            base.push_str("user");
        }
        let mut tx = self.pool().begin().await?;
        for number in 0_u32.. {
            let known: Option<Option<String>> = sqlx::query_scalar(
                "SELECT CASE WHEN disabled_at IS NULL THEN username END FROM app_user
                 WHERE oidc_issuer = $1 AND oidc_subject = $2",
            )
            .bind(issuer)
            .bind(subject)
            .fetch_optional(&mut *tx)
            .await?;
            if let Some(username) = known {
                tx.commit().await?;
                return match username {
                    Some(username) => self.user_named(&username).await,
                    None => Ok(None),
                };
            }
            let username = if number == 0 { base.clone() } else { format!("{base}-{number}") };
            sqlx::query(
                "INSERT INTO app_user (username, role, oidc_issuer, oidc_subject)
                 VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            )
            .bind(username)
            .bind(role.as_str())
            .bind(issuer)
            .bind(subject)
            .execute(&mut *tx)
            .await?;
        }
        Ok(None)
    }
}

fn is_username(name: &str) -> bool {
    (1..=100).contains(&name.len()) && name.chars().all(is_letter)
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@')
}
