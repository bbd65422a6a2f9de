//! Addresses of servers: https, and http only where nobody listens in between, or where it is said so.

use std::net::IpAddr;

use anyhow::{Context, bail};
use url::{Host, Url};

/// Reads an address; it is kept with a scheme and without a slash at its end.
pub(super) fn address(written: &str, allow_http: bool) -> anyhow::Result<Url> {
    let with_scheme = match written.contains("://") {
        true => written.to_owned(),
        false => format!("https://{written}"),
    };
    let url = Url::parse(&with_scheme)
        .with_context(|| format!("`{written}` is no address such as https://subak.example.org"))?;
    if !url.username().is_empty() || url.password().is_some() {
        bail!("an address has no name and no password in it: `subak login` asks for them");
    }
    match url.scheme() {
        "https" => {}
        "http" if allow_http || is_loopback(&url) => {}
        "http" => bail!(
            "`{url}` is not encrypted, and a token would be read on its way: use https://, or say \
             --allow-http"
        ),
        other => bail!("`{other}://` is no way to a server: use https://"),
    }
    Ok(url)
}

/// The name under which a server is kept: its address without a slash at its end.
pub(super) fn name(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_encrypted_or_near() {
        let named = |written: &str| address(written, false).map(|url| name(&url).to_owned());
        assert_eq!(named("subak.example/").unwrap(), "https://subak.example");
        assert_eq!(named("https://one.example/subak/").unwrap(), "https://one.example/subak");
        for near in ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"] {
            assert_eq!(named(near).unwrap(), near);
        }
        for wrong in ["http://subak.example", "ftp://subak.example", "https://ana:pw@x", "https://"]
        {
            assert!(named(wrong).is_err(), "{wrong}");
        }
        assert!(address("http://subak.example", true).is_ok());
    }
}
