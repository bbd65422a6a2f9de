//! Values for `$1`, `$2`, …: PostgreSQL infers their types, so each is handed over as text.

use serde_json::Value;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use subak_task::TaskError;

use crate::failure::Statement;
use crate::statement::split::Piece;
use crate::target::Target;

const PREPARE: &str = "PREPARE subak_statement AS ";

/// Prepares a statement and returns the one that executes it with the values.
pub(crate) async fn prepare(
    db: &mut PgConnection,
    target: &Target,
    text: &str,
    piece: &Piece<'_>,
    values: &[Value],
) -> Result<String, TaskError> {
    let place = Statement { text, start: piece.start, prefix: PREPARE.len() };
    sqlx::raw_sql(AssertSqlSafe(format!("{PREPARE}{}", piece.sql)))
        .execute(&mut *db)
        .await
        .map_err(|error| target.failure_in(error, place))?;
    let types: Vec<String> = sqlx::query_scalar(
        "SELECT unnest(parameter_types)::text FROM pg_prepared_statements
         WHERE name = 'subak_statement'",
    )
    .fetch_all(db)
    .await
    .map_err(|error| target.failure(error))?;
    if types.len() != values.len() {
        return Err(TaskError::permanent(format!(
            "the statement has {} parameters, but `parameters` lists {} values",
            types.len(),
            values.len()
        )));
    }
    let literals: Result<Vec<_>, _> = types
        .iter()
        .zip(values)
        .enumerate()
        .map(|(i, (ty, value))| literal(i, ty, value))
        .collect();
    Ok(format!("EXECUTE subak_statement({})", literals?.join(", ")))
}

/// Writes a value as a constant of the type.
fn literal(index: usize, ty: &str, value: &Value) -> Result<String, TaskError> {
    let text = match value {
        Value::Null => return Ok("NULL".to_owned()),
        value if matches!(ty, "json" | "jsonb") => value.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(value) => value.clone(),
        Value::Array(values) if ty.ends_with("[]") => array(values),
        Value::Array(_) | Value::Object(_) => {
            return Err(TaskError::permanent(format!(
                "parameter ${} is a {}, but PostgreSQL expects `{ty}`: write `${}::jsonb` in the \
                 statement to pass it as JSON",
                index + 1,
                if value.is_array() { "list" } else { "map" },
                index + 1,
            )));
        }
    };
    if text.contains('\0') {
        return Err(TaskError::permanent(format!(
            "parameter ${} contains a NUL character, which PostgreSQL's text cannot hold",
            index + 1
        )));
    }
    // E'' means the same whatever standard_conforming_strings says.
    Ok(format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''")))
}

/// Writes PostgreSQL's text form of an array, nested ones included.
fn array(values: &[Value]) -> String {
    let items: Vec<String> = values
        .iter()
        .map(|value| match value {
            Value::Null => "NULL".to_owned(),
            Value::Array(values) => array(values),
            Value::String(text) => quoted(text),
            Value::Object(_) => quoted(&value.to_string()),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
        })
        .collect();
    format!("{{{}}}", items.join(","))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(ty: &str, value: Value, expected: &str) {
        assert_eq!(literal(0, ty, &value).unwrap(), expected, "{value} as {ty}");
    }

    #[test]
    fn values_become_constants_that_cannot_break_out() {
        check("integer", json!(42), "E'42'");
        check("text", json!("it's"), "E'it''s'");
        check("text", json!("\\' OR 1=1 --"), "E'\\\\'' OR 1=1 --'");
        check("text", json!(null), "NULL");
        check("jsonb", json!({ "a": [1, null] }), "E'{\"a\":[1,null]}'");
        check("jsonb", json!("x"), "E'\"x\"'");
        check("integer[]", json!([1, null, 3]), "E'{1,NULL,3}'");
        check("text[]", json!(["a\"b", "c\\"]), "E'{\"a\\\\\"b\",\"c\\\\\\\\\"}'");
        assert!(literal(0, "integer", &json!([1])).is_err());
        assert!(literal(0, "text", &json!("\0")).is_err());
    }
}
