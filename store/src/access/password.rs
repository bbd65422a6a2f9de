//! Passwords: what is accepted, how they are kept, how they are checked.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use secrecy::{ExposeSecret as _, SecretString};

/// Why a password is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordProblem {
    #[error("a password needs at least {} characters", PasswordProblem::SHORTEST)]
    TooShort,
    #[error("a password may have at most {} bytes", PasswordProblem::LONGEST)]
    TooLong,
    #[error("the password could not be hashed")]
    Hash,
}

impl PasswordProblem {
    /// NIST's shortest for a password that stands alone, less the rules about its letters.
    const SHORTEST: usize = 8;
    const LONGEST: usize = 1024;
}

/// Returns the password's form at rest. Slow on purpose: off the async threads.
pub(crate) async fn hash(password: &SecretString) -> Result<String, PasswordProblem> {
    let password = password.clone();
    if password.expose_secret().chars().count() < PasswordProblem::SHORTEST {
        return Err(PasswordProblem::TooShort);
    }
    if password.expose_secret().len() > PasswordProblem::LONGEST {
        return Err(PasswordProblem::TooLong);
    }
    blocking(move || {
        Argon2::default()
            .hash_password(password.expose_secret().as_bytes())
            .map(|hash| hash.to_string())
            .map_err(|_| PasswordProblem::Hash)
    })
    .await
    .unwrap_or(Err(PasswordProblem::Hash))
}

/// Whether the password fits. Without a hash it works as long, and says no: the time taken does not
/// tell whether a user exists.
pub(crate) async fn verify(password: &SecretString, hash: Option<String>) -> bool {
    let password = password.clone();
    if password.expose_secret().len() > PasswordProblem::LONGEST {
        return false;
    }
    blocking(move || match hash {
        Some(hash) => {
            Argon2::default().verify_password(password.expose_secret().as_bytes(), &*hash).is_ok()
        }
        None => {
            let _same_work = Argon2::default().hash_password(password.expose_secret().as_bytes());
            false
        }
    })
    .await
    .unwrap_or(false)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    #[tokio::test]
    async fn a_password_fits_its_own_hash_only() {
        let hash = hash(&secret("water on terraces")).await.unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(verify(&secret("water on terraces"), Some(hash.clone())).await);
        assert!(!verify(&secret("water on terrace"), Some(hash)).await);
        assert!(!verify(&secret("water on terraces"), None).await);
    }

    #[tokio::test]
    async fn short_and_endless_passwords_are_refused() {
        assert_eq!(hash(&secret("seven77")).await, Err(PasswordProblem::TooShort));
        assert_eq!(hash(&secret(&"x".repeat(1025))).await, Err(PasswordProblem::TooLong));
    }
}
