//! Numbers as people read them.

/// `541,909 rows`, `1 row`.
#[must_use]
pub fn rows_text(count: u64, noun: &str) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    let plural = if count == 1 { "" } else { "s" };
    format!("{text} {noun}{plural}")
}

/// `45.0 MB`.
#[must_use]
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return rows_text(bytes, "byte");
    }
    let mut size = bytes as f64 / 1000.0;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_sized() {
        assert_eq!(rows_text(541_909, "row"), "541,909 rows");
        assert_eq!(rows_text(1, "row"), "1 row");
        assert_eq!(rows_text(0, "file"), "0 files");
        assert_eq!(bytes_text(999), "999 bytes");
        assert_eq!(bytes_text(45_047_766), "45.0 MB");
    }
}
