//! How files are to be read: their dialect, their columns, and which of them are wanted.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use subak_core::operators::data::DataType;

use crate::CsvError;
use crate::Dialect;
use crate::column::Kind;
use crate::format::Format;

/// The options of a scan, as they travel in a dataset's reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvOptions {
    pub delimiter: char,
    pub quote: char,
    pub header: bool,
    #[serde(default)]
    pub null_values: Vec<String>,
    /// All columns of the files, in their order.
    pub columns: Vec<CsvColumn>,
}

/// A column of the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub data_type: DataType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Whether the type was taken from the first rows.
    #[serde(default)]
    pub inferred: bool,
}

/// Options made ready for a parser: the wanted columns and where they stand.
#[derive(Debug)]
pub struct Layout {
    pub dialect: Dialect,
    pub header: bool,
    /// For each column of the files, its place among the wanted ones.
    pub slots: Vec<Option<usize>>,
    /// The wanted columns' kinds.
    pub kinds: Vec<Kind>,
    pub null_values: Vec<Vec<u8>>,
    /// All columns of the files.
    pub columns: Vec<CsvColumn>,
    /// The wanted columns.
    pub schema: SchemaRef,
}

impl CsvOptions {
    /// Returns the schema of all columns.
    pub fn schema(&self) -> Result<SchemaRef, CsvError> {
        let fields: Result<Vec<_>, _> = self.columns.iter().map(CsvColumn::field).collect();
        Ok(Arc::new(Schema::new(fields?)))
    }

    /// Returns the dialect; delimiter and quote must be single bytes.
    pub fn dialect(&self) -> Result<Dialect, CsvError> {
        let dialect = Dialect {
            delimiter: byte("delimiter", self.delimiter)?,
            quote: byte("quote", self.quote)?,
        };
        if dialect.delimiter == dialect.quote {
            return Err(CsvError::Invalid(format!(
                "delimiter and quote are both `{}`: they must differ",
                self.quote
            )));
        }
        Ok(dialect)
    }

    /// Makes them ready to read the columns at `wanted`, in that order (`None`: all).
    pub fn layout(&self, wanted: Option<&[usize]>) -> Result<Layout, CsvError> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let wanted = wanted.unwrap_or(&all);
        let mut slots = vec![None; self.columns.len()];
        for (slot, &column) in wanted.iter().enumerate() {
            slots[column] = Some(slot);
        }
        let kinds: Result<Vec<_>, _> =
            wanted.iter().map(|&column| self.columns[column].kind()).collect();
        Ok(Layout {
            dialect: self.dialect()?,
            header: self.header,
            slots,
            kinds: kinds?,
            null_values: self.null_values.iter().map(|text| text.clone().into_bytes()).collect(),
            columns: self.columns.clone(),
            schema: Arc::new(self.schema()?.project(wanted).map_err(CsvError::from)?),
        })
    }
}

impl CsvColumn {
    fn field(&self) -> Result<Field, CsvError> {
        Ok(Field::new(&self.name, self.kind()?.data_type(), true))
    }

    /// Returns what the column holds, its format compiled.
    pub fn kind(&self) -> Result<Kind, CsvError> {
        let format = match &self.format {
            Some(format) => Format::compile(format)
                .map_err(|error| CsvError::Invalid(format!("column {}: {error}", self.name)))?,
            None => Format::Iso,
        };
        Ok(match self.data_type {
            DataType::String => Kind::Text,
            DataType::Integer => Kind::Integer,
            DataType::Bigint => Kind::Bigint,
            DataType::Double => Kind::Double,
            DataType::Boolean => Kind::Boolean,
            DataType::Date => Kind::Date(format),
            DataType::Timestamp => Kind::Timestamp(format),
        })
    }

    /// Says what a value should have been.
    pub fn expectation(&self) -> String {
        let noun = match self.data_type {
            DataType::String => return "UTF-8 text".to_owned(),
            DataType::Integer => "an integer (32 bits)",
            DataType::Bigint => "an integer (64 bits)",
            DataType::Double => "a number",
            DataType::Boolean => "a boolean",
            DataType::Date => "a date",
            DataType::Timestamp => "a timestamp",
        };
        match &self.format {
            Some(format) => format!("{noun} of format {format}"),
            None if matches!(self.data_type, DataType::Date | DataType::Timestamp) => {
                format!("{noun} in ISO 8601")
            }
            None => noun.to_owned(),
        }
    }
}

fn byte(option: &str, character: char) -> Result<u8, CsvError> {
    u8::try_from(character)
        .ok()
        .filter(|byte| byte.is_ascii() && !matches!(byte, b'\n' | b'\r'))
        .ok_or_else(|| {
            CsvError::Invalid(format!(
                "{option} `{character}` must be one ASCII character, not a newline"
            ))
        })
}
