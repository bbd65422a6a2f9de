//! Rules that the rows of a dataset must keep.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::data::{DataType, OnBadRow};
use super::letters::LetterCopies;
use super::rules::copies;
use super::{Input, Rules};

/// `validate`: passes on the rows that keep every rule. The others are kept as dead letters, each with
/// all of its reasons; rows read = rows passed on + rows rejected, whatever the rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Validate {
    pub input: Input,
    /// A row must keep all of them.
    pub rules: Vec<Rule>,
    /// What becomes of a row that breaks a rule.
    #[serde(default = "dead_letter")]
    pub on_bad_row: OnBadRow,
    /// A topic that gets a copy of every dead letter, at least once: `kafka://<connection>/<topic>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<LetterCopies>,
}

/// What the values of a column must be, by one or more checks. A null is only refused by `not_null` and
/// `not_empty`, as by a CHECK in SQL.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A column, or a path into a nested one: `name.first`. Not needed beside `sql`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Null is refused.
    #[serde(default, skip_serializing_if = "is_false")]
    pub not_null: bool,
    /// Null, the empty text and a text of white space are refused.
    #[serde(default, skip_serializing_if = "is_false")]
    pub not_empty: bool,
    /// Texts must be values of this type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub data_type: Option<DataType>,
    /// `email`, `uuid`, `date` (`2026-11-21`), or a regular expression for the whole value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// The least value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Bound>,
    /// The greatest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Bound>,
    /// The values there may be.
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<Value>>,
    /// The least number of characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u32>,
    /// The greatest number of characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
    /// Of several rows with the same value, only the first that keeps all other rules is passed on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unique: bool,
    /// A condition in SQL over the row's columns: `price * quantity < 10000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// The reason that a rejected row gets, instead of Subak's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An end of a range: a number, or a date or timestamp as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number, or a date as text")]
pub enum Bound {
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Rule {
    /// Whether it checks values of `column`.
    fn checks_a_column(&self) -> bool {
        self.not_null
            || self.not_empty
            || self.unique
            || self.data_type.is_some()
            || self.matches.is_some()
            || self.min.is_some()
            || self.max.is_some()
            || self.one_of.is_some()
            || self.min_length.is_some()
            || self.max_length.is_some()
    }

    fn broken(&self) -> Option<Cow<'static, str>> {
        self.badly_made().map(Cow::from).or_else(|| {
            let pattern = self.matches.as_deref().filter(|pattern| !pattern.contains("{{"))?;
            let error = regex_syntax::Parser::new().parse(pattern).err()?;
            let why = match &error {
                regex_syntax::Error::Parse(error) => error.kind().to_string(),
                regex_syntax::Error::Translate(error) => error.kind().to_string(),
                other => other.to_string(),
            };
            Some(format!("`{pattern}` is not a regular expression: {why}").into())
        })
    }

    fn badly_made(&self) -> Option<&'static str> {
        match (&self.column, &self.sql) {
            (Some(column), _) if column.is_empty() => Some("\"column\" is empty"),
            (_, Some(sql)) if sql.trim().is_empty() => Some("\"sql\" is empty"),
            (None, None) => Some("\"column\" is missing"),
            (None, Some(_)) if self.checks_a_column() => {
                Some("\"column\" is missing: only \"sql\" stands alone")
            }
            (Some(_), None) if !self.checks_a_column() => Some(
                "it checks nothing: add one of not_null, not_empty, type, matches, min, max, in, min_length, max_length, unique, sql",
            ),
            _ if self.min_length > self.max_length && self.max_length.is_some() => {
                Some("\"min_length\" is more than \"max_length\"")
            }
            _ => None,
        }
    }
}

impl Rules for Validate {
    fn broken_rules(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        if self.rules.is_empty() {
            return vec![("rules", "\"rules\" is empty: every row would pass".into())];
        }
        let rules = self.rules.iter().zip(1..);
        let broken = rules
            .filter_map(|(rule, number)| rule.broken().map(|what| (number, what)))
            .map(|(number, what)| ("rules", format!("rule {number}: {what}").into()));
        broken.chain(copies(self.dead_letter.is_some(), self.on_bad_row, "on_bad_row")).collect()
    }
}

fn dead_letter() -> OnBadRow {
    OnBadRow::DeadLetter
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is wrong with a rule.
    fn wrong(rule: Value) -> String {
        let rule: Rule = serde_json::from_value(rule).unwrap();
        rule.broken().unwrap_or_default().into_owned()
    }

    #[test]
    fn a_rule_has_a_column_and_a_check_or_sql() {
        assert_eq!(wrong(json!({"column": "a", "not_null": true})), "");
        assert_eq!(wrong(json!({"sql": "a < b"})), "");
        assert_eq!(wrong(json!({"column": "a", "sql": "a < b"})), "");
        assert!(wrong(json!({"column": "a"})).starts_with("it checks nothing"));
        assert!(wrong(json!({"min": 1})).starts_with("\"column\" is missing"));
        assert!(wrong(json!({"sql": "a < b", "unique": true})).contains("only \"sql\""));
        assert!(wrong(json!({"column": "", "unique": true})).contains("empty"));
        let lengths = json!({"column": "a", "min_length": 3, "max_length": 2});
        assert!(wrong(lengths).contains("more than"));
    }

    #[test]
    fn a_wrong_regular_expression_is_named_and_a_template_is_left_alone() {
        let pattern = |text: &str| wrong(json!({"column": "a", "matches": text}));
        assert_eq!(pattern("[a-z"), "`[a-z` is not a regular expression: unclosed character class");
        assert_eq!(pattern("[a-z]+"), "");
        assert_eq!(pattern("{{ params.pattern }}"), "");
    }
}
