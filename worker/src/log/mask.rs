//! Hides secrets in a stream of bytes before they leave the worker.
//!
//! A secret is found however the stream is cut, and also where it was encoded on its way: base64
//! (both alphabets, at any alignment), URL-encoded, escaped as JSON. Overlapping secrets are hidden
//! as one. What could still become a secret is held back until the next bytes decide.

mod json;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

pub(crate) use json::hidden;

/// What stands in a secret's place.
pub(crate) const MASK: &[u8] = b"***";

/// Shorter values are no secrets: hiding them would make a log unreadable and protect nothing.
const SHORTEST: usize = 3;
/// Shorter pieces of an encoded secret would hide chance matches.
const SHORTEST_PIECE: usize = 6;

/// Every form of every secret.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    forms: Vec<Vec<u8>>,
    starts: Option<Box<[bool; 256]>>,
}

impl Patterns {
    /// Makes the forms of `secrets`.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms = Vec::new();
        for secret in secrets {
            add_forms(secret, &mut forms);
        }
        forms.sort();
        forms.dedup();
        if forms.is_empty() {
            return Self::default();
        }
        let mut starts = Box::new([false; 256]);
        for form in &forms {
            starts[usize::from(form[0])] = true;
        }
        Self { forms, starts: Some(starts) }
    }

    /// Hides the secrets of one whole text.
    pub(crate) fn mask(&self, text: &str) -> String {
        if self.starts.is_none() {
            return text.to_owned();
        }
        let (mut masker, mut out) = (Masker::default(), Vec::with_capacity(text.len()));
        masker.feed(self, text.as_bytes(), &mut out);
        masker.finish(self, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Hides the secrets in one whole record; `None` if there are none.
    pub(crate) fn mask_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.starts.as_ref()?;
        let (mut masker, mut out) = (Masker::default(), Vec::with_capacity(bytes.len()));
        masker.feed(self, bytes, &mut out);
        masker.finish(self, &mut out);
        (out != bytes).then_some(out)
    }

    /// How many bytes at the start of `bytes` are secret; `None` if more bytes must decide.
    fn secret_at(&self, bytes: &[u8], is_last: bool) -> Option<usize> {
        let mut longest = 0;
        for form in &self.forms {
            if bytes.starts_with(form) {
                longest = longest.max(form.len());
            } else if !is_last && form.starts_with(bytes) {
                return None;
            }
        }
        Some(longest)
    }
}

fn add_forms(secret: &str, forms: &mut Vec<Vec<u8>>) {
    if secret.len() < SHORTEST {
        return;
    }
    forms.push(secret.as_bytes().to_vec());
    let json = serde_json::Value::from(secret).to_string();
    forms.push(json.as_bytes()[1..json.len() - 1].to_vec());
    forms.extend(url_forms(secret));
    forms.extend(
        [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD]
            .map(|alphabet| alphabet.encode(secret).into_bytes()),
    );
    for alignment in 0..3 {
        forms.extend(base64_pieces(secret, alignment));
    }
    // A key of several lines: other output may come between them.
    if secret.contains('\n') {
        let lines = secret.lines().map(str::trim).filter(|line| line.len() >= 2 * SHORTEST_PIECE);
        forms.extend(lines.map(|line| line.as_bytes().to_vec()));
    }
}

/// The characters that encode nothing but the secret when it starts at byte `alignment` modulo 3.
fn base64_pieces(secret: &str, alignment: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut bytes = vec![0; alignment];
    bytes.extend_from_slice(secret.as_bytes());
    let first = (alignment * 8).div_ceil(6);
    let end = bytes.len() * 8 / 6;
    [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)]
        .into_iter()
        .filter(move |_| end >= first + SHORTEST_PIECE)
        .map(move |text| text.as_bytes()[first..end].to_vec())
}

/// Percent-encoded, in both cases of the digits, with a space as `%20` and as `+`, with and without
/// the characters that some encoders leave alone.
fn url_forms(secret: &str) -> Vec<Vec<u8>> {
    let encode = |keep: &str, upper: bool, plus: bool| {
        let mut out = String::new();
        for byte in secret.bytes() {
            match byte {
                b' ' if plus => out.push('+'),
                _ if byte.is_ascii_alphanumeric() || keep.as_bytes().contains(&byte) => {
                    out.push(char::from(byte));
                }
                _ if upper => out.push_str(&format!("%{byte:02X}")),
                _ => out.push_str(&format!("%{byte:02x}")),
            }
        }
        out.into_bytes()
    };
    let mut forms = Vec::new();
    for keep in ["-_.~", "-_.~/", "-_.*", "-_.!~*'()", "-_.~!$&'()*+,;="] {
        for (upper, plus) in [(true, false), (false, false), (true, true), (false, true)] {
            forms.push(encode(keep, upper, plus));
        }
    }
    forms
}

/// The place in one stream.
#[derive(Debug, Default)]
pub(crate) struct Masker {
    /// Not passed on yet: the beginning of what may become a secret.
    held: Vec<u8>,
    /// How many of the next bytes belong to a secret already hidden.
    covered: usize,
}

impl Masker {
    /// Passes `bytes` on to `out`, secrets hidden.
    pub(crate) fn feed(&mut self, patterns: &Patterns, bytes: &[u8], out: &mut Vec<u8>) {
        if patterns.starts.is_none() {
            out.extend_from_slice(bytes);
        } else if self.held.is_empty() {
            let passed = self.pass(patterns, bytes, false, out);
            self.held.extend_from_slice(&bytes[passed..]);
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(bytes);
            let passed = self.pass(patterns, &held, false, out);
            held.drain(..passed);
            self.held = held;
        }
    }

    /// Passes on what was held: the stream has ended.
    pub(crate) fn finish(&mut self, patterns: &Patterns, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        self.pass(patterns, &held, true, out);
    }

    /// Returns how many bytes were passed on or hidden.
    fn pass(
        &mut self,
        patterns: &Patterns,
        bytes: &[u8],
        is_last: bool,
        out: &mut Vec<u8>,
    ) -> usize {
        let Some(starts) = &patterns.starts else { return 0 };
        for (at, byte) in bytes.iter().enumerate() {
            if starts[usize::from(*byte)] {
                let Some(secret) = patterns.secret_at(&bytes[at..], is_last) else { return at };
                if secret > 0 && self.covered == 0 {
                    out.extend_from_slice(MASK);
                }
                self.covered = self.covered.max(secret);
            }
            if self.covered > 0 {
                self.covered -= 1;
            } else {
                out.push(*byte);
            }
        }
        bytes.len()
    }
}

#[cfg(test)]
mod tests;
