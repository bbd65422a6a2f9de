//! Text and bytes.

use arrow::array::ArrayAccessor;
use uuid::Uuid;

use super::cell::{Cell, lossy};
use super::pg_type::PgType;

/// First byte of a binary `jsonb`: its version.
pub(super) const JSONB_VERSION: u8 = 1;

/// Returns the writer of a text column.
pub(crate) fn text<'a>(
    array: impl ArrayAccessor<Item = &'a str> + Copy + 'a,
    to: PgType,
) -> Result<Cell<'a>, String> {
    Ok(match to {
        PgType::Text | PgType::Json => Box::new(move |row, out| put(array.value(row), out)),
        PgType::Jsonb => Box::new(move |row, out| {
            out.push(JSONB_VERSION);
            put(array.value(row), out)
        }),
        PgType::Bytea => Box::new(move |row, out| {
            out.extend_from_slice(array.value(row).as_bytes());
            Ok(())
        }),
        PgType::Uuid => Box::new(move |row, out| {
            let text = array.value(row);
            let uuid = Uuid::parse_str(text.trim());
            let uuid = uuid.map_err(|_| format!("`{}` is no UUID", short(text)))?;
            out.extend_from_slice(uuid.as_bytes());
            Ok(())
        }),
        _ => {
            return lossy("give the column its type where it is read, or cast it in a `transform`");
        }
    })
}

/// Returns the writer of a column of bytes.
pub(crate) fn bytes<'a>(
    array: impl ArrayAccessor<Item = &'a [u8]> + Copy + 'a,
    to: PgType,
) -> Result<Cell<'a>, String> {
    Ok(match to {
        PgType::Bytea => Box::new(move |row, out| {
            out.extend_from_slice(array.value(row));
            Ok(())
        }),
        PgType::Uuid => Box::new(move |row, out| {
            let bytes = array.value(row);
            let uuid = Uuid::from_slice(bytes);
            let uuid = uuid.map_err(|_| format!("{} bytes are no UUID", bytes.len()))?;
            out.extend_from_slice(uuid.as_bytes());
            Ok(())
        }),
        _ => return lossy("decode it in a `transform`"),
    })
}

fn put(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    // Checked here, because PostgreSQL would name neither row nor column.
    if text.as_bytes().contains(&0) {
        return Err(format!(
            "`{}` contains a NUL character, which PostgreSQL's text cannot hold",
            short(text).replace('\0', "␀")
        ));
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// The beginning of a text, for messages.
fn short(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
