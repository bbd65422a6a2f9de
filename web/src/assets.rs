//! Styles, scripts and pictures, embedded. Their addresses hold a hash of their content: a browser
//! keeps them for ever, and asks anew when they change.

use std::fmt::Write as _;

use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "assets"]
struct Files;

/// Hex digits of the hash in an address: 48 bits tell our few files apart.
const HASH_BYTES: usize = 6;

/// An asset as it is answered.
#[derive(Debug)]
pub struct Asset {
    pub bytes: std::borrow::Cow<'static, [u8]>,
    pub content_type: &'static str,
}

/// Returns the address of an asset.
#[must_use]
pub fn url(name: &str) -> String {
    match Files::get(name) {
        Some(file) => format!("/assets/{}/{name}", hash(&file)),
        None => format!("/assets/0/{name}"),
    }
}

/// Returns the asset at `/assets/{hash}/{name}`; an address of another version finds nothing.
#[must_use]
pub fn get(hash_asked: &str, name: &str) -> Option<Asset> {
    let file = Files::get(name)?;
    if hash(&file) != hash_asked {
        return None;
    }
    let content_type = match name.rsplit_once('.').map(|(_, ending)| ending)? {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    };
    Some(Asset { bytes: file.data, content_type })
}

fn hash(file: &EmbeddedFile) -> String {
    let mut text = String::with_capacity(HASH_BYTES * 2);
    for byte in &file.metadata.sha256_hash()[..HASH_BYTES] {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_its_asset_only() {
        let address = url("app.css");
        let mut parts = address.trim_start_matches("/assets/").splitn(2, '/');
        let (hash, name) = (parts.next().unwrap(), parts.next().unwrap());
        assert_eq!(get(hash, name).unwrap().content_type, "text/css; charset=utf-8");
        assert!(get("000000000000", name).is_none());
        assert!(get(hash, "../Cargo.toml").is_none());
    }

    #[test]
    fn every_asset_has_a_type() {
        for name in Files::iter() {
            let file = Files::get(&name).unwrap();
            assert!(get(&hash(&file), &name).is_some(), "{name}");
        }
    }
}
