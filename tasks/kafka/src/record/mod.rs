//! From the value of a record to a row.

mod csv;
mod infer;
mod json;
mod message;
mod metadata;
mod schema;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use subak_core::json_schema::JsonSchema;
use subak_core::operators::data::DataType;
use subak_core::operators::kafka::{KafkaConsume, OWN_BYTES, RecordFormat, WHOLE_RECORD};
use subak_task::{FileAccess, TaskError};
use subak_tasks_csv::{ColumnBuilder, CsvColumn};

pub(crate) use self::infer::Sample;
pub(crate) use self::json::left_out;
pub(crate) use self::message::Record;
use self::metadata::Metadata;

/// A batch is handed on with this many rows, or bytes of values.
const BATCH_ROWS: usize = 8_192;
const BATCH_BYTES: usize = 8 << 20;

/// Makes batches of records.
pub(crate) struct Rows {
    pub(crate) schema: SchemaRef,
    columns: Vec<Column>,
    builders: Vec<ColumnBuilder>,
    fields: Fields,
    raw: Option<BinaryBuilder>,
    metadata: Metadata,
    /// The records' own bytes, where they are kept beside the columns.
    own: Option<BinaryBuilder>,
    /// What a JSON record must match.
    schema_of_records: Option<JsonSchema>,
    rows: usize,
    bytes: usize,
}

/// A column and how its values are read.
struct Column {
    is: CsvColumn,
    path: String,
}

/// Finds the columns' values in a record.
enum Fields {
    Json(json::Paths),
    Csv(csv::Names),
    Raw,
}

/// What became of a record.
pub(crate) enum Taken {
    Row,
    /// It has no value: of a compacted topic the mark that its key is gone.
    Tombstone,
    Rejected(Vec<String>),
}

/// A column's value in a record: `None` where it has none.
type Value<'a> = Option<std::borrow::Cow<'a, [u8]>>;

impl Rows {
    /// Reads records as the task's parameters say.
    pub(crate) fn new(params: &KafkaConsume, files: &FileAccess) -> Result<Self, TaskError> {
        let columns = columns(params);
        let kinds: Result<Vec<_>, _> = columns.iter().map(|column| column.is.kind()).collect();
        let kinds = kinds.map_err(TaskError::permanent)?;
        let paths = || columns.iter().map(|column| column.path.as_str());
        let fields = match params.format {
            RecordFormat::Json => Fields::Json(json::Paths::new(paths())),
            RecordFormat::Csv => {
                let delimiter = u8::try_from(params.delimiter).unwrap_or(b',');
                Fields::Csv(csv::Names::new(&params.names, paths(), delimiter)?)
            }
            RecordFormat::Raw => Fields::Raw,
        };
        let mut all: Vec<Field> = columns
            .iter()
            .zip(&kinds)
            .map(|(column, kind)| Field::new(&column.is.name, kind.data_type(), true))
            .collect();
        let raw = matches!(fields, Fields::Raw).then(|| {
            all.push(Field::new("value", ArrowType::Binary, true));
            BinaryBuilder::new()
        });
        all.extend(metadata::fields());
        let own = (params.keep_records && raw.is_none()).then(|| {
            all.push(Field::new(OWN_BYTES, ArrowType::Binary, true));
            BinaryBuilder::new()
        });
        Ok(Self {
            schema: Arc::new(Schema::new(all)),
            builders: kinds.iter().map(|kind| ColumnBuilder::new(kind, BATCH_ROWS)).collect(),
            columns,
            fields,
            raw,
            metadata: Metadata::new(&params.topic),
            own,
            schema_of_records: params
                .schema
                .as_ref()
                .map(|given| schema::read(given, files))
                .transpose()?,
            rows: 0,
            bytes: 0,
        })
    }

    /// Remembers fields that no column has.
    pub(crate) fn noting_others(mut self) -> Self {
        if let Fields::Json(paths) = &mut self.fields {
            paths.note_others();
        }
        self
    }

    /// Fields that no column has.
    pub(crate) fn others(&self) -> BTreeSet<String> {
        match &self.fields {
            Fields::Json(paths) => paths.others(),
            Fields::Csv(_) | Fields::Raw => BTreeSet::new(),
        }
    }

    /// Adds a record as a row, or says why it is none.
    pub(crate) fn push(&mut self, record: &Record<'_>) -> Taken {
        let payload = record.payload;
        let taken = match (&self.fields, payload) {
            (Fields::Raw, payload) => {
                self.raw.iter_mut().for_each(|raw| raw.append_option(payload));
                Taken::Row
            }
            (_, None) => return Taken::Tombstone,
            (Fields::Json(_) | Fields::Csv(_), Some(payload)) => self.push_value(payload),
        };
        if matches!(taken, Taken::Row) {
            self.metadata.push(record);
            self.own.iter_mut().for_each(|own| own.append_option(payload));
            self.rows += 1;
            self.bytes += record.bytes();
        }
        taken
    }

    fn push_value(&mut self, payload: &[u8]) -> Taken {
        if let Some(schema) = &self.schema_of_records
            && let Ok(value) = serde_json::from_slice(payload)
        {
            let reasons = schema.reasons(&value);
            if !reasons.is_empty() {
                return Taken::Rejected(reasons.iter().map(ToString::to_string).collect());
            }
        }
        let found = match &self.fields {
            Fields::Json(paths) => paths.read(payload),
            Fields::Csv(names) => names.read(payload),
            Fields::Raw => Ok(Vec::new()),
        };
        let values: Vec<Value<'_>> = match found {
            Ok(values) => values,
            Err(reason) => return Taken::Rejected(vec![reason]),
        };
        let mut reasons = Vec::new();
        for ((builder, column), value) in self.builders.iter_mut().zip(&self.columns).zip(values) {
            match value {
                None => builder.push_null(),
                Some(value) if builder.push(&value) => {}
                Some(value) => {
                    // The row is taken back below: it only has to be whole.
                    builder.push_null();
                    reasons.push(column.reason(&value));
                }
            }
        }
        if reasons.is_empty() {
            return Taken::Row;
        }
        self.builders.iter_mut().for_each(|builder| builder.truncate(self.rows));
        Taken::Rejected(reasons)
    }

    /// Whether the batch is large enough to be handed on.
    pub(crate) fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// Hands the rows on and starts anew.
    pub(crate) fn take(&mut self) -> Result<RecordBatch, TaskError> {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for builder in &mut self.builders {
            arrays.push(builder.finish().map_err(TaskError::permanent)?);
        }
        arrays.extend(self.raw.iter_mut().map(|raw| Arc::new(raw.finish()) as ArrayRef));
        arrays.extend(self.metadata.finish(self.rows));
        arrays.extend(self.own.iter_mut().map(|own| Arc::new(own.finish()) as ArrayRef));
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map_err(TaskError::permanent)
    }
}

/// The columns that a task asks for; those of CSV are its names, where none are asked for.
fn columns(params: &KafkaConsume) -> Vec<Column> {
    let column = |name: &str, path: &str, data_type: DataType, format: Option<&str>| Column {
        is: CsvColumn {
            name: name.to_owned(),
            data_type,
            format: format.map(str::to_owned),
            inferred: false,
        },
        path: path.to_owned(),
    };
    match params.format {
        RecordFormat::Raw => Vec::new(),
        RecordFormat::Csv if params.columns.is_empty() => {
            params.names.iter().map(|name| column(name, name, DataType::String, None)).collect()
        }
        RecordFormat::Csv | RecordFormat::Json => params
            .columns
            .iter()
            .map(|(name, it)| column(name, it.path(name), it.data_type(), it.format()))
            .collect(),
    }
}

impl Column {
    /// Why a value is none of the column's.
    fn reason(&self, value: &[u8]) -> String {
        const SHOWN: usize = 60;
        let text = String::from_utf8_lossy(value);
        let mut shown: String = text.chars().take(SHOWN).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        let at = if self.path == self.is.name || self.path == WHOLE_RECORD {
            String::new()
        } else {
            format!(" (at {})", self.path)
        };
        format!("column {}{at}: {shown:?} is not {}", self.is.name, self.is.expectation())
    }
}
