//! Connections: encrypted at rest under a key that is not in the database.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use rand::RngCore;
use secrecy::{ExposeSecret, SecretBox};
use serde_json::Value;
use sqlx::FromRow;

use crate::{Store, StoreError};

/// The key that encrypts connections. All servers share it; its id says which one a row needs.
pub struct EncryptionKey {
    pub id: String,
    key: SecretBox<[u8; 32]>,
}

/// A connection without its secrets, for lists.
#[derive(Debug, Clone, FromRow)]
pub struct ConnectionHead {
    pub conn_id: String,
    pub conn_type: String,
    pub description: Option<String>,
}

/// A connection or a variable cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sealed(#[from] Sealed),
}

/// A row that this process's key does not open. `what`: the kind and the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Sealed {
    /// The row was written under another key.
    #[error(
        "{what} is encrypted with key `{needed}`, and here is key `{given}`: all servers and \
         commands need the same; or remove it and add it again"
    )]
    OtherKey { what: String, needed: String, given: String },
    /// The key is wrong, or the row was tampered with.
    #[error(
        "{0} cannot be decrypted, though its key's id is right: its row was changed by other means; \
         remove it and add it again"
    )]
    Undecipherable(String),
}

impl Sealed {
    /// What a list says of the row beside its description.
    #[must_use]
    pub fn beside(&self, description: Option<&str>) -> String {
        match description {
            Some(text) if !text.is_empty() => format!("{text} ({self})"),
            _ => self.to_string(),
        }
    }
}

/// AES-GCM's nonce.
const NONCE_BYTES: usize = 12;

impl EncryptionKey {
    /// Wraps 32 random bytes.
    #[must_use]
    pub fn new(id: impl Into<String>, bytes: [u8; 32]) -> Self {
        Self { id: id.into(), key: SecretBox::new(Box::new(bytes)) }
    }

    /// Which key it is.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&Key::<Aes256Gcm>::from(*self.key.expose_secret()))
    }

    pub(crate) fn seal(&self, plain: &[u8], aad: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let sealed = self
            .cipher()
            .encrypt(&Nonce::from(nonce), Payload { msg: plain, aad })
            .expect("AES-GCM encrypts any message of less than 64 GiB");
        [&nonce[..], &sealed].concat()
    }

    /// Opens a row's ciphertext, which names the key that it was made with.
    pub(crate) fn open_row(
        &self,
        what: &str,
        key_id: &str,
        sealed: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, Sealed> {
        if key_id != self.id {
            let (needed, given) = (key_id.to_owned(), self.id.clone());
            return Err(Sealed::OtherKey { what: what.to_owned(), needed, given });
        }
        self.open(sealed, aad).ok_or_else(|| Sealed::Undecipherable(what.to_owned()))
    }

    fn open(&self, sealed: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
        self.cipher().decrypt(&Nonce::from(nonce), Payload { msg: sealed, aad }).ok()
    }
}

/// What binds a ciphertext to its row.
fn associated(conn_id: &str, version: i32) -> Vec<u8> {
    format!("{version}:{conn_id}").into_bytes()
}

impl Store {
    /// Adds or replaces a connection; `value` is its JSON.
    pub async fn connection_put(
        &self,
        key: &EncryptionKey,
        conn_id: &str,
        conn_type: &str,
        description: Option<&str>,
        value: &Value,
    ) -> Result<(), StoreError> {
        let mut tx = self.pool().begin().await?;
        let (version,): (i32,) = sqlx::query_as(
            "INSERT INTO connection AS c (conn_id, conn_type, description, key_id, value)
             VALUES ($1, $2, $3, $4, '')
             ON CONFLICT (conn_id) DO UPDATE
             SET conn_type = EXCLUDED.conn_type, description = EXCLUDED.description,
                 key_id = EXCLUDED.key_id, version = c.version + 1, updated_at = now()
             RETURNING version",
        )
        .bind(conn_id)
        .bind(conn_type)
        .bind(description)
        .bind(&key.id)
        .fetch_one(&mut *tx)
        .await?;
        let sealed = key.seal(value.to_string().as_bytes(), &associated(conn_id, version));
        sqlx::query("UPDATE connection SET value = $2 WHERE conn_id = $1")
            .bind(conn_id)
            .bind(sealed)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Decrypts connections; those that do not exist are missing in the answer.
    pub async fn connections_open(
        &self,
        key: &EncryptionKey,
        conn_ids: &[String],
    ) -> Result<Vec<(String, Value)>, ConnectionError> {
        let each = self.connections_open_each(key, conn_ids).await?;
        each.into_iter().map(|(conn_id, value)| Ok((conn_id, value?))).collect()
    }

    /// The same for lists: one that cannot be decrypted does not hide the others.
    pub async fn connections_open_each(
        &self,
        key: &EncryptionKey,
        conn_ids: &[String],
    ) -> Result<Vec<(String, Result<Value, Sealed>)>, StoreError> {
        let rows: Vec<(String, i32, String, Vec<u8>)> = sqlx::query_as(
            "SELECT conn_id, version, key_id, value FROM connection WHERE conn_id = ANY ($1)",
        )
        .bind(conn_ids)
        .fetch_all(self.engine())
        .await?;
        let open = |(conn_id, version, key_id, sealed): (String, i32, String, Vec<u8>)| {
            let what = format!("connection `{conn_id}`");
            let plain = key.open_row(&what, &key_id, &sealed, &associated(&conn_id, version));
            let value = plain.and_then(|plain| {
                serde_json::from_slice(&plain).map_err(|_| Sealed::Undecipherable(what))
            });
            (conn_id, value)
        };
        Ok(rows.into_iter().map(open).collect())
    }

    /// All connections, without secrets.
    pub async fn connections(&self) -> Result<Vec<ConnectionHead>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT conn_id, conn_type, description FROM connection ORDER BY conn_id LIMIT 1000",
        )
        .fetch_all(self.pool())
        .await?)
    }

    /// Removes a connection; false if there is none.
    pub async fn connection_remove(&self, conn_id: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM connection WHERE conn_id = $1")
            .bind(conn_id)
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ciphertext_opens_only_in_its_own_row_and_under_its_own_key() {
        let key = EncryptionKey::new("a", [7; 32]);
        let sealed = key.seal(b"hunter2", &associated("warehouse", 1));
        assert_eq!(key.open(&sealed, &associated("warehouse", 1)).unwrap(), b"hunter2");
        assert!(key.open(&sealed, &associated("warehouse", 2)).is_none());
        assert!(key.open(&sealed, &associated("other", 1)).is_none());
        assert!(
            EncryptionKey::new("a", [8; 32]).open(&sealed, &associated("warehouse", 1)).is_none()
        );
        assert!(key.open(b"short", &associated("warehouse", 1)).is_none());
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
    }
}
