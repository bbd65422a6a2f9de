//! Nested values as JSON.

use std::sync::{Arc, LazyLock};

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, FieldRef};
use arrow::json::writer::{EncoderOptions, make_encoder};

use super::cell::Cell;
use super::pg_type::PgType;
use super::text::JSONB_VERSION;

/// A name that has no value is there and null: whoever reads the JSON finds every name.
static OPTIONS: LazyLock<EncoderOptions> =
    LazyLock::new(|| EncoderOptions::default().with_explicit_nulls(true));

/// JSON's way to write NUL.
const NUL: &[u8] = b"\\u0000";

/// Returns the writer of a column of lists, maps or structs.
pub(crate) fn nested(array: &ArrayRef, to: PgType) -> Result<Cell<'_>, String> {
    if !matches!(to, PgType::Text | PgType::Json | PgType::Jsonb) {
        return Err(
            "nested values go into columns of type jsonb, json or text; a field of one is \
                    named by its path, such as `name.first`"
                .to_owned(),
        );
    }
    // The encoder of a nested value asks its fields, not this one.
    static FIELD: LazyLock<FieldRef> =
        LazyLock::new(|| Arc::new(Field::new("", arrow::datatypes::DataType::Null, true)));
    let mut encoder = make_encoder(&FIELD, array, &OPTIONS).map_err(|error| error.to_string())?;
    Ok(Box::new(move |row, out| {
        if to == PgType::Jsonb {
            out.push(JSONB_VERSION);
        }
        let at = out.len();
        encoder.encode(row, out);
        // Checked here, because PostgreSQL would name neither row nor column.
        if to == PgType::Jsonb && has_nul(&out[at..]) {
            return Err("it contains a NUL character, which jsonb cannot hold".to_owned());
        }
        Ok(())
    }))
}

/// Whether JSON has an escaped NUL; of an even number of backslashes before it, each is a text's own.
fn has_nul(json: &[u8]) -> bool {
    json.windows(NUL.len()).enumerate().any(|(at, window)| {
        let escapes = json[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        window == NUL && escapes % 2 == 0
    })
}

#[cfg(test)]
mod tests {
    use super::has_nul;

    #[test]
    fn a_nul_is_found_and_a_backslash_before_u0000_is_not_one() {
        assert!(has_nul(br#"{"a":"x\u0000"}"#));
        assert!(has_nul(br#"{"a":"\\\u0000"}"#));
        assert!(!has_nul(br#"{"a":"\\u0000"}"#));
        assert!(!has_nul(br#"{"a":"\u0001"}"#));
    }
}
