//! Random secrets, and their form at rest.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};

/// 256 random bits behind a prefix that says what it opens, for people and for scanners.
pub struct Secret(String);

impl Secret {
    /// Draws a new one.
    pub(crate) fn draw(prefix: &str) -> Self {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        Self(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The text to hand to its owner, once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What is kept of a secret. It has 256 bits of its own, so it needs neither salt nor slowness.
pub(crate) fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_do_not_print() {
        let (left, right) = (Secret::draw("a_"), Secret::draw("a_"));
        assert_ne!(left.expose(), right.expose());
        assert!(left.expose().starts_with("a_"));
        assert!(left.expose().len() > 40);
        assert_eq!(format!("{left:?}"), "Secret(…)");
    }
}
