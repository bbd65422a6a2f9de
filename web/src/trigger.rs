//! The form that starts a run: a field for each parameter, and what a sent form asks for.

mod field;

use askama::Template;
use serde_json::{Map, Value};
use subak_core::dag::model::Param;

use crate::dags::Paused;
use crate::frame::Frame;
use crate::render;
use crate::text::Text;

pub use field::{Choice, Field, FieldKind};

/// The page.
#[derive(Debug, Template)]
#[template(path = "trigger.html")]
pub struct TriggerPage<'a> {
    pub frame: Frame<'a>,
    pub title: String,
    pub dag_id: String,
    pub dag_href: String,
    pub action: String,
    pub fields: Vec<Field>,
    pub conf: String,
    pub note: String,
    pub problems: Vec<String>,
    /// The DAG is paused.
    pub paused: Option<Paused>,
    /// The run whose values stand in the form, and where the form has the defaults.
    pub filled_from: Option<(String, String)>,
}

/// Whether people are asked for a parameter: not for one that can be only what it is by default.
#[must_use]
pub fn is_asked(param: &Param) -> bool {
    param.default.is_none() || param.schema.get("const").is_none()
}

/// What is wrong with a sent form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The parameter whose field is wrong, if it is one.
    pub param: Option<String>,
    pub said: String,
}

/// Returns the configuration that a sent form asks for, and what of it cannot be read. Only values that
/// differ from the defaults are in it, so that the run says what was asked.
pub fn conf_of_form<'a>(
    params: impl Iterator<Item = (&'a String, &'a Param)>,
    given: impl Fn(&str) -> Option<String>,
    t: &Text,
) -> (Map<String, Value>, Vec<Wrong>) {
    let mut conf = Map::new();
    let mut wrong = Vec::new();
    for (name, param) in params.filter(|(_, param)| is_asked(param)) {
        let field = Field::new(name, param);
        let text = given(&field.key);
        if text.is_none() && field.kind != FieldKind::Boolean {
            continue;
        }
        match field.read(&text.unwrap_or_default(), param, t) {
            Ok(Some(value)) if Some(&value) != param.default.as_ref() => {
                conf.insert(name.clone(), value);
            }
            Ok(_) => {}
            Err(said) => wrong.push(Wrong { param: Some(name.clone()), said }),
        }
    }
    let more = given("conf").unwrap_or_default();
    if !more.trim().is_empty() {
        let refused = match serde_json::from_str(&more) {
            Ok(Value::Object(more)) => {
                conf.extend(more);
                None
            }
            Ok(_) => Some(t.not_object.to_owned()),
            Err(error) => Some(t.fill(t.not_json, error)),
        };
        let said = refused.map(|why| format!("{} {why}", t.conf));
        wrong.extend(said.map(|said| Wrong { param: None, said }));
    }
    (conf, wrong)
}

impl TriggerPage<'_> {
    /// The fields by section, those of none first, then as they come.
    fn sections(&self) -> Vec<(&str, Vec<&Field>)> {
        let mut sections: Vec<(&str, Vec<&Field>)> = vec![("", Vec::new())];
        for field in &self.fields {
            match sections.iter_mut().find(|(section, _)| *section == field.section) {
                Some((_, fields)) => fields.push(field),
                None => sections.push((field.section.as_str(), vec![field])),
            }
        }
        sections.retain(|(_, fields)| !fields.is_empty());
        sections
    }

    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

#[cfg(test)]
mod tests;
