//! The key that encrypts connections: from the environment, or the data folder of standalone.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};
use subak_store::EncryptionKey;

/// Name of the key's file in a data folder.
pub(crate) const KEY_FILE: &str = "secret.key";

/// Reads a key of 64 hexadecimal digits. Its id, which rows keep, is the start of its SHA-256.
pub(crate) fn parse(text: &str) -> anyhow::Result<EncryptionKey> {
    let text = text.trim();
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        bail!("the secret key is not 64 hexadecimal digits: make one with `openssl rand -hex 32`");
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16)?;
    }
    let id = hex(&Sha256::digest(bytes)[..4]);
    Ok(EncryptionKey::new(id, bytes))
}

/// Reads the key in a file.
pub(crate) fn read(file: &Path) -> anyhow::Result<EncryptionKey> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("reading the secret key `{}`", file.display()))?;
    parse(&text).with_context(|| format!("in `{}`", file.display()))
}

/// Draws a new key, as its file has it.
pub(crate) fn draw() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex(&bytes) + "\n"
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_and_its_id_follows_from_it() {
        let text = draw();
        let key = parse(&text).unwrap();
        assert_eq!(key.id, parse(&text.to_uppercase()).unwrap().id);
        assert_eq!(key.id.len(), 8);
        assert_ne!(key.id, parse(&draw()).unwrap().id);
    }

    #[test]
    fn another_text_is_refused_with_the_way_out() {
        for text in ["", "abc", &"g".repeat(64)] {
            assert!(parse(text).err().unwrap().to_string().contains("openssl rand -hex 32"));
        }
    }
}
