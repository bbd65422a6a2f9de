//! Functions of texts that are asked of every row: a scan of the bytes instead of a regular expression.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, BooleanArray, StringArray, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::functions::utils::make_scalar_function;
use datafusion::logical_expr::{ColumnarValue, Expr, Volatility, cast, create_udf};

/// Without the whitespace around it.
pub(crate) fn trimmed(text: Expr) -> Expr {
    of_text("trimmed", DataType::Utf8, text, |texts| {
        let trimmed: StringArray = texts.iter().map(|text| text.map(str::trim)).collect();
        Arc::new(trimmed)
    })
}

/// Its digits 0 to 9.
pub(crate) fn digits(text: Expr) -> Expr {
    of_text("digits", DataType::Utf8, text, |texts| {
        let mut kept = StringBuilder::new();
        let mut digits = String::new();
        for text in texts {
            digits.clear();
            digits.extend(text.into_iter().flat_map(str::chars).filter(char::is_ascii_digit));
            kept.append_option(text.map(|_| &digits));
        }
        Arc::new(kept.finish())
    })
}

/// Whether it has nothing but whitespace; null of null.
pub(crate) fn is_blank(text: Expr) -> Expr {
    of_text("is_blank", DataType::Boolean, text, |texts| {
        let blank = |text: &str| text.trim_start().is_empty();
        let blank: BooleanArray = texts.iter().map(|text| text.map(blank)).collect();
        Arc::new(blank)
    })
}

/// A call of `function` with a text.
fn of_text(
    name: &str,
    returns: DataType,
    text: Expr,
    function: impl Fn(&StringArray) -> ArrayRef + Send + Sync + 'static,
) -> Expr {
    let of_arrays =
        make_scalar_function(move |texts| Ok(function(texts[0].as_string())), Vec::new());
    let of_values = move |values: &[ColumnarValue]| of_arrays(values);
    let types = vec![DataType::Utf8];
    create_udf(name, types, returns, Volatility::Immutable, Arc::new(of_values))
        .call(vec![cast(text, DataType::Utf8)])
}
