//! Tokens of servers, in a file of the user's that nobody else reads.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What `subak login` keeps of a server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Credential {
    pub(super) username: Option<String>,
    #[serde(serialize_with = "exposed", deserialize_with = "hidden")]
    pub(super) token: SecretString,
    pub(super) expires_at: Option<DateTime<Utc>>,
    /// The authority that signed the server's certificate, PEM.
    pub(super) cacert: Option<PathBuf>,
    #[serde(default)]
    pub(super) allow_http: bool,
}

/// By address.
type All = BTreeMap<String, Credential>;

fn exposed<S: Serializer>(token: &SecretString, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(token.expose_secret())
}

fn hidden<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    String::deserialize(from).map(SecretString::from)
}

/// The file: `$XDG_CONFIG_HOME/subak/servers.json`.
fn file() -> anyhow::Result<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".config"));
    let folder = config.filter(|folder| folder.is_absolute()).or_else(home);
    Ok(folder.context("there is no home folder: set HOME")?.join("subak/servers.json"))
}

fn read(file: &Path) -> anyhow::Result<All> {
    let reading = || format!("reading `{}`", file.display());
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(All::new()),
        Err(error) => return Err(error).with_context(reading),
    };
    if fs::metadata(file).with_context(reading)?.permissions().mode() & 0o077 != 0 {
        bail!("others may read the tokens in `{0}`: say `chmod 600 {0}`", file.display());
    }
    // The parser's own words could quote a token.
    serde_json::from_str(&text).ok().with_context(|| {
        format!("`{}` cannot be read: remove it, and sign in again", file.display())
    })
}

/// Never readable by others, not even for a moment; and never half a file.
fn write(file: &Path, all: &All) -> anyhow::Result<()> {
    let writing = || format!("writing `{}`", file.display());
    let folder = file.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder).with_context(writing)?;
    let mut new = tempfile::NamedTempFile::new_in(folder).with_context(writing)?;
    new.write_all(serde_json::to_string_pretty(all)?.as_bytes()).with_context(writing)?;
    new.persist(file).with_context(writing)?;
    Ok(())
}

/// Returns what is kept of a server, if somebody has signed in there.
pub(super) fn of(server: &str) -> anyhow::Result<Option<Credential>> {
    Ok(read(&file()?)?.remove(server))
}

/// Keeps it; returns where.
pub(super) fn keep(server: &str, credential: Credential) -> anyhow::Result<PathBuf> {
    let file = file()?;
    let mut all = read(&file)?;
    all.insert(server.to_owned(), credential);
    write(&file, &all)?;
    Ok(file)
}

/// Forgets a server; `None`: nothing was kept of it.
pub(super) fn forget(server: &str) -> anyhow::Result<Option<Credential>> {
    let file = file()?;
    let mut all = read(&file)?;
    let gone = all.remove(server);
    if gone.is_some() {
        write(&file, &all)?;
    }
    Ok(gone)
}

/// The servers that are kept.
pub(super) fn servers() -> anyhow::Result<Vec<String>> {
    Ok(read(&file()?)?.into_keys().collect())
}
