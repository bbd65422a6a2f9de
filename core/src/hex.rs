//! Bytes as hexadecimal digits, for JSON and for people.

use std::fmt::Write as _;

/// Bytes of a line of [`dump`].
const LINE: usize = 16;

/// Returns two digits for each byte.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

/// Reads what [`encode`] has written; `None` for anything else.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// Returns lines of 16 bytes, each with its place and with what of it can be read.
#[must_use]
pub fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (number, line) in bytes.chunks(LINE).enumerate() {
        let _infallible = write!(text, "{:08x}  ", number * LINE);
        for place in 0..LINE {
            let _infallible = match line.get(place) {
                Some(byte) => write!(text, "{byte:02x} "),
                None => write!(text, "   "),
            };
        }
        let is_shown = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        let shown = line.iter().map(|byte| if is_shown(*byte) { char::from(*byte) } else { '.' });
        text.push(' ');
        text.extend(shown);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_their_digits() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)), Some(all));
        assert_eq!(encode(b"\xffa"), "ff61");
        assert_eq!(decode("ff6"), None);
        assert_eq!(decode("fg"), None);
        assert_eq!(decode("é"), None);
    }

    #[test]
    fn a_dump_shows_places_digits_and_text() {
        let expected = "00000000  ff fe 6e 6f 20 74 65 78  74 00".replace("  74", " 74");
        let dumped = dump(b"\xff\xfeno text\0");
        assert!(dumped.starts_with(&expected), "{dumped}");
        assert!(dumped.ends_with("  ..no text.\n"), "{dumped}");
        assert_eq!(dump(&[0; 17]).lines().count(), 2);
    }
}
