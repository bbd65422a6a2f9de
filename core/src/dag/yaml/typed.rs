//! Reads a typed struct from a node with serde, collecting every error with its place.
//!
//! serde stops at the first error. Here a value that fails is reported, then left out, and the
//! struct is read again: as many rounds as there are errors. Unknown keys are found by the list of
//! fields that serde hands over.

use std::cell::RefCell;
use std::collections::HashSet;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};

use super::error::{Error, one_of};
use super::node::{Kind, Node};
use crate::dag::airflow::instead;
use crate::dag::diagnostic::Report;
use crate::dag::page::Page;
use crate::dag::suggest::{did_you_mean, nearest};
use crate::template;

/// How to read a struct.
#[derive(Clone, Copy)]
pub(crate) struct Read<'a> {
    pub report: &'a Report<'a>,
    /// Names the struct in messages: `task "load"`.
    pub what: &'a str,
    /// Keys of the outermost map that somebody else reads.
    pub others: &'a [&'a str],
    /// Keys that are known, and not built yet.
    pub not_yet: &'a [&'a str],
    /// What to say of an unknown key that resembles no known one.
    pub hint: &'a str,
    /// Keys of the outermost map that must be there, so that all that miss are told at once.
    pub required: &'a [String],
    /// Whether a template may stand for a value of any type: it is checked once rendered.
    pub templates: bool,
    /// What explains its mistakes; without, the key says.
    pub page: Option<Page>,
}

impl<'a> Read<'a> {
    /// Reads a struct all of whose keys are its own, without templates.
    pub(crate) fn new(report: &'a Report<'a>, what: &'a str) -> Self {
        Self {
            report,
            what,
            others: &[],
            not_yet: &[],
            hint: "",
            required: &[],
            templates: false,
            page: None,
        }
    }
}

/// Reads `node`; `None` if that failed, then everything wrong with it has been reported.
pub(crate) fn read<T: DeserializeOwned>(node: &Node, how: &Read<'_>) -> Option<T> {
    let before = how.report.len();
    let is_map = matches!(node.kind, Kind::Map(_) | Kind::Null);
    for key in how.required.iter().filter(|key| is_map && node.get(key).is_none()) {
        how.report.error(
            how.page.unwrap_or(Page::Keys),
            node.at,
            format!("{}: {key:?} is missing", how.what),
        );
    }
    let state = State { how, failed: RefCell::default(), unknown_done: RefCell::default() };
    // Each round leaves out one more node; the bound is for errors that nothing can be left out for.
    for _ in 0..200 {
        match T::deserialize(Typed { node, state: &state, outermost: true }) {
            Ok(value) if how.report.len() == before => return Some(value),
            Ok(_) => return None,
            Err(error) => {
                if !state.explain(node, error) {
                    return None;
                }
            }
        }
    }
    None
}

struct State<'a> {
    how: &'a Read<'a>,
    /// Nodes that are left out, by address: the tree does not move.
    failed: RefCell<HashSet<*const Node>>,
    /// Maps whose unknown keys have been reported.
    unknown_done: RefCell<HashSet<*const Node>>,
}

impl State<'_> {
    /// Reports an error, and says whether another round may find more.
    fn explain(&self, root: &Node, error: Error) -> bool {
        let (at, node) = error.place.unwrap_or((root.at, std::ptr::from_ref(root)));
        let is_new = self.failed.borrow_mut().insert(node);
        let given = error.missing.is_some_and(|field| {
            self.how.required.iter().any(|key| key == field) || self.was_there(root, node, field)
        });
        let template = self.how.templates && is_template(root, node);
        // What does not fit together may do so with the value that was left out.
        let given = given || error.missing.is_none() && self.lacks_part(root, node);
        if !given && !template && is_new {
            let what = self.how.what;
            let page = || error.key.as_deref().map_or(Page::Keys, Page::of_key);
            let page = self.how.page.unwrap_or_else(page);
            let message = match error.key {
                Some(key) => format!("{key:?} in {what}: {}", error.message),
                None => format!("{what}: {}", error.message),
            };
            self.how.report.error(page, at, message);
        }
        is_new && !std::ptr::eq(node, root)
    }

    /// Whether the field is not missing at all, but was left out in an earlier round, or is misspelt
    /// and was told of.
    fn was_there(&self, root: &Node, map: *const Node, field: &str) -> bool {
        let mut found = false;
        root.walk(&mut |node| {
            if std::ptr::eq(node, map) {
                found = node.entries().iter().any(|(key, value)| {
                    key.text == field
                        || self.is_left_out(value) && nearest(&key.text, [field]).is_some()
                });
            }
        });
        found
    }

    /// Whether something within the node was left out in an earlier round.
    fn lacks_part(&self, root: &Node, wanted: *const Node) -> bool {
        let mut found = false;
        root.walk(&mut |node| {
            if std::ptr::eq(node, wanted) {
                let is_part = |part: &Node| !std::ptr::eq(part, wanted) && self.is_left_out(part);
                node.walk(&mut |part| found |= is_part(part));
            }
        });
        found
    }

    fn is_left_out(&self, node: &Node) -> bool {
        let failed = self.failed.borrow();
        !failed.is_empty() && failed.contains(&std::ptr::from_ref(node))
    }
}

fn is_template(root: &Node, wanted: *const Node) -> bool {
    let mut found = false;
    root.walk(&mut |node| {
        if std::ptr::eq(node, wanted) {
            found = node.text().is_some_and(template::is_expression);
        }
    });
    found
}

/// serde's view of a node.
#[derive(Clone, Copy)]
struct Typed<'n, 's> {
    node: &'n Node,
    state: &'s State<'s>,
    outermost: bool,
}

impl<'n, 's> Typed<'n, 's> {
    fn child(self, node: &'n Node) -> Self {
        Self { node, outermost: false, ..self }
    }

    /// Gives an error this node's place, unless it has one from further below.
    fn placed<T>(self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|error| Error {
            place: error.place.or(Some((self.node.at, std::ptr::from_ref(self.node)))),
            ..error
        })
    }

    /// What this node is, in an error's words.
    fn unexpected(self) -> Unexpected<'n> {
        match &self.node.kind {
            Kind::Null => Unexpected::Unit,
            Kind::Bool(value) => Unexpected::Bool(*value),
            Kind::Int(value) => Unexpected::Signed(*value),
            Kind::UInt(value) => Unexpected::Unsigned(*value),
            Kind::Float(value) => Unexpected::Float(*value),
            Kind::Text(text) => Unexpected::Str(text),
            Kind::List(_) => Unexpected::Seq,
            Kind::Map(_) => Unexpected::Map,
        }
    }

    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Int(value) if *value >= 0 => visitor.visit_u64(value.unsigned_abs()),
            Kind::Int(value) => visitor.visit_i64(*value),
            Kind::UInt(value) => visitor.visit_u64(*value),
            Kind::Float(value) => visitor.visit_f64(*value),
            Kind::Text(value) => visitor.visit_str(value),
            Kind::List(items) => visitor.visit_seq(Items { of: self, rest: items.iter() }),
            Kind::Map(_) => visitor.visit_map(Entries { of: self, next: 0, fields: None }),
        }
    }

    /// Reports keys that are not among the fields.
    fn check_keys(self, fields: &[&str]) {
        if !self.state.unknown_done.borrow_mut().insert(std::ptr::from_ref(self.node)) {
            return;
        }
        let how = self.state.how;
        let (others, not_yet) =
            if self.outermost { (how.others, how.not_yet) } else { (&[][..], &[][..]) };
        for (key, _) in self.node.entries() {
            let text = key.text.as_str();
            if fields.contains(&text) || others.contains(&text) {
                continue;
            }
            let message = if not_yet.contains(&text) {
                format!("{text:?} in {} is not supported yet", how.what)
            } else {
                let known = fields.iter().chain(others).copied();
                let near = did_you_mean(text, known);
                let of_airflow = instead(text).filter(|_| self.outermost && how.page.is_none());
                let told = match of_airflow {
                    Some(instead) => format!(": {instead}"),
                    None if near.is_empty() && self.outermost => how.hint.to_owned(),
                    None => near,
                };
                format!("unknown key {text:?} in {}{told}", how.what)
            };
            how.report.error(how.page.unwrap_or(Page::Keys), key.at, message);
        }
    }
}

impl<'de> Deserializer<'de> for Typed<'_, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.placed(self.any(visitor))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.placed(match self.node.kind {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.placed(visitor.visit_newtype_struct(self))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        // A struct of optional fields may be left empty: `default_args:`.
        let is_map = matches!(self.node.kind, Kind::Map(_) | Kind::Null);
        if !is_map {
            return self.placed(Err(de::Error::invalid_type(self.unexpected(), &"a map")));
        }
        self.check_keys(fields);
        self.placed(visitor.visit_map(Entries { of: self, next: 0, fields: Some(fields) }))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Some(text) = self.node.text() else {
            let expected = format!("one of {}", one_of(variants));
            return self
                .placed(Err(de::Error::invalid_type(self.unexpected(), &expected.as_str())));
        };
        self.placed(visitor.visit_enum(Variant(text)))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Items<'n, 's> {
    of: Typed<'n, 's>,
    rest: std::slice::Iter<'n, Node>,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let state = self.of.state;
        match self.rest.find(|item| !state.is_left_out(item)) {
            Some(item) => {
                let item = self.of.child(item);
                item.placed(seed.deserialize(item)).map(Some)
            }
            None => Ok(None),
        }
    }
}

struct Entries<'n, 's> {
    of: Typed<'n, 's>,
    next: usize,
    /// The fields of a struct: other keys are left out. `None`: a map of any keys.
    fields: Option<&'static [&'static str]>,
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        while let Some((key, value)) = self.of.node.entries().get(self.next) {
            let wanted = self.fields.is_none_or(|fields| fields.contains(&key.text.as_str()));
            if wanted && !self.of.state.is_left_out(value) {
                // A key that is none is told where it stands, and then left out.
                let place = (key.at, std::ptr::from_ref(value));
                let known = seed.deserialize(StrDeserializer::<Error>::new(&key.text));
                return known
                    .map(Some)
                    .map_err(|error| Error { place: error.place.or(Some(place)), ..error });
            }
            self.next += 1;
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let (key, value) = &self.of.node.entries()[self.next];
        self.next += 1;
        let value = self.of.child(value);
        value
            .placed(seed.deserialize(value))
            .map_err(|error| Error { key: error.key.or_else(|| Some(key.text.clone())), ..error })
    }
}

/// A variant without content.
struct Variant<'n>(&'n str);

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        Ok((seed.deserialize(StrDeserializer::new(self.0))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        Err(de::Error::custom("this value takes no content"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(de::Error::custom("this value takes no content"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        Err(de::Error::custom("this value takes no content"))
    }
}
