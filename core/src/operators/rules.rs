//! Rules between an operator's parameters that their types don't tell.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Input;
use super::data::{
    CsvRead, CsvWrite, OnBadRow, ParquetRead, ParquetWrite, SqlTransform, Transform,
};
use super::flow::{Branch, LatestOnly, ShortCircuit};
use super::kafka::{KafkaConsume, METADATA, RecordFormat, RecordSchema};
use super::plain::Nothing;
use super::process::{Bash, Python};
use super::produce::partitions;
use super::sql::{LoadMode, PostgresLoad, Sql};

/// A key and what is wrong with it.
type Broken = (&'static str, Cow<'static, str>);

/// Rules between parameters. The parser applies them, and again the worker after rendering.
pub trait Rules {
    /// Returns the rules that these parameters break: a key, and what is wrong with it.
    fn broken_rules(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        Vec::new()
    }
}

impl Rules for Branch {}
impl Rules for LatestOnly {}
impl Rules for Nothing {}
impl Rules for ParquetRead {}
impl Rules for ParquetWrite {}
impl Rules for ShortCircuit {}

impl Rules for Bash {
    fn broken_rules(&self) -> Vec<Broken> {
        only_if(self.command.trim().is_empty(), ("command", "\"command\" is empty"))
    }
}

impl Rules for Python {
    fn broken_rules(&self) -> Vec<Broken> {
        match (&self.script, &self.code) {
            (Some(_), Some(_)) => {
                only_if(true, ("code", "give either \"script\" or \"code\", not both"))
            }
            (None, None) => only_if(true, ("code", "\"script\" or \"code\" is missing")),
            _ => only_if(
                self.code.is_some() && !self.args.is_empty(),
                ("args", "\"args\" belongs to \"script\": give \"code\" its values by \"input\""),
            ),
        }
    }
}

impl Rules for CsvRead {
    fn broken_rules(&self) -> Vec<Broken> {
        [
            only_if(!self.delimiter.is_ascii(), ("delimiter", "the delimiter must be ASCII")),
            only_if(!self.quote.is_ascii(), ("quote", "the quote must be ASCII")),
            only_if(self.delimiter == self.quote, ("quote", "quote and delimiter are the same")),
        ]
        .concat()
    }
}

impl Rules for KafkaConsume {
    fn broken_rules(&self) -> Vec<Broken> {
        let is = |format| self.format == format;
        [
            only_if(self.topic.trim().is_empty(), ("topic", "\"topic\" is empty")),
            partitions(self.partitions),
            only_if(
                is(RecordFormat::Csv) && self.names.is_empty(),
                ("format", "format csv needs \"names\": the fields of a record, in order"),
            ),
            only_if(
                !is(RecordFormat::Csv) && !self.names.is_empty(),
                ("names", "\"names\" belongs to format csv"),
            ),
            only_if(
                is(RecordFormat::Raw) && !self.columns.is_empty(),
                ("columns", "format raw has one column, \"value\": leave \"columns\" out"),
            ),
            only_if(!self.delimiter.is_ascii(), ("delimiter", "the delimiter must be ASCII")),
            only_if(self.max_messages == Some(0), ("max_messages", "\"max_messages\" is 0")),
            only_if(self.max_bytes == Some(0), ("max_bytes", "\"max_bytes\" is 0")),
            copies(self.dead_letter.is_some(), self.on_bad_record, "on_bad_record"),
            only_if(
                self.schema.is_some() && !is(RecordFormat::Json),
                ("schema", "\"schema\" belongs to format json"),
            ),
            record_schema(self.schema.as_ref()),
            only_if(
                self.columns.keys().any(|name| METADATA.contains(&name.as_str())),
                ("columns", "columns such as \"_offset\" are there by themselves"),
            ),
        ]
        .concat()
    }
}

impl Rules for CsvWrite {
    fn broken_rules(&self) -> Vec<Broken> {
        only_if(!self.delimiter.is_ascii(), ("delimiter", "the delimiter must be ASCII"))
    }
}

impl Rules for SqlTransform {
    fn broken_rules(&self) -> Vec<Broken> {
        let empty = self.sql.trim().is_empty();
        [
            one_source(self.input.is_some(), &self.inputs),
            only_if(empty, ("sql", "\"sql\" is empty")),
        ]
        .concat()
    }
}

impl Rules for Transform {
    fn broken_rules(&self) -> Vec<Broken> {
        let what = match (&self.sql, self.steps.is_empty()) {
            (None, true) => only_if(true, ("sql", "\"sql\" or \"steps\" is missing")),
            (Some(_), false) => {
                only_if(true, ("steps", "give either \"sql\" or \"steps\", not both"))
            }
            (Some(sql), true) => only_if(sql.trim().is_empty(), ("sql", "\"sql\" is empty")),
            (None, false) => only_if(
                !self.inputs.is_empty(),
                ("inputs", "\"steps\" clean one dataset: name it by \"input\""),
            ),
        };
        let steps = (1..).zip(&self.steps).filter(|(_, step)| step.deeds() != 1);
        let steps = steps.map(|(number, _)| {
            ("steps", format!("step {number} must do one thing, and name its columns").into())
        });
        [one_source(self.input.is_some(), &self.inputs), what, steps.collect()].concat()
    }
}

fn one_source(input: bool, inputs: &BTreeMap<String, Input>) -> Vec<Broken> {
    match (input, inputs.is_empty()) {
        (true, false) => only_if(true, ("inputs", "give either \"input\" or \"inputs\", not both")),
        (false, true) => only_if(true, ("input", "\"input\" or \"inputs\" is missing")),
        _ => Vec::new(),
    }
}

impl Rules for Sql {
    fn broken_rules(&self) -> Vec<Broken> {
        only_if(self.sql.trim().is_empty(), ("sql", "\"sql\" is empty"))
    }
}

impl Rules for PostgresLoad {
    fn broken_rules(&self) -> Vec<Broken> {
        let upsert = self.mode == LoadMode::Upsert;
        let key = match self.key.is_empty() {
            true => {
                only_if(upsert, ("mode", "mode upsert needs \"key\": the columns of a unique key"))
            }
            false => only_if(!upsert, ("key", "\"key\" belongs to mode upsert")),
        };
        [key, copies(self.dead_letter.is_some(), self.on_bad_row, "on_bad_row")].concat()
    }
}

/// What stands in the DAG's file is known to be a schema before a record comes.
fn record_schema(schema: Option<&RecordSchema>) -> Vec<Broken> {
    let Some(RecordSchema::Inline(schema)) = schema else { return Vec::new() };
    match crate::json_schema::JsonSchema::new(&schema.clone().into()) {
        Ok(_) => Vec::new(),
        Err(why) => vec![("schema", format!("\"schema\" is no JSON Schema: {why}").into())],
    }
}

/// Copies are of dead letters.
pub(super) fn copies(wanted: bool, fate: OnBadRow, key: &str) -> Vec<Broken> {
    match wanted && fate != OnBadRow::DeadLetter {
        true => vec![(
            "dead_letter",
            format!("\"dead_letter\" copies dead letters: it needs \"{key}: dead_letter\"").into(),
        )],
        false => Vec::new(),
    }
}

fn only_if(broken: bool, (key, what): (&'static str, &'static str)) -> Vec<Broken> {
    if broken { vec![(key, what.into())] } else { Vec::new() }
}
