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

/// A connection cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The row was written under another key.
    #[error("connection `{conn_id}` is encrypted with key `{needed}`, this server has `{given}`")]
    OtherKey { conn_id: String, needed: String, given: String },
    /// The key is wrong, or the row was tampered with.
    #[error("connection `{0}` cannot be decrypted: the key is not the one that encrypted it")]
    Undecipherable(String),
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

    pub(crate) fn open(&self, sealed: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
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
        let rows: Vec<(String, i32, String, Vec<u8>)> = sqlx::query_as(
            "SELECT conn_id, version, key_id, value FROM connection WHERE conn_id = ANY ($1)",
        )
        .bind(conn_ids)
        .fetch_all(self.engine())
        .await
        .map_err(StoreError::from)?;
        rows.into_iter()
            .map(|(conn_id, version, key_id, sealed)| {
                if key_id != key.id {
                    let given = key.id.clone();
                    return Err(ConnectionError::OtherKey { conn_id, needed: key_id, given });
                }
                let value = key
                    .open(&sealed, &associated(&conn_id, version))
                    .and_then(|plain| serde_json::from_slice(&plain).ok())
                    .ok_or_else(|| ConnectionError::Undecipherable(conn_id.clone()))?;
                Ok((conn_id, value))
            })
            .collect()
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
