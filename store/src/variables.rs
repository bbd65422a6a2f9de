//! Variables, encrypted like connections.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, Postgres, QueryBuilder};

use crate::connections::{ConnectionError, EncryptionKey, Sealed};
use crate::read::{Orders, Page, TextFilter, page};
use crate::{Store, StoreError};

/// A variable, decrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    pub key: String,
    pub value: String,
    pub description: Option<String>,
    pub updated_at: DateTime<Utc>,
}

/// A variable of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedVariable {
    pub key: String,
    /// Or why it cannot be decrypted.
    pub value: Result<String, Sealed>,
    pub description: Option<String>,
    pub updated_at: DateTime<Utc>,
}

/// What variables are ordered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum VariableOrder {
    #[default]
    Key,
    /// As it is kept: encrypted.
    Value,
    Description,
    /// What all have alike.
    Nothing,
}

impl VariableOrder {
    fn column(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
            Self::Description => "description",
            Self::Nothing => "NULL::text",
        }
    }
}

#[derive(FromRow)]
struct Row {
    key: String,
    description: Option<String>,
    version: i32,
    key_id: String,
    value: Vec<u8>,
    updated_at: DateTime<Utc>,
}

/// Tells a variable's ciphertext from a connection's of the same name.
fn associated(key: &str, version: i32) -> Vec<u8> {
    format!("variable:{version}:{key}").into_bytes()
}

impl Store {
    /// Sets a variable; without a description it keeps the one it has, and an empty one removes it.
    /// False if there was one and `replace` does not hold.
    pub async fn variable_put(
        &self,
        key: &EncryptionKey,
        name: &str,
        value: &str,
        description: Option<&str>,
        replace: bool,
    ) -> Result<bool, StoreError> {
        let mut tx = self.pool().begin().await?;
        let version: Option<i32> = sqlx::query_scalar(
            "INSERT INTO variable AS v (key, description, key_id, value)
             VALUES ($1, nullif($2::text, ''), $3, '')
             ON CONFLICT (key) DO UPDATE
             SET description = nullif(coalesce($2::text, v.description), ''),
                 key_id = EXCLUDED.key_id, version = v.version + 1, updated_at = now()
             WHERE $4
             RETURNING version",
        )
        .bind(name)
        .bind(description)
        .bind(key.id())
        .bind(replace)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(version) = version else { return Ok(false) };
        sqlx::query("UPDATE variable SET value = $2 WHERE key = $1")
            .bind(name)
            .bind(key.seal(value.as_bytes(), &associated(name, version)))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Decrypts variables by name; those that do not exist are missing in the answer.
    pub async fn variables_open(
        &self,
        key: &EncryptionKey,
        names: &[String],
    ) -> Result<Vec<Variable>, ConnectionError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT key, description, version, key_id, value, updated_at FROM variable
             WHERE key = ANY ($1)",
        )
        .bind(names)
        .fetch_all(self.engine())
        .await
        .map_err(StoreError::from)?;
        rows.into_iter().map(|row| Ok(row.open(key)?)).collect()
    }

    /// A page of the variables, decrypted; one that cannot be does not hide the others.
    pub async fn variables(
        &self,
        key: &EncryptionKey,
        wanted: &TextFilter,
        orders: &Orders<VariableOrder>,
        limit: i64,
        offset: i64,
    ) -> Result<Page<ListedVariable>, StoreError> {
        let of = |query: &mut QueryBuilder<Postgres>| {
            query.push(" FROM variable WHERE true");
            wanted.push(query, "key");
        };
        let columns = "SELECT key, description, version, key_id, value, updated_at";
        let by = |query: &mut QueryBuilder<Postgres>| {
            orders.push(query, VariableOrder::column, &["key"]);
        };
        let rows: Page<Row> = page(self.pool(), columns, of, by, (limit, offset)).await?;
        let items = rows.items.into_iter().map(|row| row.listed(key)).collect();
        Ok(Page { items, total: rows.total })
    }

    /// Removes a variable; false if there is none.
    pub async fn variable_remove(&self, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM variable WHERE key = $1")
            .bind(name)
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

impl Row {
    fn open(self, key: &EncryptionKey) -> Result<Variable, Sealed> {
        let ListedVariable { key, value, description, updated_at } = self.listed(key);
        Ok(Variable { key, value: value?, description, updated_at })
    }

    fn listed(self, key: &EncryptionKey) -> ListedVariable {
        let what = format!("variable `{}`", self.key);
        let aad = associated(&self.key, self.version);
        let value = key
            .open_row(&what, &self.key_id, &self.value, &aad)
            .and_then(|plain| String::from_utf8(plain).map_err(|_| Sealed::Undecipherable(what)));
        let Self { key, description, updated_at, .. } = self;
        ListedVariable { key, value, description, updated_at }
    }
}
