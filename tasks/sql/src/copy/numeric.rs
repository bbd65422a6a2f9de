//! Exact conversions between kinds of numbers, and PostgreSQL's binary `numeric`.

/// Decimal digits in one of `numeric`'s.
const GROUP: usize = 4;
const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;

/// Writes an integer as `numeric`.
pub(crate) fn integer(value: i128, out: &mut Vec<u8>) {
    let mut rest = value.unsigned_abs();
    // 128 bits have at most 39 decimal digits.
    let mut groups = [0_u16; 10];
    let mut count = 0;
    while rest > 0 {
        groups[count] = u16::try_from(rest % 10_000).unwrap_or_default();
        rest /= 10_000;
        count += 1;
    }
    let zeros = groups[..count].iter().take_while(|group| **group == 0).count();
    let weight = i16::try_from(count).unwrap_or_default() - 1;
    let sign = if value < 0 { NEGATIVE } else { POSITIVE };
    put(out, groups[zeros..count].iter().rev().copied(), weight.max(0), sign, 0);
}

/// Writes a decimal number, as Rust and Arrow print them, as `numeric`; `NaN` and infinities too.
pub(crate) fn decimal(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    match text {
        "NaN" => return special(NAN, out),
        "inf" => return special(INFINITY, out),
        "-inf" => return special(MINUS_INFINITY, out),
        _ => {}
    }
    let (sign, digits) =
        text.strip_prefix('-').map_or((POSITIVE, text), |digits| (NEGATIVE, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|digit| digit.is_ascii_digit()) {
        return Err(format!("`{text}` is no decimal number"));
    }
    let whole = whole.trim_start_matches('0');
    let scale = u16::try_from(fraction.len()).map_err(|_| "it has too many digits")?;
    let mut groups: Vec<u16> = Vec::with_capacity((whole.len() + fraction.len()) / GROUP + 2);
    let first = whole.len() % GROUP;
    if first > 0 {
        groups.push(group(&whole[..first], first));
    }
    groups.extend(whole.as_bytes()[first..].chunks(GROUP).map(number));
    let whole_groups = i16::try_from(groups.len()).map_err(|_| "it has too many digits")?;
    groups.extend(fraction.as_bytes().chunks(GROUP).map(left_aligned));
    // Groups of zeros at either end are not stored.
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups[leading..].iter().rev().take_while(|group| **group == 0).count();
    let stored = &groups[leading..groups.len() - trailing];
    let weight = whole_groups - 1 - i16::try_from(leading).map_err(|_| "it has too many digits")?;
    let (weight, sign) = if stored.is_empty() { (0, POSITIVE) } else { (weight, sign) };
    put(out, stored.iter().copied(), weight, sign, scale);
    Ok(())
}

fn special(sign: u16, out: &mut Vec<u8>) -> Result<(), String> {
    put(out, std::iter::empty(), 0, sign, 0);
    Ok(())
}

fn put(
    out: &mut Vec<u8>,
    groups: impl Iterator<Item = u16> + Clone,
    weight: i16,
    sign: u16,
    scale: u16,
) {
    let count = u16::try_from(groups.clone().count()).unwrap_or(u16::MAX);
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
    groups.for_each(|group| out.extend_from_slice(&group.to_be_bytes()));
}

fn group(digits: &str, length: usize) -> u16 {
    number(&digits.as_bytes()[..length])
}

fn number(digits: &[u8]) -> u16 {
    digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
}

fn left_aligned(digits: &[u8]) -> u16 {
    (digits.len()..GROUP).fold(number(digits), |number, _| number * 10)
}

/// Returns the integer that a double is, or why it is none.
pub(crate) fn whole(value: f64) -> Result<i128, String> {
    if value.fract() == 0.0 && value.abs() < 1e30 {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
        return Ok(value as i128);
    }
    Err(format!("{value} is no integer: round it in a `transform`"))
}

/// Returns the integer that a decimal number is, or why it is none.
pub(crate) fn whole_decimal(text: &str) -> Result<i128, String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.bytes().any(|digit| digit != b'0') {
        return Err(format!("{text} is no integer: round it in a `transform`"));
    }
    whole.parse().map_err(|_| format!("{text} is out of range"))
}

/// Returns the same value as a double, or why there is none.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "compared after")]
pub(crate) fn exact_f64(value: i128) -> Result<f64, String> {
    let double = value as f64;
    if double as i128 == value { Ok(double) } else { Err(too_precise(value)) }
}

/// Returns the same value as a float, or why there is none.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "compared after")]
pub(crate) fn exact_f32(value: i128) -> Result<f32, String> {
    let float = value as f32;
    if float as i128 == value { Ok(float) } else { Err(too_precise(value)) }
}

/// Returns the same value as a float, or why there is none.
#[expect(clippy::cast_possible_truncation, clippy::float_cmp, reason = "compared after, exactly")]
pub(crate) fn narrow(value: f64) -> Result<f32, String> {
    let float = value as f32;
    if f64::from(float) == value || value.is_nan() { Ok(float) } else { Err(too_precise(value)) }
}

fn too_precise(value: impl std::fmt::Display) -> String {
    format!("{value} has more digits than the column keeps: use `numeric`, or round it")
}
