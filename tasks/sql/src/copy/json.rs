//! Nested values as JSON.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array as _, ArrayRef, AsArray as _, StructArray};
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

/// The same values, the fields of structs in the order in which jsonb keeps names, the shortest first:
/// PostgreSQL would sort those of every row.
pub(crate) fn in_jsonb_order(array: &ArrayRef) -> ArrayRef {
    let Some(structs) = array.as_struct_opt().filter(|it| it.num_columns() > 0) else {
        return Arc::clone(array);
    };
    let inner = structs.fields().iter().zip(structs.columns()).map(|(field, array)| {
        let array = in_jsonb_order(array);
        (field.as_ref().clone().with_data_type(array.data_type().clone()), array)
    });
    let mut inner: Vec<(Field, ArrayRef)> = inner.collect();
    // Of two that have one name the last counts, there as here.
    inner.sort_by(|(one, _), (other, _)| {
        let key = |field: &Field| (field.name().len(), field.name().clone());
        key(one).cmp(&key(other))
    });
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = inner.into_iter().unzip();
    match StructArray::try_new(fields.into(), arrays, structs.nulls().cloned()) {
        Ok(ordered) => Arc::new(ordered),
        Err(_) => Arc::clone(array),
    }
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
    use arrow::array::Int32Array;

    use super::*;

    #[test]
    fn names_are_in_the_order_of_jsonb_at_every_level() {
        let number = |value| Arc::new(Int32Array::from(vec![value])) as ArrayRef;
        let structs = |of: Vec<(&str, ArrayRef)>| {
            let field = |(name, array): (&str, ArrayRef)| {
                (Arc::new(Field::new(name, array.data_type().clone(), true)), array)
            };
            let of: Vec<_> = of.into_iter().map(field).collect();
            Arc::new(StructArray::from(of)) as ArrayRef
        };
        let inner = structs(vec![("long", number(1)), ("b", number(2)), ("a", number(3))]);
        let ordered = in_jsonb_order(&structs(vec![("name", inner), ("id", number(4))]));
        let mut out = Vec::new();
        nested(&ordered, PgType::Json).unwrap()(0, &mut out).unwrap();
        assert_eq!(out, br#"{"id":4,"name":{"a":3,"b":2,"long":1}}"#);
    }

    #[test]
    fn a_nul_is_found_and_a_backslash_before_u0000_is_not_one() {
        assert!(has_nul(br#"{"a":"x\u0000"}"#));
        assert!(has_nul(br#"{"a":"\\\u0000"}"#));
        assert!(!has_nul(br#"{"a":"\\u0000"}"#));
        assert!(!has_nul(br#"{"a":"\u0001"}"#));
    }
}
