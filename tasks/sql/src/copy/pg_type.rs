//! PostgreSQL's types that binary COPY can fill, and those that Arrow's become.

use arrow::datatypes::DataType;

/// The type of a column in the catalog, domains resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PgType {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    /// `text`, `varchar`, `char`, `name`, `citext`, enums: all take their text.
    Text,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Uuid,
    Json,
    Jsonb,
    Bytea,
}

impl PgType {
    /// Returns the type by its name in `pg_type`; `kind` is `typtype`.
    pub(crate) fn named(name: &str, kind: &str) -> Option<Self> {
        Some(match name {
            _ if kind == "e" => Self::Text,
            "bool" => Self::Bool,
            "int2" => Self::Int2,
            "int4" => Self::Int4,
            "int8" => Self::Int8,
            "float4" => Self::Float4,
            "float8" => Self::Float8,
            "numeric" => Self::Numeric,
            "text" | "varchar" | "bpchar" | "name" | "citext" => Self::Text,
            "date" => Self::Date,
            "time" => Self::Time,
            "timestamp" => Self::Timestamp,
            "timestamptz" => Self::TimestampTz,
            "uuid" => Self::Uuid,
            "json" => Self::Json,
            "jsonb" => Self::Jsonb,
            "bytea" => Self::Bytea,
            _ => return None,
        })
    }
}

/// Returns the type of a column made for an Arrow type, or `None` where there is none.
pub(crate) fn ddl_type(data_type: &DataType) -> Option<String> {
    use DataType as Arrow;
    Some(match data_type {
        Arrow::Boolean => "boolean".to_owned(),
        Arrow::Int8 | Arrow::UInt8 | Arrow::Int16 => "smallint".to_owned(),
        Arrow::UInt16 | Arrow::Int32 => "integer".to_owned(),
        Arrow::UInt32 | Arrow::Int64 => "bigint".to_owned(),
        Arrow::UInt64 => "numeric(20, 0)".to_owned(),
        Arrow::Float16 | Arrow::Float32 => "real".to_owned(),
        Arrow::Float64 => "double precision".to_owned(),
        Arrow::Decimal32(precision, scale)
        | Arrow::Decimal64(precision, scale)
        | Arrow::Decimal128(precision, scale)
        | Arrow::Decimal256(precision, scale) => numeric(*precision, *scale),
        Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View | Arrow::Null => "text".to_owned(),
        Arrow::Date32 | Arrow::Date64 => "date".to_owned(),
        Arrow::Time32(_) | Arrow::Time64(_) => "time".to_owned(),
        Arrow::Timestamp(_, None) => "timestamp".to_owned(),
        Arrow::Timestamp(_, Some(_)) => "timestamptz".to_owned(),
        Arrow::Binary | Arrow::LargeBinary | Arrow::BinaryView | Arrow::FixedSizeBinary(_) => {
            "bytea".to_owned()
        }
        Arrow::Dictionary(_, value) => return ddl_type(value),
        Arrow::Struct(_) | Arrow::List(_) | Arrow::LargeList(_) | Arrow::Map(..) => {
            "jsonb".to_owned()
        }
        _ => return None,
    })
}

/// A negative scale means trailing zeros before the point, which PostgreSQL before 15 refuses.
fn numeric(precision: u8, scale: i8) -> String {
    match u8::try_from(scale) {
        Ok(scale) => format!("numeric({}, {scale})", precision.max(scale)),
        Err(_) => format!("numeric({}, 0)", i16::from(precision) - i16::from(scale)),
    }
}
