//! Dates, times and timestamps: PostgreSQL counts from 2000, in days and microseconds.

use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Date64Type, Int64Type, TimeUnit};

use super::cell::{Cell, lossy};
use super::pg_type::PgType;

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i64 = 10_957;
const DAY_MICROS: i64 = 86_400_000_000;
const EPOCH_MICROS: i64 = EPOCH_DAYS * DAY_MICROS;

/// Returns the writer of a date column.
pub(crate) fn date(array: &ArrayRef, to: PgType) -> Result<Cell<'_>, String> {
    let days = move |row: usize| -> Result<i64, String> {
        match array.data_type() {
            DataType::Date32 => Ok(i64::from(array.as_primitive::<Date32Type>().value(row))),
            _ => whole_days(array.as_primitive::<Date64Type>().value(row), 86_400_000),
        }
    };
    Ok(match to {
        PgType::Date => Box::new(move |row, out| put_days(days(row)?, out)),
        PgType::Timestamp => {
            Box::new(move |row, out| put_micros(days(row)?.checked_mul(DAY_MICROS), out))
        }
        PgType::Text => return printed(array),
        _ => return lossy("cast it in a `transform`"),
    })
}

/// Returns the writer of a column of times of day.
pub(crate) fn time(array: &ArrayRef, to: PgType) -> Result<Cell<'_>, String> {
    match to {
        PgType::Time => {}
        PgType::Text => return printed(array),
        _ => return lossy("cast it in a `transform`"),
    }
    let (DataType::Time32(unit) | DataType::Time64(unit)) = array.data_type() else {
        return lossy("cast it in a `transform`");
    };
    let (values, unit) = (counts(array)?, *unit);
    Ok(Box::new(move |row, out| {
        let micros = micros(values.as_primitive::<Int64Type>().value(row), unit)?;
        out.extend_from_slice(&micros.to_be_bytes());
        Ok(())
    }))
}

/// Returns the writer of a timestamp column.
pub(crate) fn timestamp(array: &ArrayRef, to: PgType) -> Result<Cell<'_>, String> {
    let DataType::Timestamp(unit, zone) = array.data_type() else {
        return lossy("cast it in a `transform`");
    };
    let (values, unit) = (counts(array)?, *unit);
    let micros = move |row| micros(values.as_primitive::<Int64Type>().value(row), unit);
    Ok(match (to, zone) {
        (PgType::Timestamp, None) | (PgType::TimestampTz, Some(_)) => {
            Box::new(move |row, out| put_micros(Some(micros(row)?), out))
        }
        (PgType::Date, None) => {
            Box::new(move |row, out| put_days(whole_days(micros(row)?, DAY_MICROS)?, out))
        }
        (PgType::Text, _) => return printed(array),
        (PgType::TimestampTz, None) => {
            return lossy(
                "the dataset does not say in which zone it is; say so in a `transform`: \
                 `column AT TIME ZONE 'UTC'`",
            );
        }
        (PgType::Timestamp, Some(_)) => {
            return lossy("the column would lose the zone; make it `timestamptz`");
        }
        _ => return lossy("cast it in a `transform`"),
    })
}

/// The bare numbers of a column of times.
fn counts(array: &ArrayRef) -> Result<ArrayRef, String> {
    let whole = match array.data_type() {
        DataType::Time32(_) => cast(array, &DataType::Int32),
        _ => Ok(ArrayRef::clone(array)),
    };
    whole.and_then(|array| cast(&array, &DataType::Int64)).map_err(|error| error.to_string())
}

/// The text that Arrow prints.
fn printed(array: &ArrayRef) -> Result<Cell<'static>, String> {
    let printed = cast(array, &DataType::Utf8).map_err(|error| error.to_string())?;
    Ok(Box::new(move |row, out| {
        out.extend_from_slice(printed.as_string::<i32>().value(row).as_bytes());
        Ok(())
    }))
}

fn micros(value: i64, unit: TimeUnit) -> Result<i64, String> {
    let scaled = match unit {
        TimeUnit::Second => value.checked_mul(1_000_000),
        TimeUnit::Millisecond => value.checked_mul(1_000),
        TimeUnit::Microsecond => Some(value),
        TimeUnit::Nanosecond if value % 1_000 == 0 => Some(value / 1_000),
        TimeUnit::Nanosecond => {
            return Err(format!(
                "it has {} ns beyond the microsecond, which PostgreSQL does not keep: \
                 truncate it in a `transform` with `date_trunc('microsecond', …)`",
                value.rem_euclid(1_000)
            ));
        }
    };
    scaled.ok_or_else(|| "it is out of range".to_owned())
}

fn whole_days(value: i64, day: i64) -> Result<i64, String> {
    if value % day == 0 { Ok(value / day) } else { Err("it has a time of day".to_owned()) }
}

fn put_days(days: i64, out: &mut Vec<u8>) -> Result<(), String> {
    let days = i32::try_from(days - EPOCH_DAYS).map_err(|_| "the date is out of range")?;
    out.extend_from_slice(&days.to_be_bytes());
    Ok(())
}

fn put_micros(micros: Option<i64>, out: &mut Vec<u8>) -> Result<(), String> {
    let micros = micros.and_then(|micros| micros.checked_sub(EPOCH_MICROS));
    let micros = micros.ok_or("the timestamp is out of range")?;
    out.extend_from_slice(&micros.to_be_bytes());
    Ok(())
}
