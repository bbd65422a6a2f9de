//! The fields of a record that is one line of CSV.

use std::borrow::Cow;

use subak_task::TaskError;

use super::Value;

/// Which field is which column's.
pub(super) struct Names {
    fields: usize,
    /// Of each column, its field.
    columns: Vec<usize>,
    delimiter: u8,
}

impl Names {
    pub(super) fn new<'p>(
        names: &[String],
        paths: impl Iterator<Item = &'p str>,
        delimiter: u8,
    ) -> Result<Self, TaskError> {
        let place = |path: &str| {
            names.iter().position(|name| name == path).ok_or_else(|| {
                TaskError::permanent(format!(
                    "`columns` names field `{path}`, which is not among `names`: {}",
                    names.join(", ")
                ))
            })
        };
        Ok(Self {
            fields: names.len(),
            columns: paths.map(place).collect::<Result<_, _>>()?,
            delimiter,
        })
    }

    /// The value of each column; the empty field is null.
    pub(super) fn read<'r>(&self, payload: &'r [u8]) -> Result<Vec<Value<'r>>, String> {
        let line = payload.strip_suffix(b"\n").unwrap_or(payload);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let fields = split(line, self.delimiter)?;
        if fields.len() != self.fields {
            return Err(format!("{} fields instead of {}", fields.len(), self.fields));
        }
        let value = |column: &usize| Some(fields[*column].clone()).filter(|it| !it.is_empty());
        Ok(self.columns.iter().map(value).collect())
    }
}

/// Splits a line. A quote opens a field only where it begins; doubled inside, it stands for itself.
fn split(line: &[u8], delimiter: u8) -> Result<Vec<Cow<'_, [u8]>>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix(b"\"") {
            Some(quoted) => take_quoted(quoted)?,
            None => {
                let end = rest.iter().position(|byte| *byte == delimiter).unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                if field.contains(&b'\n') {
                    return Err("more than one line".to_owned());
                }
                (Cow::Borrowed(field), after)
            }
        };
        fields.push(field);
        match after {
            [] => return Ok(fields),
            [next, after @ ..] if *next == delimiter => rest = after,
            _ => return Err("text behind a closing quote".to_owned()),
        }
    }
}

/// Takes a field behind its opening quote.
fn take_quoted(quoted: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), String> {
    let mut owned: Option<Vec<u8>> = None;
    let mut start = 0;
    let mut at = 0;
    while let Some(quote) = quoted[at..].iter().position(|byte| *byte == b'"') {
        let end = at + quote;
        if quoted.get(end + 1) == Some(&b'"') {
            owned.get_or_insert_default().extend_from_slice(&quoted[start..=end]);
            at = end + 2;
            start = at;
            continue;
        }
        let last = &quoted[start..end];
        let field = match owned {
            Some(mut owned) => {
                owned.extend_from_slice(last);
                Cow::Owned(owned)
            }
            None => Cow::Borrowed(last),
        };
        return Ok((field, &quoted[end + 1..]));
    }
    Err("a quote is not closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Vec<Option<String>>, String> {
        let names = ["a", "b", "c"].map(str::to_owned);
        let names = Names::new(&names, ["c", "a"].into_iter(), b',').unwrap();
        let values = names.read(line.as_bytes())?;
        let text = |value: Cow<'_, [u8]>| String::from_utf8(value.into_owned()).unwrap();
        Ok(values.into_iter().map(|value| value.map(text)).collect())
    }

    #[test]
    fn a_line_has_its_fields() {
        let check = |line: &str, c: Option<&str>, a: Option<&str>| {
            assert_eq!(read(line).unwrap(), [c, a].map(|it| it.map(str::to_owned)), "{line}");
        };
        check("1,2,3", Some("3"), Some("1"));
        check("1,2,\r\n", None, Some("1"));
        check("\"x,\"\"y\"\"\",,\"\"", None, Some("x,\"y\""));
        check("a\"b,,\"l1\nl2\"", Some("l1\nl2"), Some("a\"b"));
    }

    #[test]
    fn what_is_no_line_says_why() {
        let check = |line: &str, expected: &str| assert_eq!(read(line).unwrap_err(), expected);
        check("1,2", "2 fields instead of 3");
        check("", "1 fields instead of 3");
        check("\"1,2,3", "a quote is not closed");
        check("\"1\"x,2,3", "text behind a closing quote");
        check("1,2,3\n4,5,6", "more than one line");
    }
}
