//! Where datasets and files are: `file://` URLs, paths and patterns.

use std::path::{Path, PathBuf};

use subak_task::FileAccess;

use crate::error::DataError;

/// Returns the path that a URL or a path means.
pub(crate) fn to_path(location: &str) -> Result<PathBuf, DataError> {
    match location.split_once("://") {
        None => Ok(PathBuf::from(location)),
        Some(("file", path)) => decode(path)
            .map(PathBuf::from)
            .ok_or_else(|| DataError::permanent(format!("`{location}` is not a valid file URL"))),
        Some((scheme, _)) => Err(DataError::permanent(format!(
            "`{location}`: {scheme}:// is not supported yet: use a path or a file:// URL"
        ))),
    }
}

/// Returns the URL of a path, made absolute.
pub(crate) fn to_url(path: &Path) -> Result<String, DataError> {
    let absolute =
        std::path::absolute(path).map_err(|error| DataError::io("locating", path, error))?;
    let text = absolute.to_str().ok_or_else(|| {
        DataError::permanent(format!("{}: the path is not UTF-8: rename it", absolute.display()))
    })?;
    Ok(format!("file://{}", encode(text)))
}

/// Returns the path that a parameter means, if the task may go there.
pub(crate) fn permitted(location: &str, access: &FileAccess) -> Result<PathBuf, DataError> {
    let path = to_path(location)?;
    access.check(&path)?;
    Ok(path)
}

/// Returns the files that a path or a pattern with `*` in its last part names, sorted.
pub(crate) fn files(location: &str, access: &FileAccess) -> Result<Vec<PathBuf>, DataError> {
    let path = permitted(location, access)?;
    if !is_pattern(&path) {
        let data = path.metadata().map_err(|error| DataError::io("opening", &path, error))?;
        if data.is_dir() {
            return Err(DataError::io("opening", &path, std::io::ErrorKind::IsADirectory.into()));
        }
        return Ok(vec![path]);
    }
    let files = matching(location, access)?;
    if files.is_empty() {
        return Err(DataError::permanent(format!(
            "no file matches {}: check the pattern",
            path.display()
        )));
    }
    Ok(files)
}

fn is_pattern(path: &Path) -> bool {
    name_of(path).contains('*')
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Returns the files that there are now of those that a path or a pattern names, sorted.
pub(crate) fn matching(location: &str, access: &FileAccess) -> Result<Vec<PathBuf>, DataError> {
    let path = permitted(location, access)?;
    if !is_pattern(&path) {
        return Ok(if path.is_file() { vec![path] } else { Vec::new() });
    }
    let name = name_of(&path);
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = folder.read_dir().map_err(|error| DataError::io("listing", folder, error))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| DataError::io("listing", folder, error))?;
        let matching = entry.file_name().to_str().is_some_and(|found| matches(name, found));
        if matching && entry.path().is_file() {
            access.check(&entry.path())?;
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// Says whether a file's name fits a pattern in which `*` stands for any characters. Hidden files
/// fit only a pattern that begins with a dot: they may be half-written.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

fn encode(path: &str) -> String {
    let mut url = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'%' | b' ' | b'?' | b'#' | b'*' | 0..=0x1f | 0x7f.. => {
                url.push_str(&format!("%{byte:02X}"));
            }
            _ => url.push(char::from(byte)),
        }
    }
    url
}

fn decode(url: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(url.len());
    let mut rest = url.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names() {
        let check = |pattern: &str, name: &str, expected: bool| {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        };
        check("*.csv", "a.csv", true);
        check("*.csv", "a.csv.gz", false);
        check("*.csv", ".a.csv", false);
        check("sales-*-*.csv", "sales-2010-12.csv", true);
        check("sales-*-*.csv", "sales-2010.csv", false);
        check("a*a", "a", false);
    }

    #[test]
    fn a_url_means_the_path_it_was_made_from() {
        let path = Path::new("/data/a b/100%*?#é.csv");
        assert_eq!(to_path(&to_url(path).unwrap()).unwrap(), path);
        assert!(to_path("s3://bucket/a.csv").is_err());
    }
}
