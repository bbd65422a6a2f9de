//! Types that a user names, as Arrow's.

use arrow::datatypes::{DataType, TimeUnit};
use subak_core::operators::data::DataType as Declared;

/// Returns Arrow's type of a declared one.
pub(crate) fn arrow_type(declared: Declared) -> DataType {
    match declared {
        Declared::String => DataType::Utf8,
        Declared::Integer => DataType::Int32,
        Declared::Bigint => DataType::Int64,
        Declared::Double => DataType::Float64,
        Declared::Boolean => DataType::Boolean,
        Declared::Date => DataType::Date32,
        Declared::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
    }
}
