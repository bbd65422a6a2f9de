//! Users and their roles.

use secrecy::SecretString;
use uuid::Uuid;

use super::password;
use crate::{PasswordProblem, Store, StoreError};

/// What a user may do; each role may do all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
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
    pub const ALL: [Self; 4] = [Self::Viewer, Self::User, Self::Op, Self::Admin];

    /// The spelling in the database and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
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
    pub role: Role,
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
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        // A role of a later version grants nothing but looking.
        let role = Role::parse(&row.role).unwrap_or(Role::Viewer);
        Self { user_id: row.user_id, username: row.username, role }
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
             RETURNING user_id, username, role",
        )
        .bind(username)
        .bind(hash)
        .bind(role.as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(StoreError::from)?;
        made.map(User::from).ok_or_else(|| NewUserError::Exists(username.to_owned()))
    }

    /// Returns the user of this name, unless disabled.
    pub async fn user_named(&self, username: &str) -> Result<Option<User>, StoreError> {
        let row: Option<UserRow> = sqlx::query_as(
            "SELECT user_id, username, role FROM app_user
             WHERE username = $1 AND disabled_at IS NULL",
        )
        .bind(username)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(User::from))
    }

    /// Returns all users that are not disabled, by name.
    pub async fn user_list(&self) -> Result<Vec<User>, StoreError> {
        let rows: Vec<UserRow> = sqlx::query_as(
            "SELECT user_id, username, role FROM app_user
             WHERE disabled_at IS NULL ORDER BY username LIMIT 1000",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(User::from).collect())
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
        .fetch_optional(&self.pool)
        .await?;
        if password::verify(password, hash.flatten()).await {
            self.user_named(username).await
        } else {
            Ok(None)
        }
    }
}

fn is_username(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@'))
}
