//! Numbers and booleans from their bytes.

/// Parses an integer; the common short ones quickly.
#[inline]
pub fn integer(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    // Eighteen digits cannot overflow.
    if digits.is_empty() || digits.len() > 18 {
        return std::str::from_utf8(bytes).ok()?.trim().parse().ok();
    }
    let mut value: i64 = 0;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return trimmed(bytes).and_then(integer);
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

/// Parses a floating-point number.
#[inline]
pub fn double(bytes: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.parse().ok().or_else(|| text.trim().parse().ok())
}

/// Parses a boolean: true, t, yes, y, 1 and their opposites, in any case.
pub fn boolean(bytes: &[u8]) -> Option<bool> {
    const YES: [&str; 5] = ["true", "t", "yes", "y", "1"];
    const NO: [&str; 5] = ["false", "f", "no", "n", "0"];
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let is = |word: &&str| text.eq_ignore_ascii_case(word);
    if YES.iter().any(is) {
        Some(true)
    } else if NO.iter().any(is) {
        Some(false)
    } else {
        None
    }
}

/// Returns the bytes without the spaces around them, if there are any.
pub fn trimmed(bytes: &[u8]) -> Option<&[u8]> {
    let inner = bytes.trim_ascii();
    (inner.len() < bytes.len() && !inner.is_empty()).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_to_their_limits_and_no_further() {
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(integer(text.as_bytes()), expected, "{text}");
        };
        check("17850", Some(17850));
        check("-24", Some(-24));
        check("+7", Some(7));
        check(" 12 ", Some(12));
        check("9223372036854775807", Some(i64::MAX));
        check("-9223372036854775808", Some(i64::MIN));
        check("9223372036854775808", None);
        check("", None);
        check("-", None);
        check("12a", None);
        check("1.0", None);
        check(" ", None);
    }

    #[test]
    fn booleans_have_their_usual_spellings() {
        assert_eq!(boolean(b"TRUE"), Some(true));
        assert_eq!(boolean(b"n"), Some(false));
        assert_eq!(boolean(b"maybe"), None);
    }
}
