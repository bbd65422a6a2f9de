//! A rule as conditions that are evaluated for a whole batch at once.

use std::sync::Arc;

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::functions::regex::expr_fn::regexp_like;
use datafusion::functions::unicode::expr_fn::character_length;
use datafusion::logical_expr::{Expr, ExprSchemable as _, cast, lit, not, try_cast};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::prelude::SessionContext;
use serde_json::Value;
use subak_core::operators::data::DataType as Declared;
use subak_core::operators::validate::{Bound, Rule};

use crate::error::DataError;
use crate::sql::physical::physical;
use crate::sql::types::arrow_type;
use crate::sql::{explain, first_row, path, texts};

/// As browsers check it in a form, and with a dot in its domain.
const EMAIL: &str = r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)+";
const UUID: &str = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}";
const DATE: &str = "[0-9]{4}-[0-9]{2}-[0-9]{2}";

/// What a rejected row gets as its reason, and the condition that finds it.
pub(super) struct Check {
    pub reason: String,
    /// Which rule it is of, counted from 1.
    rule: usize,
    breaks: Arc<dyn PhysicalExpr>,
}

impl Check {
    /// Returns which rows break it; a null among the answers is a row that keeps it.
    pub(super) fn broken(&self, batch: &RecordBatch) -> Result<BooleanArray, DataError> {
        let array = self.breaks.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(array.as_boolean().clone())
    }

    /// Returns the first row of a batch that it can't be computed for, and why.
    pub(super) fn uncomputed(&self, batch: &RecordBatch) -> Option<(usize, String)> {
        let (at, error) = first_row::in_batch(&self.breaks, batch)?;
        Some((at, format!("rule {}: {}", self.rule, explain::values(&error)?)))
    }
}

/// Makes checks of rules, for rows of one schema.
pub(super) struct Compiler<'a> {
    session: &'a SessionContext,
    schema: &'a SchemaRef,
    df_schema: DFSchema,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(
        session: &'a SessionContext,
        schema: &'a SchemaRef,
    ) -> Result<Self, DataError> {
        let df_schema = DFSchema::try_from(Arc::clone(schema))?;
        Ok(Self { session, schema, df_schema })
    }

    /// Returns the checks of a rule, but for `unique`, which needs to know the rows before.
    pub(super) fn checks(&self, number: usize, rule: &Rule) -> Result<Vec<Check>, DataError> {
        let mut found: Vec<(String, Expr)> = Vec::new();
        if let Some(column) = &rule.column {
            let (value, data_type) = path::resolve(column, self.schema)?;
            Column { name: column, value, data_type, rule }.conditions(&mut found)?;
        }
        if let Some(sql) = &rule.sql {
            let condition =
                self.session.parse_sql_expr(sql, &self.df_schema).map_err(explain::planning)?;
            let data_type = condition.get_type(&self.df_schema).map_err(explain::planning)?;
            if data_type != DataType::Boolean {
                return Err(DataError::permanent(format!(
                    "`sql` must be a condition; `{}` gives {data_type}",
                    sql.trim()
                )));
            }
            found.push((format!("`{}` is not true", sql.trim()), not(condition)));
        }
        let check = |(reason, condition): (String, Expr)| {
            let breaks = self.physical(condition).map_err(explain::planning)?;
            Ok(Check { reason: rule.reason.clone().unwrap_or(reason), rule: number, breaks })
        };
        found.into_iter().map(check).collect()
    }

    /// Returns the values that a column has in a batch.
    pub(super) fn values(&self, column: &str) -> Result<Arc<dyn PhysicalExpr>, DataError> {
        let (value, _) = path::resolve(column, self.schema)?;
        Ok(self.physical(value)?)
    }

    fn physical(&self, expr: Expr) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
        physical(self.session, expr, &self.df_schema)
    }
}

/// A rule's column, with what stands for its values.
struct Column<'a> {
    name: &'a str,
    value: Expr,
    data_type: DataType,
    rule: &'a Rule,
}

impl Column<'_> {
    fn conditions(&self, found: &mut Vec<(String, Expr)>) -> Result<(), DataError> {
        let (name, rule) = (self.name, self.rule);
        let mut add = |what: String, breaks: Expr| found.push((format!("`{name}` {what}"), breaks));
        let value = || self.value.clone();
        if rule.not_null {
            add("is null".to_owned(), value().is_null());
        }
        if rule.not_empty {
            let blank = match self.data_type {
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                    value().is_null().or(texts::is_blank(value()))
                }
                _ => value().is_null(),
            };
            add("is empty".to_owned(), blank);
        }
        if let Some(declared) = rule.data_type {
            let lost = try_cast(value(), arrow_type(declared)).is_null();
            add(format!("is not {}", noun(declared)), value().is_not_null().and(lost));
        }
        if let Some(pattern) = &rule.matches {
            self.matches(pattern, &mut add);
        }
        for (key, bound, least) in [("min", &rule.min, true), ("max", &rule.max, false)] {
            let Some(bound) = bound else { continue };
            self.compares(key, bound)?;
            if !matches!(bound, Bound::Text(_)) && !self.data_type.is_numeric() {
                let lost = self.number().is_null();
                add("is not a number".to_owned(), value().is_not_null().and(lost));
            }
            let side = if least { "less" } else { "more" };
            add(format!("is {side} than {}", bound_text(bound)), self.beyond(bound, least));
        }
        if let Some(values) = &rule.one_of {
            for text in values.iter().filter_map(Value::as_str) {
                self.compares("in", &Bound::Text(text.to_owned()))?;
            }
            let list = values.iter().map(literal).collect::<Result<_, _>>()?;
            let shown: Vec<_> = values.iter().map(Value::to_string).collect();
            add(format!("is none of {}", shown.join(", ")), value().in_list(list, true));
        }
        let length = || character_length(self.text());
        if let Some(least) = rule.min_length {
            add(format!("is shorter than {least}"), length().lt(lit(i64::from(least))));
        }
        if let Some(most) = rule.max_length {
            add(format!("is longer than {most}"), length().gt(lit(i64::from(most))));
        }
        Ok(())
    }

    fn text(&self) -> Expr {
        cast(self.value.clone(), DataType::Utf8)
    }

    fn matches(&self, pattern: &str, add: &mut impl FnMut(String, Expr)) {
        let (what, regex) = match pattern {
            "email" => ("is not an e-mail address".to_owned(), EMAIL),
            "uuid" => ("is not a UUID".to_owned(), UUID),
            "date" => ("is not a date".to_owned(), DATE),
            regex => (format!("does not match `{regex}`"), regex),
        };
        let differs = not(regexp_like(self.text(), lit(format!("^(?:{regex})$")), None));
        let breaks = match pattern {
            // A day that there is, too.
            "date" => differs.or(self
                .value
                .clone()
                .is_not_null()
                .and(try_cast(self.text(), DataType::Date32).is_null())),
            _ => differs,
        };
        add(what, breaks);
    }

    /// Refuses a bound that no value of the column's type can be compared with.
    fn compares(&self, key: &str, bound: &Bound) -> Result<(), DataError> {
        let (name, data_type) = (self.name, &self.data_type);
        let fits = match bound {
            Bound::Text(text) => {
                let is_value = || ScalarValue::from(text.as_str()).cast_to(data_type).is_ok();
                data_type.is_string() || data_type.is_null() || is_value()
            }
            Bound::Integer(_) | Bound::Number(_) => {
                !data_type.is_temporal() && can_cast_types(data_type, &DataType::Float64)
            }
        };
        if fits {
            return Ok(());
        }
        let remedy = match data_type {
            _ if data_type.is_numeric() => "write a number",
            _ if data_type.is_temporal() => "write a date or time as text, such as '2026-11-21'",
            _ => "write a value of that type, or a condition in `sql`",
        };
        let bound = bound_text(bound);
        Err(DataError::permanent(format!(
            "`{key}`: `{bound}` can't be compared with column `{name}`, which is {data_type}: {remedy}"
        )))
    }

    /// The condition of a value beyond a bound.
    fn beyond(&self, bound: &Bound, least: bool) -> Expr {
        let (value, bound) = match bound {
            Bound::Text(text) => (self.value.clone(), lit(text.clone())),
            Bound::Integer(number) => (self.number(), lit(*number)),
            Bound::Number(number) => (self.number(), lit(*number)),
        };
        if least { value.lt(bound) } else { value.gt(bound) }
    }

    fn number(&self) -> Expr {
        let value = self.value.clone();
        if self.data_type.is_numeric() { value } else { try_cast(value, DataType::Float64) }
    }
}

fn noun(declared: Declared) -> &'static str {
    match declared {
        Declared::String => "a text",
        Declared::Integer | Declared::Bigint => "an integer",
        Declared::Double => "a number",
        Declared::Boolean => "true or false",
        Declared::Date => "a date",
        Declared::Timestamp => "a timestamp",
    }
}

fn bound_text(bound: &Bound) -> String {
    match bound {
        Bound::Integer(number) => number.to_string(),
        Bound::Number(number) => number.to_string(),
        Bound::Text(text) => text.clone(),
    }
}

fn literal(value: &Value) -> Result<Expr, DataError> {
    match value {
        Value::String(text) => Ok(lit(text.clone())),
        Value::Bool(value) => Ok(lit(*value)),
        Value::Number(number) => Ok(match number.as_i64() {
            Some(integer) => lit(integer),
            None => lit(number.as_f64().unwrap_or(f64::NAN)),
        }),
        _ => Err(DataError::permanent(format!(
            "a rule's `in` takes texts, numbers, true and false, not {value}"
        ))),
    }
}
