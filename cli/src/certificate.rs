//! The servers' certificate for workers: self-signed, trusted by its fingerprint.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// Makes `workers.crt` and `workers.key` in a folder, unless they are there; returns the former.
pub(crate) fn make(folder: &Path) -> anyhow::Result<PathBuf> {
    let (certificate, key) = (folder.join("workers.crt"), folder.join("workers.key"));
    if certificate.exists() {
        return Ok(certificate);
    }
    let writing = || format!("writing into `{}`", folder.display());
    fs::create_dir_all(folder).with_context(writing)?;
    let made =
        rcgen::generate_simple_self_signed(["subak".to_owned()]).context("making a certificate")?;
    write(&key, &made.signing_key.serialize_pem(), 0o600).with_context(writing)?;
    // The certificate comes last: where it is, its key is too.
    write(&certificate, &made.cert.pem(), 0o644).with_context(writing)?;
    Ok(certificate)
}

fn write(file: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let mut out =
        OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(file)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()
}

/// Returns the SHA-256 of the first certificate in a PEM file.
pub(crate) fn fingerprint(file: &Path) -> anyhow::Result<[u8; 32]> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("reading the certificate `{}`", file.display()))?;
    let der =
        der(&text).with_context(|| format!("`{}` holds no PEM certificate", file.display()))?;
    Ok(Sha256::digest(der).into())
}

fn der(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_has_a_fingerprint() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("tls");
        let file = make(&folder).unwrap();
        let first = fingerprint(&file).unwrap();
        assert_eq!(fingerprint(&make(&folder).unwrap()).unwrap(), first);
        assert!(fs::read_to_string(folder.join("workers.key")).unwrap().contains("PRIVATE KEY"));
    }

    #[test]
    fn another_file_is_no_certificate() {
        assert_eq!(der("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"), None);
    }
}
