//! Reads the head of files: their columns' names and, where not declared, their types.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use subak_core::operators::data::{ColumnType, DataType};

use subak_tasks_csv::{
    Chunk, CsvColumn, CsvOptions, Dialect, Format, OnBad, Parser, Splitter, first_record_end, value,
};

use crate::error::DataError;
use crate::suggest::did_you_mean;

/// Rows that types are taken from.
const SAMPLE_ROWS: usize = 1_000;

/// Bytes of a file's head: enough for the sample and the preview.
const HEAD_BYTES: usize = 512 << 10;

/// What is declared of the columns.
pub(crate) struct Declared<'a> {
    /// Names in order, for files without a header.
    pub names: &'a [String],
    pub types: &'a BTreeMap<String, ColumnType>,
}

/// Completes `options` with the columns of the files, and returns the first file's first chunk.
pub(crate) fn columns(
    files: &[PathBuf],
    options: &mut CsvOptions,
    declared: &Declared<'_>,
) -> Result<Chunk, DataError> {
    let dialect = options.dialect()?;
    let (first, others) =
        files.split_first().ok_or_else(|| DataError::permanent("no file to read"))?;
    let names = names(first, dialect, options.header, declared.names)?;
    for other in others {
        let others_names = self::names(other, dialect, options.header, declared.names)?;
        if others_names != names {
            return Err(differing(first, &names, other, &others_names, options.header));
        }
    }
    if let Some(name) = declared.types.keys().find(|name| !names.contains(name)) {
        return Err(missing_column(first, name, &names));
    }
    let mut head = Chunk::default();
    let mut splitter = Splitter::new(vec![first.clone()], dialect, options.header, HEAD_BYTES);
    splitter.next(&mut head)?;
    options.columns = names
        .into_iter()
        .map(|name| match declared.types.get(&name) {
            Some(declared) => declared_column(name, declared),
            None => CsvColumn { name, data_type: DataType::String, format: None, inferred: true },
        })
        .collect();
    if options.columns.iter().any(|column| column.inferred) {
        infer(options, &head)?;
    }
    // Formats are compiled here once, so that a wrong one is said now.
    options.schema()?;
    Ok(head)
}

fn declared_column(name: String, declared: &ColumnType) -> CsvColumn {
    let (data_type, format) = match declared {
        ColumnType::Plain(data_type) => (*data_type, None),
        ColumnType::Formatted { data_type, format } => (*data_type, Some(format.clone())),
    };
    CsvColumn { name, data_type, format, inferred: false }
}

/// Returns the names of a file's columns: its header, or those declared, or `column_1`, ….
fn names(
    path: &Path,
    dialect: Dialect,
    header: bool,
    declared: &[String],
) -> Result<Vec<String>, DataError> {
    let Some(record) = first_record(path, dialect)? else {
        let what = if header { "a header" } else { "a record" };
        return Err(DataError::permanent(format!("{} is empty: expected {what}", path.display())));
    };
    if !header {
        if declared.is_empty() {
            return Ok((1..=record.len()).map(|number| format!("column_{number}")).collect());
        }
        if declared.len() != record.len() {
            return Err(DataError::permanent(format!(
                "{}:1: {} fields, but `names` has {}: name every column",
                path.display(),
                record.len(),
                declared.len()
            )));
        }
        return Ok(declared.to_vec());
    }
    check_header(path, &record)?;
    Ok(record)
}

fn check_header(path: &Path, names: &[String]) -> Result<(), DataError> {
    let advice = "give every column a name of its own, or set `header: false` and `names: […]`";
    for (at, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(DataError::permanent(format!(
                "{}:1: column {} of the header has no name: {advice}",
                path.display(),
                at + 1
            )));
        }
        if names[..at].contains(name) {
            return Err(DataError::permanent(format!(
                "{}:1: the header names `{name}` twice: {advice}",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Returns the first record of a file as text, or `None` if there is none.
fn first_record(path: &Path, dialect: Dialect) -> Result<Option<Vec<String>>, DataError> {
    let mut chunk = Chunk::default();
    if !Splitter::new(vec![path.to_owned()], dialect, false, HEAD_BYTES / 8).next(&mut chunk)? {
        return Ok(None);
    }
    let bytes = chunk.bytes();
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    let bytes = &bytes[blank..];
    if bytes.is_empty() {
        return Ok(None);
    }
    let end = first_record_end(bytes, dialect);
    let record = &bytes[..end.unwrap_or(bytes.len())];
    // A record of unknown width: cut at the delimiters outside quotes.
    let mut fields = vec![Vec::new()];
    let mut open = false;
    for &byte in record {
        match byte {
            byte if byte == dialect.quote => open = !open,
            byte if byte == dialect.delimiter && !open => {
                fields.push(Vec::new());
                continue;
            }
            b'\n' | b'\r' if !open => break,
            _ => {}
        }
        if let Some(field) = fields.last_mut() {
            field.push(byte);
        }
    }
    if open && end.is_none() {
        return Err(DataError::permanent(format!(
            "{}:1: a quote in the first record is never closed, so the whole file is one record: close it, or set another `quote`",
            path.display()
        )));
    }
    let quote = char::from(dialect.quote);
    let text = |field: Vec<u8>| {
        let text = String::from_utf8(field).map_err(|_| {
            DataError::permanent(format!(
                "{}:1: the header is not UTF-8 text: convert the file (iconv -f latin1 -t utf-8)",
                path.display()
            ))
        })?;
        let text = text.trim();
        let inner = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
        Ok(inner.unwrap_or(text).replace(&format!("{quote}{quote}"), &quote.to_string()))
    };
    fields.into_iter().map(text).collect::<Result<_, _>>().map(Some)
}

fn missing_column(path: &Path, name: &str, names: &[String]) -> DataError {
    let suggestion = did_you_mean(name, names.iter().map(String::as_str));
    DataError::permanent(format!(
        "{} has no column `{name}`{suggestion}; it has: {}",
        path.display(),
        names.join(", ")
    ))
}

fn differing(
    first: &Path,
    names: &[String],
    other: &Path,
    others: &[String],
    header: bool,
) -> DataError {
    let (first, other) = (first.display(), other.display());
    if names.len() != others.len() {
        return DataError::permanent(format!(
            "{other}:1: {} columns, but {first} has {}: files read together must have the same columns",
            others.len(),
            names.len()
        ));
    }
    let at = names.iter().zip(others).position(|(left, right)| left != right).unwrap_or(0);
    debug_assert!(header);
    DataError::permanent(format!(
        "{other}:1: column {} is `{}`, but `{}` in {first}: files read together must have the same header",
        at + 1,
        others[at],
        names[at]
    ))
}

/// Replaces the types of inferred columns by what their first values are.
fn infer(options: &mut CsvOptions, head: &Chunk) -> Result<(), DataError> {
    let as_text = CsvOptions {
        columns: options
            .columns
            .iter()
            .map(|column| CsvColumn {
                name: column.name.clone(),
                data_type: DataType::String,
                format: None,
                inferred: false,
            })
            .collect(),
        ..options.clone()
    };
    let rows = rows(&as_text, head, SAMPLE_ROWS)?;
    for (index, column) in options.columns.iter_mut().enumerate() {
        if column.inferred {
            let values = rows.column(index).as_string::<i32>();
            column.data_type = type_of(|| values.iter().flatten());
        }
    }
    Ok(())
}

/// Returns up to `limit` rows of a chunk; records that do not fit are left out.
pub(crate) fn rows(
    options: &CsvOptions,
    head: &Chunk,
    limit: usize,
) -> Result<RecordBatch, DataError> {
    let layout = Arc::new(options.layout(None)?);
    let schema = Arc::clone(&layout.schema);
    let parsed = Parser::new(layout, OnBad::Collect).parse(head)?;
    let rows = concat_batches(&schema, &parsed.batches)?;
    Ok(rows.slice(0, rows.num_rows().min(limit)))
}

/// Returns the narrowest type that all values have.
fn type_of<'a, I: Iterator<Item = &'a str>>(values: impl Fn() -> I) -> DataType {
    let all = |test: &dyn Fn(&str) -> bool| values().all(test);
    let leading_zero = |text: &str| {
        let digits = text.trim_start_matches(['-', '+']).as_bytes();
        digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_digit()
    };
    let boolean =
        |text: &str| text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false");
    if values().next().is_none() {
        DataType::String
    } else if all(&|text| value::integer(text.as_bytes()).is_some() && !leading_zero(text)) {
        DataType::Bigint
    } else if all(&|text| number(text) && !leading_zero(text)) {
        DataType::Double
    } else if all(&boolean) {
        DataType::Boolean
    } else if all(&|text| Format::Iso.date(text.as_bytes()).is_some()) {
        DataType::Date
    } else if all(&|text| Format::Iso.timestamp(text.as_bytes()).is_some()) {
        DataType::Timestamp
    } else {
        DataType::String
    }
}

/// Says whether a text is a number and not a word such as `nan` or `infinity`.
fn number(text: &str) -> bool {
    value::double(text.as_bytes()).is_some_and(f64::is_finite)
        && text.bytes().any(|byte| byte.is_ascii_digit())
}
