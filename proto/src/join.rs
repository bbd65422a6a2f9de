//! The join token: what a worker shows to the servers, and by what it knows them.

use std::fmt;
use std::str::FromStr;

/// `subak-join.<secret>.<certificate>`: the secret travels as the bearer of each call, its SHA-256
/// is what the server keeps; the certificate (absent where there is no TLS) is the SHA-256 of the
/// servers' certificate in DER, in hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// At least 256 random bits, in URL-safe characters without a dot.
    pub secret: String,
    /// The certificate that the worker trusts, and no other.
    pub certificate: Option<[u8; 32]>,
}

/// A text that is no join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoJoinToken;

const PREFIX: &str = "subak-join";

impl FromStr for JoinToken {
    type Err = NoJoinToken;

    fn from_str(text: &str) -> Result<Self, NoJoinToken> {
        let mut parts = text.trim().split('.');
        let (prefix, secret) = (parts.next(), parts.next());
        let secret = secret.filter(|secret| !secret.is_empty() && prefix == Some(PREFIX));
        let certificate = parts.next().filter(|pin| !pin.is_empty()).map(digest).transpose()?;
        match (secret, parts.next()) {
            (Some(secret), None) => Ok(Self { secret: secret.to_owned(), certificate }),
            _ => Err(NoJoinToken),
        }
    }
}

fn digest(hex: &str) -> Result<[u8; 32], NoJoinToken> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(NoJoinToken);
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).map_err(|_| NoJoinToken)?;
    }
    Ok(bytes)
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}.{}", self.secret)?;
        if let Some(certificate) = &self.certificate {
            f.write_str(".")?;
            certificate.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken")
    }
}

impl fmt::Display for NoJoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a join token: make one with `subak workers token`")
    }
}

impl std::error::Error for NoJoinToken {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        for certificate in [None, Some([0xab; 32])] {
            let token = JoinToken { secret: "s3cr-et_".to_owned(), certificate };
            assert_eq!(token.to_string().parse(), Ok(token));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let long = format!("subak-join.s.{}.x", "ab".repeat(32));
        for text in ["", "subak-join", "subak-join.", "other.s", "subak-join.s.abc", &long] {
            assert_eq!(text.parse::<JoinToken>(), Err(NoJoinToken), "{text}");
        }
    }
}
