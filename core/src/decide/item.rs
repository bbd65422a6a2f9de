//! What one instance of a mapped task is given: one item of everything that the task is mapped over.

use serde_json::{Map, Value};

use crate::dag::model::{Expand, Source, Task};
use crate::ids::TaskId;
use crate::template::{RenderError, RunContext, has_templates, render};

/// The arguments of one instance, beside those that all have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Item {
    /// Written out in the DAG file: templates in them are rendered.
    pub written: Map<String, Value>,
    /// What tasks have returned: given to the operator as it is.
    pub returned: Map<String, Value>,
    /// Of a task in a mapped group: for its templates.
    pub group: Map<String, Value>,
}

/// What a task has returned; of a mapped one: a list of what its instances have.
pub type Returned<'a> = &'a dyn Fn(&TaskId) -> Option<&'a Value>;

impl Expand {
    /// The arguments of the instance with this map index, or why there are none. The last argument
    /// changes fastest.
    pub fn item(&self, map_index: i32, returned: Returned<'_>) -> Result<Item, String> {
        let mut rest = usize::try_from(map_index).map_err(|_| "it is not expanded".to_owned())?;
        let mut item = Item::default();
        for (name, source) in self.arguments.iter().rev() {
            let length = source.length(returned)?;
            if length == 0 {
                return Err(format!("{name:?} is mapped over nothing any more"));
            }
            let value = source.at(rest % length, returned)?;
            rest /= length;
            let of_task = !source.tasks().is_empty();
            let part = if of_task { &mut item.returned } else { &mut item.written };
            part.insert(name.clone(), value);
        }
        if rest > 0 {
            let what = "what the task is mapped over has fewer items than when it was expanded";
            return Err(format!("{what}: clear it"));
        }
        Ok(item)
    }
}

impl Source {
    fn length(&self, returned: Returned<'_>) -> Result<usize, String> {
        Ok(match self {
            Self::Literal(value) => items_of(value),
            Self::Task { task_id, .. } => items_of(value_of(task_id, returned)?),
            Self::Zip { of, fill } => {
                let lengths = of.iter().map(|source| source.length(returned));
                let lengths = lengths.collect::<Result<Vec<_>, _>>()?.into_iter();
                (if fill.is_some() { lengths.max() } else { lengths.min() }).unwrap_or(0)
            }
        })
    }

    fn at(&self, index: usize, returned: Returned<'_>) -> Result<Value, String> {
        let found = match self {
            Self::Literal(value) => item_of(value, index),
            Self::Task { task_id, .. } => item_of(value_of(task_id, returned)?, index),
            Self::Zip { of, fill } => {
                let part = |source: &Self| match (source.length(returned)?, fill) {
                    (length, Some(fill)) if index >= length => Ok(fill.clone()),
                    _ => source.at(index, returned),
                };
                Some(of.iter().map(part).collect::<Result<Value, String>>()?)
            }
        };
        found.ok_or_else(|| format!("there is no item {index} any more"))
    }
}

fn value_of<'a>(task: &TaskId, returned: Returned<'a>) -> Result<&'a Value, String> {
    returned(task).ok_or_else(|| {
        format!("task `{task}`, which it is mapped over, has returned nothing since it was cleared")
    })
}

fn items_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(entries) => entries.len(),
        _ => 0,
    }
}

/// An item of a list, or a pair of a map, whose keys are sorted.
fn item_of(value: &Value, index: usize) -> Option<Value> {
    match value {
        Value::Array(items) => items.get(index).cloned(),
        Value::Object(entries) => entries
            .iter()
            .nth(index)
            .map(|(key, value)| Value::from(vec![key.clone().into(), value.clone()])),
        _ => None,
    }
}

impl Item {
    /// The same as the item of a mapped group: no argument of the task, but for its templates to name. What
    /// was written out is rendered first, by what all tasks of the run see alike.
    pub fn of_group(self, run: impl FnOnce() -> RunContext) -> Result<Self, RenderError> {
        let written = Value::Object(self.written);
        let written = if has_templates(&written) { render(&written, &run())? } else { written };
        let mut group = match written {
            Value::Object(written) => written,
            _ => Map::new(),
        };
        group.extend(self.returned);
        Ok(Self { group, ..Self::default() })
    }

    /// The task of one instance: its `with` has what was written out for it. `base` is the task without
    /// what it is mapped over: that may be long, and nobody needs it any more.
    #[must_use]
    pub fn task(&self, base: &Task) -> Task {
        let mut task = base.clone();
        if let Some(with) = task.with.as_object_mut() {
            with.extend(self.written.clone());
        }
        task
    }
}

impl Task {
    /// The task without what it is mapped over.
    #[must_use]
    pub fn without_map(&self) -> Self {
        Self { expand: None, map_index_template: None, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(id: &str) -> Source {
        Source::Task { task_id: id.into(), key: "return_value".to_owned() }
    }

    fn all(expand: &Expand, values: &[(&str, Value)]) -> Vec<Value> {
        let returned =
            |task: &TaskId| values.iter().find(|(id, _)| *id == task.0).map(|(_, value)| value);
        let item = |index| {
            let Item { mut written, returned, .. } = expand.item(index, &returned).ok()?;
            written.extend(returned);
            Some(Value::Object(written))
        };
        (0..).map_while(item).collect()
    }

    #[test]
    fn arguments_are_crossed_and_the_last_one_is_the_fastest() {
        let expand = Expand {
            arguments: vec![
                ("b".to_owned(), Source::Literal(json!([1, 2]))),
                ("a".to_owned(), task("up")),
            ],
        };
        let got = all(&expand, &[("up", json!({"y": 2, "x": 1}))]);
        let expected = json!([
            {"b": 1, "a": ["x", 1]}, {"b": 1, "a": ["y", 2]},
            {"b": 2, "a": ["x", 1]}, {"b": 2, "a": ["y", 2]}
        ]);
        assert_eq!(Value::Array(got), expected);
    }

    #[test]
    fn zipped_lists_end_with_the_shortest_or_are_filled() {
        let of = vec![Source::Literal(json!([1, 2, 3])), task("up")];
        let up = [("up", json!(["a", "b"]))];
        let zip = |fill| Expand {
            arguments: vec![("x".to_owned(), Source::Zip { of: of.clone(), fill })],
        };
        assert_eq!(all(&zip(None), &up), [json!({"x": [1, "a"]}), json!({"x": [2, "b"]})]);
        assert_eq!(all(&zip(Some(json!("-"))), &up)[2], json!({"x": [3, "-"]}));
    }

    #[test]
    fn what_is_written_out_for_a_group_is_rendered_and_what_tasks_return_is_not() {
        let literal = Source::Literal(json!(["{{ params.folder }}/in", "{{ params.count }}"]));
        let expand =
            Expand { arguments: vec![("a".to_owned(), literal), ("b".to_owned(), task("up"))] };
        let up = json!(["{{ params.folder }}"]);
        let item = |index| expand.item(index, &|_| Some(&up)).unwrap();
        let params = json!({"folder": "/data", "count": 3});
        let run = || RunContext { params: params.clone(), ..RunContext::default() };
        let group = |index| Value::Object(item(index).of_group(run).unwrap().group);
        assert_eq!(group(0), json!({"a": "/data/in", "b": "{{ params.folder }}"}));
        assert_eq!(group(1), json!({"a": 3, "b": "{{ params.folder }}"}));
        let error = item(0).of_group(RunContext::default).unwrap_err().to_string();
        assert!(error.contains("params.folder"), "{error}");
    }

    #[test]
    fn what_is_gone_is_said() {
        let expand = Expand { arguments: vec![("x".to_owned(), task("up"))] };
        let none = |_: &TaskId| None;
        assert!(expand.item(0, &none).unwrap_err().contains("`up`"));
        let one = json!([1]);
        let one = |_: &TaskId| Some(&one);
        assert!(expand.item(1, &one).unwrap_err().contains("fewer items"));
    }
}
