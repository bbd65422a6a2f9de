//! Steps of cleaning, each a projection; DataFusion makes one of them all.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::functions::core::expr_ext::FieldAccessor as _;
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::functions::string::expr_fn::{lower, upper};
use datafusion::functions::unicode::expr_fn::initcap;
use datafusion::logical_expr::{Expr, cast, ident, lit, when};
use datafusion::prelude::{DataFrame, SessionContext};
use subak_core::operators::data::{DataType as Declared, Step};

use super::types::arrow_type;
use super::{explain, path, texts};
use crate::error::DataError;

/// Does one step to a frame.
pub(super) fn apply(
    session: &SessionContext,
    frame: DataFrame,
    step: &Step,
) -> Result<DataFrame, DataError> {
    let projection: Vec<Expr> = columns(session, &frame, step)?
        .into_iter()
        .map(|(name, value)| value.alias(name))
        .collect();
    frame.select(projection).map_err(explain::planning)
}

/// Returns what each column becomes by one step.
pub(super) fn columns(
    session: &SessionContext,
    frame: &DataFrame,
    step: &Step,
) -> Result<Vec<(String, Expr)>, DataError> {
    let Step { trim, title_case, lower: lowered, upper: uppered, digits, cast: types, .. } = step;
    let Step { set, rename, drop: dropped, .. } = step;
    let columns = Columns::of(frame)
        .each(trim, texts::trimmed)?
        .each(title_case, initcap)?
        .each(lowered, lower)?
        .each(uppered, upper)?
        .each(digits, texts::digits)?
        .cast(types)?
        .set(session, frame, set)?
        .renamed(rename)?
        .without(dropped)?;
    Ok(columns.columns)
}

/// What each column becomes.
struct Columns {
    schema: SchemaRef,
    columns: Vec<(String, Expr)>,
}

impl Columns {
    /// Every column as it is.
    fn of(frame: &DataFrame) -> Self {
        let schema: SchemaRef = Arc::clone(frame.schema().inner());
        let columns =
            schema.fields().iter().map(|field| (field.name().clone(), ident(field.name())));
        Self { columns: columns.collect(), schema }
    }

    /// Changes texts.
    fn each(mut self, names: &[String], change: impl Fn(Expr) -> Expr) -> Result<Self, DataError> {
        for name in names {
            let (_, data_type) = path::resolve(name, &self.schema)?;
            if !data_type.is_string() && !data_type.is_null() {
                return Err(DataError::permanent(format!(
                    "column `{name}` is {data_type}, not text: cast it to string first"
                )));
            }
            self = self.changed(name, &|text| Some(change(text)))?;
        }
        Ok(self)
    }

    fn cast(mut self, types: &BTreeMap<String, Declared>) -> Result<Self, DataError> {
        for (name, declared) in types {
            self = self.changed(name, &|value| Some(cast(value, arrow_type(*declared))))?;
        }
        Ok(self)
    }

    fn without(mut self, names: &[String]) -> Result<Self, DataError> {
        for name in names {
            self = self.changed(name, &|_| None)?;
        }
        Ok(self)
    }

    /// Changes what a path leads to, or takes it away.
    fn changed(
        mut self,
        name: &str,
        change: &dyn Fn(Expr) -> Option<Expr>,
    ) -> Result<Self, DataError> {
        path::resolve(name, &self.schema)?;
        let whole = self.columns.iter().position(|(column, _)| column == name);
        let (place, fields) = match (whole, name.split_once('.')) {
            (Some(place), _) => (Some(place), ""),
            (None, Some((column, fields))) => {
                (self.columns.iter().position(|(known, _)| known == column), fields)
            }
            (None, None) => (None, ""),
        };
        // One that another name of the same step has taken away.
        let Some(place) = place else { return Ok(self) };
        let value = self.columns[place].1.clone();
        let data_type = match self.schema.field_with_name(&self.columns[place].0) {
            Ok(field) => field.data_type().clone(),
            Err(_) => DataType::Null,
        };
        match rebuilt(value, &data_type, fields, change) {
            Some(value) => self.columns[place].1 = value,
            None => drop(self.columns.remove(place)),
        }
        Ok(self)
    }

    fn renamed(mut self, names: &BTreeMap<String, String>) -> Result<Self, DataError> {
        let mut renamed = Vec::new();
        for (old, new) in names {
            path::resolve(old, &self.schema)?;
            let Some(place) = self.columns.iter().position(|(name, _)| name == old) else {
                return Err(DataError::permanent(format!(
                    "`{old}` is nested: take it out by `set: {{{new}: \"…['…']\"}}`"
                )));
            };
            renamed.push((place, new));
        }
        // Only now: two columns may take each other's names.
        for (place, new) in renamed {
            new.clone_into(&mut self.columns[place].0);
        }
        let is_twice =
            |new: &&String| self.columns.iter().filter(|(name, _)| name == *new).count() > 1;
        if let Some(new) = names.values().find(is_twice) {
            return Err(DataError::permanent(format!(
                "two columns would be called `{new}`: drop or rename the other one in a step before"
            )));
        }
        Ok(self)
    }

    fn set(
        mut self,
        session: &SessionContext,
        frame: &DataFrame,
        expressions: &BTreeMap<String, String>,
    ) -> Result<Self, DataError> {
        for (name, sql) in expressions {
            let value = session.parse_sql_expr(sql, frame.schema()).map_err(explain::planning)?;
            match self.columns.iter_mut().find(|(column, _)| column == name) {
                Some((_, old)) => *old = value,
                None => self.columns.push((name.clone(), value)),
            }
        }
        Ok(self)
    }
}

/// Returns a value with one of its fields changed; a null stays a null.
fn rebuilt(
    value: Expr,
    data_type: &DataType,
    fields: &str,
    change: &dyn Fn(Expr) -> Option<Expr>,
) -> Option<Expr> {
    let DataType::Struct(known) = data_type else { return change(value) };
    if fields.is_empty() {
        return change(value);
    }
    let (first, rest) = fields.split_once('.').unwrap_or((fields, ""));
    let mut arguments = Vec::new();
    for field in known {
        let inner = value.clone().field(field.name().as_str());
        let inner = if field.name() == first {
            rebuilt(inner, field.data_type(), rest, change)
        } else {
            Some(inner)
        };
        if let Some(inner) = inner {
            arguments.extend([lit(field.name().as_str()), inner]);
        }
    }
    if arguments.is_empty() {
        return None;
    }
    when(value.is_not_null(), named_struct(arguments)).end().ok()
}
