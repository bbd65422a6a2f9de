//! The values at some paths of a JSON object, in one pass over its bytes; the rest is skipped.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as _, Deserializer};
use serde_json::value::RawValue;
use subak_core::operators::kafka::WHOLE_RECORD;

use super::Value;

/// The paths of all columns, as a tree.
pub(super) struct Paths {
    root: Node,
    /// Columns whose value is the whole record.
    whole: Vec<usize>,
    columns: usize,
    /// Fields that no column has, if they are to be remembered.
    others: Option<Others>,
}

/// Paths of fields that no column has.
type Others = RefCell<BTreeSet<String>>;

/// Of these at most.
const OTHERS_MOST: usize = 20;

#[derive(Default)]
struct Node {
    /// Columns whose value is here.
    columns: Vec<usize>,
    children: Vec<(String, Node)>,
    /// From the root.
    path: String,
}

impl Paths {
    pub(super) fn new<'p>(paths: impl Iterator<Item = &'p str>) -> Self {
        let mut tree = Self { root: Node::default(), whole: Vec::new(), columns: 0, others: None };
        for (column, path) in paths.enumerate() {
            tree.columns += 1;
            if path == WHOLE_RECORD {
                tree.whole.push(column);
                continue;
            }
            let mut node = &mut tree.root;
            for part in path.split('.') {
                node = node.child(part);
            }
            node.columns.push(column);
        }
        tree
    }

    /// Remembers fields that no column has.
    pub(super) fn note_others(&mut self) {
        self.others = Some(Others::default());
    }

    /// These.
    pub(super) fn others(&self) -> BTreeSet<String> {
        self.others.as_ref().map(|others| others.borrow().clone()).unwrap_or_default()
    }

    /// The value of each column, or why the bytes are no JSON object.
    pub(super) fn read<'r>(&self, payload: &'r [u8]) -> Result<Vec<Value<'r>>, String> {
        let text = std::str::from_utf8(payload)
            .map_err(|error| format!("not UTF-8 from byte {} on", error.valid_up_to()))?;
        if !text.trim_ascii_start().starts_with('{') {
            // Something else may be no JSON at all, which says more.
            serde_json::from_str::<IgnoredAny>(text).map_err(|error| not_json(&error))?;
            return Err("the record is no JSON object".to_owned());
        }
        let mut found: Vec<Option<&'r str>> = vec![None; self.columns];
        let mut reader = serde_json::Deserializer::from_str(text);
        Inside { node: &self.root, found: &mut found, others: self.others.as_ref() }
            .deserialize(&mut reader)
            .and_then(|()| reader.end())
            .map_err(|error| not_json(&error))?;
        for column in &self.whole {
            found[*column] = Some(text.trim_ascii());
        }
        found.into_iter().map(|raw| raw.map_or(Ok(None), value)).collect()
    }
}

/// Fields that no column has, in words.
pub(crate) fn left_out(others: &BTreeSet<String>) -> Option<String> {
    let more = if others.len() < OTHERS_MOST { "" } else { ", …" };
    let named: Vec<&str> = others.iter().take(OTHERS_MOST).map(String::as_str).collect();
    (!named.is_empty()).then(|| {
        format!("left out, as the first records do not have them: {}{more}", named.join(", "))
    })
}

fn not_json(error: &serde_json::Error) -> String {
    format!("not JSON: {error}")
}

/// A value as a column takes it: text without its quotes, null as none, anything else as written.
fn value(raw: &str) -> Result<Value<'_>, String> {
    match raw.as_bytes() {
        b"null" => Ok(None),
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => Ok(Some(Cow::Borrowed(inner))),
        [b'"', ..] => {
            let text: String = serde_json::from_str(raw).map_err(|error| not_json(&error))?;
            Ok(Some(Cow::Owned(text.into_bytes())))
        }
        bytes => Ok(Some(Cow::Borrowed(bytes))),
    }
}

impl Node {
    fn child(&mut self, name: &str) -> &mut Self {
        let place = self.children.iter().position(|(child, _)| child == name);
        let place = place.unwrap_or_else(|| {
            let path = self.path_of(name);
            self.children.push((name.to_owned(), Self { path, ..Self::default() }));
            self.children.len() - 1
        });
        &mut self.children[place].1
    }

    /// The path of a field here.
    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn find(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|(child, _)| child == name).map(|(_, node)| node)
    }
}

/// A value at a node: kept if a column wants it, looked into if others want parts of it.
struct At<'n, 'f, 'de> {
    node: &'n Node,
    found: &'f mut Vec<Option<&'de str>>,
    others: Option<&'n Others>,
}

impl<'de> DeserializeSeed<'de> for At<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { node, found, others } = self;
        if node.columns.is_empty() {
            return Inside { node, found, others }.deserialize(deserializer);
        }
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        for column in &node.columns {
            found[*column] = Some(raw);
        }
        if node.children.is_empty() {
            return Ok(());
        }
        let mut reader = serde_json::Deserializer::from_str(raw);
        Inside { node, found, others }.deserialize(&mut reader).map_err(D::Error::custom)
    }
}

/// The parts of a value that columns want.
struct Inside<'n, 'f, 'de> {
    node: &'n Node,
    found: &'f mut Vec<Option<&'de str>>,
    others: Option<&'n Others>,
}

impl<'de> DeserializeSeed<'de> for Inside<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inside<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { node, found, others } = self;
        while let Some(child) = map.next_key_seed(Key { node, others })? {
            match child {
                Some(node) => map.next_value_seed(At { node, found: &mut *found, others })?,
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { node, found, others } = self;
        for index in 0_usize.. {
            let next = match node.find(&index.to_string()) {
                Some(node) => list.next_element_seed(At { node, found: &mut *found, others })?,
                None => list.next_element::<IgnoredAny>()?.map(drop),
            };
            if next.is_none() {
                break;
            }
        }
        Ok(())
    }

    // Where a path goes on, anything but an object and a list has nothing: null.

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Finds a key's node.
struct Key<'n> {
    node: &'n Node,
    others: Option<&'n Others>,
}

impl<'de, 'n> DeserializeSeed<'de> for Key<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Key<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let found = self.node.find(name);
        if let (None, Some(others)) = (found, self.others) {
            let mut others = others.borrow_mut();
            if others.len() < OTHERS_MOST {
                others.insert(self.node.path_of(name));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(paths: &[&str], record: &[u8]) -> Result<Vec<Option<String>>, String> {
        let paths = Paths::new(paths.iter().copied());
        let values = paths.read(record)?;
        let text = |value: Cow<'_, [u8]>| String::from_utf8(value.into_owned()).unwrap();
        Ok(values.into_iter().map(|value| value.map(text)).collect())
    }

    #[test]
    fn paths_lead_into_objects_and_lists() {
        let record = r#" {"a": "x", "n": {"first": "A\u00fc\n\"", "last": null}, "l": [1, {"k": true}], "u": [[]]} "#;
        let check = |path: &str, expected: Option<&str>| {
            let found = read(&[path], record.as_bytes()).unwrap();
            assert_eq!(found, [expected.map(str::to_owned)], "{path}");
        };
        check("a", Some("x"));
        check("n.first", Some("Aü\n\""));
        check("n.last", None);
        check("n.middle", None);
        check("n", Some(r#"{"first": "A\u00fc\n\"", "last": null}"#));
        check("l.0", Some("1"));
        check("l.1.k", Some("true"));
        check("l.2", None);
        check("a.b", None);
        check("u.0", Some("[]"));
        check("$record", Some(record.trim()));
    }

    #[test]
    fn a_value_and_its_parts_may_both_be_wanted() {
        let record = br#"{"n": {"a": 1, "b": {"c": 2.50}}, "n2": 3}"#;
        let found = read(&["n.b.c", "n", "n.b", "n2", "n.b.c"], record).unwrap();
        let expected = ["2.50", r#"{"a": 1, "b": {"c": 2.50}}"#, r#"{"c": 2.50}"#, "3", "2.50"];
        assert_eq!(found, expected.map(|text| Some(text.to_owned())));
    }

    #[test]
    fn fields_that_no_column_has_are_remembered_if_that_is_wanted() {
        let mut paths = Paths::new(["a", "n.b"].into_iter());
        paths.read(br#"{"x": 1}"#).unwrap();
        paths.note_others();
        assert_eq!(left_out(&paths.others()), None);
        paths.read(br#"{"a": {"in": 1}, "n": {"b": 1, "c": 2}, "y": [{"z": 1}]}"#).unwrap();
        let said = "left out, as the first records do not have them: n.c, y";
        assert_eq!(left_out(&paths.others()).as_deref(), Some(said));
    }

    #[test]
    fn what_is_no_object_says_so() {
        let check = |record: &[u8], expected: &str| {
            let said = read(&["a"], record).unwrap_err();
            assert!(said.starts_with(expected), "{said}");
        };
        check(b"", "not JSON: EOF");
        check(b"oops", "not JSON: expected value");
        check(b"[1]", "the record is no JSON object");
        check(b"\"a\"", "the record is no JSON object");
        check(b"{\"a\": 1} x", "not JSON: trailing characters");
        check(b"{\"a\": 1,}", "not JSON: ");
        check(b"{\"a\": 01}", "not JSON: ");
        check(b"{\"b\": \"\xff\"}", "not UTF-8 from byte 7 on");
        check(b"{\"a\": {\"b\": ", "not JSON: EOF");
        check(b"{\"a\": \"\\ud800\"}", "not JSON: ");
    }
}
