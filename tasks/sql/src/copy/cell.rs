//! How one Arrow value becomes one binary value: for each pair of types that loses nothing.

use arrow::array::types::{
    Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Int8Type, Int16Type, Int32Type,
    Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::array::{
    Array as _, ArrayRef, ArrowPrimitiveType, AsArray as _, BooleanArray, PrimitiveArray,
};
use arrow::datatypes::{DataType, DecimalType, Float32Type, Float64Type};

use super::numeric::{self, exact_f32, exact_f64};
use super::pg_type::PgType;
use super::{json, text, time};

/// Writes the value of a row, which is not null, or says why it cannot be written.
pub(crate) type Cell<'a> = Box<dyn FnMut(usize, &mut Vec<u8>) -> Result<(), String> + 'a>;

/// Returns the writer of a column, or why its type does not fit.
pub(crate) fn cell(array: &ArrayRef, to: PgType) -> Result<Cell<'_>, String> {
    match array.data_type() {
        DataType::Null => Ok(Box::new(|_, _| Ok(()))),
        DataType::Boolean => boolean(array.as_boolean(), to),
        DataType::Int8 => integer::<Int8Type>(array, to),
        DataType::Int16 => integer::<Int16Type>(array, to),
        DataType::Int32 => integer::<Int32Type>(array, to),
        DataType::Int64 => integer::<Int64Type>(array, to),
        DataType::UInt8 => integer::<UInt8Type>(array, to),
        DataType::UInt16 => integer::<UInt16Type>(array, to),
        DataType::UInt32 => integer::<UInt32Type>(array, to),
        DataType::UInt64 => integer::<UInt64Type>(array, to),
        DataType::Float32 => float32(array.as_primitive(), to),
        DataType::Float64 => float64(array.as_primitive(), to),
        DataType::Decimal32(..) => decimal::<Decimal32Type>(array, to),
        DataType::Decimal64(..) => decimal::<Decimal64Type>(array, to),
        DataType::Decimal128(..) => decimal::<Decimal128Type>(array, to),
        DataType::Decimal256(..) => decimal::<Decimal256Type>(array, to),
        DataType::Utf8 => text::text(array.as_string::<i32>(), to),
        DataType::LargeUtf8 => text::text(array.as_string::<i64>(), to),
        DataType::Utf8View => text::text(array.as_string_view(), to),
        DataType::Binary => text::bytes(array.as_binary::<i32>(), to),
        DataType::LargeBinary => text::bytes(array.as_binary::<i64>(), to),
        DataType::BinaryView => text::bytes(array.as_binary_view(), to),
        DataType::FixedSizeBinary(_) => text::bytes(array.as_fixed_size_binary(), to),
        DataType::Date32 | DataType::Date64 => time::date(array, to),
        DataType::Time32(_) | DataType::Time64(_) => time::time(array, to),
        DataType::Timestamp(..) => time::timestamp(array, to),
        DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) | DataType::Map(..) => {
            json::nested(array, to)
        }
        other => Err(format!("{other} is not loaded")),
    }
}

/// Says that a value of a type would have to change to fit.
pub(crate) fn lossy<T>(advice: &str) -> Result<T, String> {
    Err(format!("it would have to be converted: {advice}"))
}

const CAST: &str = "cast it in a `transform`";

fn boolean(array: &BooleanArray, to: PgType) -> Result<Cell<'_>, String> {
    match to {
        PgType::Bool => Ok(Box::new(|row, out| {
            out.push(u8::from(array.value(row)));
            Ok(())
        })),
        PgType::Text => Ok(Box::new(|row, out| {
            out.extend_from_slice(if array.value(row) { b"true" } else { b"false" });
            Ok(())
        })),
        _ => lossy(CAST),
    }
}

fn integer<T>(array: &ArrayRef, to: PgType) -> Result<Cell<'_>, String>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i128> + std::fmt::Display,
{
    let array: &PrimitiveArray<T> = array.as_primitive();
    let value = move |row: usize| -> i128 { array.value(row).into() };
    Ok(match to {
        PgType::Int2 => Box::new(move |row, out| int2(value(row), out)),
        PgType::Int4 => Box::new(move |row, out| int4(value(row), out)),
        PgType::Int8 => Box::new(move |row, out| int8(value(row), out)),
        PgType::Float4 => Box::new(move |row, out| float4(exact_f32(value(row))?, out)),
        PgType::Float8 => Box::new(move |row, out| float8(exact_f64(value(row))?, out)),
        PgType::Numeric => Box::new(move |row, out| {
            numeric::integer(value(row), out);
            Ok(())
        }),
        PgType::Text => Box::new(move |row, out| display(array.value(row), out)),
        _ => return lossy(CAST),
    })
}

fn float64(array: &PrimitiveArray<Float64Type>, to: PgType) -> Result<Cell<'_>, String> {
    let whole = |row| numeric::whole(array.value(row));
    Ok(match to {
        PgType::Float8 => Box::new(|row, out| float8(array.value(row), out)),
        PgType::Float4 => Box::new(|row, out| float4(numeric::narrow(array.value(row))?, out)),
        PgType::Int2 => Box::new(move |row, out| int2(whole(row)?, out)),
        PgType::Int4 => Box::new(move |row, out| int4(whole(row)?, out)),
        PgType::Int8 => Box::new(move |row, out| int8(whole(row)?, out)),
        PgType::Numeric => {
            Box::new(|row, out| numeric::decimal(&array.value(row).to_string(), out))
        }
        PgType::Text => Box::new(|row, out| display(array.value(row), out)),
        _ => return lossy(CAST),
    })
}

fn float32(array: &PrimitiveArray<Float32Type>, to: PgType) -> Result<Cell<'_>, String> {
    let whole = |row| numeric::whole(f64::from(array.value(row)));
    Ok(match to {
        PgType::Float4 => Box::new(|row, out| float4(array.value(row), out)),
        PgType::Float8 => Box::new(|row, out| float8(f64::from(array.value(row)), out)),
        PgType::Int2 => Box::new(move |row, out| int2(whole(row)?, out)),
        PgType::Int4 => Box::new(move |row, out| int4(whole(row)?, out)),
        PgType::Int8 => Box::new(move |row, out| int8(whole(row)?, out)),
        PgType::Numeric => {
            Box::new(|row, out| numeric::decimal(&array.value(row).to_string(), out))
        }
        PgType::Text => Box::new(|row, out| display(array.value(row), out)),
        _ => return lossy(CAST),
    })
}

fn decimal<T: DecimalType>(array: &ArrayRef, to: PgType) -> Result<Cell<'_>, String> {
    let array: &PrimitiveArray<T> = array.as_primitive();
    let text = |row: usize| array.value_as_string(row);
    let whole = move |row| numeric::whole_decimal(&text(row));
    Ok(match to {
        PgType::Numeric => Box::new(move |row, out| numeric::decimal(&text(row), out)),
        PgType::Int2 => Box::new(move |row, out| int2(whole(row)?, out)),
        PgType::Int4 => Box::new(move |row, out| int4(whole(row)?, out)),
        PgType::Int8 => Box::new(move |row, out| int8(whole(row)?, out)),
        PgType::Text => Box::new(move |row, out| display(text(row), out)),
        _ => return lossy(CAST),
    })
}

fn int2(value: i128, out: &mut Vec<u8>) -> Result<(), String> {
    let value = i16::try_from(value).map_err(|_| out_of_range(value))?;
    out.extend_from_slice(&value.to_be_bytes());
    Ok(())
}

fn int4(value: i128, out: &mut Vec<u8>) -> Result<(), String> {
    let value = i32::try_from(value).map_err(|_| out_of_range(value))?;
    out.extend_from_slice(&value.to_be_bytes());
    Ok(())
}

fn int8(value: i128, out: &mut Vec<u8>) -> Result<(), String> {
    let value = i64::try_from(value).map_err(|_| out_of_range(value))?;
    out.extend_from_slice(&value.to_be_bytes());
    Ok(())
}

fn out_of_range(value: i128) -> String {
    format!("{value} is out of range")
}

fn float4(value: f32, out: &mut Vec<u8>) -> Result<(), String> {
    out.extend_from_slice(&value.to_be_bytes());
    Ok(())
}

fn float8(value: f64, out: &mut Vec<u8>) -> Result<(), String> {
    out.extend_from_slice(&value.to_be_bytes());
    Ok(())
}

fn display(value: impl std::fmt::Display, out: &mut Vec<u8>) -> Result<(), String> {
    use std::io::Write as _;
    write!(out, "{value}").map_err(|error| error.to_string())
}
