//! Names of tables and columns: quoted always, and a near one when there is none.

use std::fmt;

use subak_task::TaskError;

/// A name in SQL; displayed in double quotes, so that it can be nothing else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identifier(String);

impl Identifier {
    /// Takes a name as it is, letter case included.
    pub(crate) fn new(name: &str) -> Result<Self, TaskError> {
        let wrong = match name {
            _ if name.is_empty() => "is empty",
            _ if name.len() > 63 => "is longer than the 63 bytes that PostgreSQL keeps",
            _ if name.contains('\0') => "contains a NUL character",
            _ => return Ok(Self(name.to_owned())),
        };
        Err(TaskError::permanent(format!("the name `{name}` {wrong}")))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// `table` or `schema.table`, as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableName {
    pub(crate) schema: Option<Identifier>,
    pub(crate) table: Identifier,
}

impl TableName {
    /// Reads a name; a part in double quotes may contain a dot.
    pub(crate) fn parse(text: &str) -> Result<Self, TaskError> {
        let parts = parts(text).ok_or_else(|| {
            TaskError::permanent(format!("`{text}` is no table name: a quote is missing"))
        })?;
        match parts.as_slice() {
            [table] => Ok(Self { schema: None, table: Identifier::new(table)? }),
            [schema, table] => {
                Ok(Self { schema: Some(Identifier::new(schema)?), table: Identifier::new(table)? })
            }
            _ => Err(TaskError::permanent(format!(
                "`{text}` is no table name: write `table` or `schema.table`"
            ))),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        write!(f, "{}", self.table)
    }
}

/// Splits at dots outside quotes; `None` where a quote is not closed.
fn parts(text: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let part = parts.last_mut()?;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                part.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            c => part.push(c),
        }
    }
    (!quoted).then_some(parts)
}

/// Joins names with commas.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a Identifier>) -> String {
    names.into_iter().map(Identifier::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns `: did you mean …?` with the names most like `wanted`, or nothing.
pub(crate) fn did_you_mean<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let mut near: Vec<(usize, &str)> = names
        .into_iter()
        .map(|name| (distance(&plain(wanted), &plain(name)), name))
        .filter(|(distance, name)| *distance * 3 <= wanted.len().max(name.len()))
        .collect();
    near.sort_unstable();
    let near: Vec<String> = near.iter().take(3).map(|(_, name)| format!("`{name}`")).collect();
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) }
}

/// Case and underscores are what names differ in most.
fn plain(name: &str) -> Vec<char> {
    name.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect()
}

/// Levenshtein's distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_whatever_they_contain() {
        assert_eq!(TableName::parse("users").unwrap().to_string(), "\"users\"");
        assert_eq!(TableName::parse("a.B c").unwrap().to_string(), "\"a\".\"B c\"");
        let wicked = TableName::parse("x\"\"; DROP TABLE users; --").unwrap();
        assert_eq!(wicked.to_string(), "\"x; DROP TABLE users; --\"");
        assert_eq!(
            TableName::parse("\"a.b\".\"c\"\"d\"").unwrap().to_string(),
            "\"a.b\".\"c\"\"d\""
        );
        for wrong in ["", "a.", "a.b.c", "\"a", &"x".repeat(64)] {
            assert!(TableName::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_near_name_is_offered() {
        let names = ["invoice_year", "invoice_month", "customers"];
        assert_eq!(did_you_mean("InvoiceYear", names), "; did you mean `invoice_year`?");
        assert_eq!(did_you_mean("costumers", names), "; did you mean `customers`?");
        assert_eq!(did_you_mean("zzz", names), "");
    }
}
