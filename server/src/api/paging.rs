//! What all lists have in common: `limit`, `offset` and `order_by` of the query, and the answer
//! `{"<plural>": […], "total_entries": n}`.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subak_store::read::{COUNT_LIMIT, Orders, Page, TextFilter};

use crate::extract::Query;
use crate::openapi::{Operation, Schemas, Taken};
use crate::problem::{ApiError, FieldProblem};

/// Airflow's default of a page and of its limit.
const DEFAULT: i64 = 50;
const MOST: i64 = 100;

/// Airflow's limit of keys to order by.
const ORDERS_MOST: usize = 10;

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) limit: i64,
    pub(super) offset: i64,
}

/// Which part of a list, in which order.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    pub(super) part: Part,
    order_by: Vec<String>,
    asked: Asked,
}

/// Where a list is asked for: there stands what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    ByQuery,
    ByBody,
}

impl Asked {
    fn wrong(self, field: &str, msg: String) -> ApiError {
        ApiError::Invalid(vec![match self {
            Self::ByQuery => FieldProblem::query(field, msg),
            Self::ByBody => FieldProblem::body(field, msg),
        }])
    }
}

#[derive(Deserialize, JsonSchema)]
struct RawPart {
    /// 50, if it is left out; more than 100 is 100.
    #[schemars(range(min = 0))]
    limit: Option<i64>,
    #[schemars(range(min = 0))]
    offset: Option<i64>,
}

/// The order alone: of a list that has no parts.
pub(super) struct Ordering(Listing);

#[derive(Deserialize, JsonSchema)]
struct RawOrdering {
    /// What to order by, the first before the others; descending: `-name`.
    #[serde(default)]
    #[schemars(length(max = 10))]
    order_by: Vec<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Ordering {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(raw) = Query::<RawOrdering>::from_request_parts(parts, state).await?;
        let part = Part::of(None, None)?;
        Ok(Self(Listing { part, order_by: raw.order_by, asked: Asked::ByQuery }))
    }
}

impl Taken for Ordering {
    fn take(operation: &mut Operation, schemas: &mut Schemas) {
        Query::<RawOrdering>::take(operation, schemas);
    }
}

impl std::ops::Deref for Ordering {
    type Target = Listing;

    fn deref(&self) -> &Listing {
        &self.0
    }
}

/// What a list is called in its answer.
pub(super) trait Listed {
    const PLURAL: &'static str;
}

/// A part of a list as it is answered.
#[derive(Debug, Clone)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    pub(super) total: i64,
    /// There may be more than were counted.
    pub(super) more: bool,
    /// Where the list goes on, and where it was before: of a list that is read by cursor.
    pub(super) cursors: Option<Cursors>,
}

/// Tokens that lead on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cursors {
    pub(super) next: Option<String>,
    pub(super) previous: Option<String>,
}

impl Part {
    /// Checks what is asked for. A larger limit is cut, as Airflow does; 0 is the default.
    fn of(limit: Option<i64>, offset: Option<i64>) -> Result<Self, ApiError> {
        let limit = limit.unwrap_or(0);
        let offset = offset.unwrap_or(0);
        if limit < 0 {
            return Err(ApiError::Invalid(vec![FieldProblem::query("limit", "is below 0")]));
        }
        if offset < 0 {
            return Err(ApiError::Invalid(vec![FieldProblem::query("offset", "is below 0")]));
        }
        Ok(Self { limit: if limit == 0 { DEFAULT } else { limit.min(MOST) }, offset })
    }

    /// Returns the part of a list that is in memory.
    pub(super) fn of_list<T>(self, list: Vec<T>) -> Vec<T> {
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let limit = usize::try_from(self.limit).unwrap_or(0);
        list.into_iter().skip(offset).take(limit).collect()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Part {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(raw) = Query::<RawPart>::from_request_parts(parts, state).await?;
        Self::of(raw.limit, raw.offset)
    }
}

impl Taken for Part {
    fn take(operation: &mut Operation, schemas: &mut Schemas) {
        Query::<RawPart>::take(operation, schemas);
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Listing {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let part = Part::from_request_parts(parts, state).await?;
        let Ordering(ordered) = Ordering::from_request_parts(parts, state).await?;
        Ok(Self { part, ..ordered })
    }
}

impl Taken for Listing {
    fn take(operation: &mut Operation, schemas: &mut Schemas) {
        Part::take(operation, schemas);
        Ordering::take(operation, schemas);
    }
}

impl Listing {
    /// The same of a body, whose parts are as large as they may be, unless it says otherwise.
    pub(super) fn of(
        limit: Option<i64>,
        offset: Option<i64>,
        order_by: Option<String>,
    ) -> Result<Self, ApiError> {
        let asked = Asked::ByBody;
        for (field, value) in [("page_limit", limit), ("page_offset", offset)] {
            if value.is_some_and(|it| it < 0) {
                return Err(asked.wrong(field, "is below 0".to_owned()));
            }
        }
        let part = Part::of(limit.or(Some(MOST)), offset)?;
        Ok(Self { part, order_by: order_by.into_iter().collect(), asked })
    }

    /// The same list, another part.
    pub(super) fn at(&self, part: Part) -> Self {
        Self { part, ..self.clone() }
    }

    /// Returns what to order by, of the orders that the list knows by name; `-name` is descending.
    pub(super) fn orders<T>(&self, known: &[(&str, T)]) -> Result<Orders<T>, ApiError>
    where
        T: Copy + Default + PartialEq,
    {
        let wrong = |msg: String| self.asked.wrong("order_by", msg);
        if self.order_by.len() > ORDERS_MOST {
            let given = self.order_by.len();
            return Err(wrong(format!("{given} of them: leave all but {ORDERS_MOST} out")));
        }
        let read = |written: &String| {
            let bare = written.strip_prefix('-');
            let name = bare.unwrap_or(written);
            if let Some((_, order)) = known.iter().find(|(known, _)| *known == name) {
                return Ok((*order, bare.is_some()));
            }
            let known: Vec<String> = known.iter().map(|(name, _)| format!("`{name}`")).collect();
            Err(wrong(format!("`{name}` is not one of {}", known.join(", "))))
        };
        Ok(Orders::new(self.order_by.iter().map(read).collect::<Result<_, _>>()?))
    }

    /// The same of a list that has one order, under these names: whether it is descending.
    pub(super) fn descending(&self, names: &[&str]) -> Result<bool, ApiError> {
        let known: Vec<(&str, ())> = names.iter().map(|name| (*name, ())).collect();
        Ok(self.orders(&known)?.before_own().1)
    }
}

impl<T> List<T> {
    /// A part of a list that the store has cut.
    pub(super) fn of<R>(page: Page<R>) -> Self
    where
        T: From<R>,
    {
        let more = page.total == COUNT_LIMIT;
        let items = page.items.into_iter().map(T::from).collect();
        Self { items, total: page.total, more, cursors: None }
    }

    /// A part of a list that is in memory.
    pub(super) fn part(all: Vec<T>, part: Part) -> Self {
        let all = Self::all(all);
        Self { items: part.of_list(all.items), ..all }
    }

    /// Nothing.
    pub(super) fn empty() -> Self {
        Self::all(Vec::new())
    }

    /// A list as a whole.
    pub(super) fn all(items: Vec<T>) -> Self {
        let total = i64::try_from(items.len()).unwrap_or(i64::MAX);
        Self { items, total, more: false, cursors: None }
    }

    /// Adds another list at the end.
    pub(super) fn append(&mut self, other: Self) {
        self.total += other.total;
        self.items.extend(other.items);
    }

    /// The same list of other things.
    pub(super) fn map<U>(self, each: impl FnMut(T) -> U) -> List<U> {
        let items = self.items.into_iter().map(each).collect();
        List { items, total: self.total, more: self.more, cursors: self.cursors }
    }
}

impl<T: Listed + JsonSchema> JsonSchema for List<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        let item = schemas.subschema_for::<T>();
        let count = json_schema!({ "type": ["integer", "null"] });
        let token = json_schema!({ "type": ["string", "null"] });
        json_schema!({
            "type": "object",
            "required": [T::PLURAL],
            "properties": {
                T::PLURAL: { "type": "array", "items": item },
                "total_entries": count,
                "total_entries_limit": count,
                "next_cursor": token,
                "previous_cursor": token,
            },
        })
    }
}

impl<T: Listed + Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(T::PLURAL, &self.items)?;
        match &self.cursors {
            // As in Airflow: a list that is read by cursor is not counted.
            Some(cursors) => {
                map.serialize_entry("next_cursor", &cursors.next)?;
                map.serialize_entry("previous_cursor", &cursors.previous)?;
            }
            None => map.serialize_entry("total_entries", &self.total)?,
        }
        if self.more {
            map.serialize_entry("total_entries_limit", &COUNT_LIMIT)?;
        }
        map.end()
    }
}

/// A parameter that may be there and empty.
pub(super) fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    String::deserialize(from).map(Some)
}

/// What a text is to be like: `…_pattern` and `…_prefix_pattern` of the query.
pub(super) fn text(pattern: Option<String>, prefix: Option<String>) -> TextFilter {
    TextFilter::new(pattern.as_deref(), prefix.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Number(i64);

    impl Listed for Number {
        const PLURAL: &'static str = "numbers";
    }

    #[test]
    fn every_list_is_bounded() {
        assert_eq!(Part::of(None, None).unwrap(), Part { limit: 50, offset: 0 });
        assert_eq!(Part::of(Some(0), Some(7)).unwrap(), Part { limit: 50, offset: 7 });
        assert_eq!(Part::of(Some(1_000_000), None).unwrap().limit, 100);
        assert_eq!(Listing::of(None, None, None).unwrap().part.limit, 100);
        assert!(Part::of(Some(-1), None).is_err());
        assert!(Part::of(None, Some(-1)).is_err());
        assert_eq!(Part { limit: 2, offset: 1 }.of_list(vec![1, 2, 3, 4]), [2, 3]);
    }

    #[test]
    fn an_answer_names_its_list_and_how_long_it_is() {
        let list = List::part((0..4).map(Number).collect(), Part { limit: 2, offset: 1 });
        let answer = serde_json::json!({"numbers": [1, 2], "total_entries": 4});
        assert_eq!(serde_json::to_value(list).unwrap(), answer);
    }

    #[test]
    fn orders_are_those_that_the_list_has_and_ten_at_most() {
        let listing = |orders: &[&str]| Listing {
            part: Part { limit: 1, offset: 0 },
            order_by: orders.iter().map(|it| (*it).to_owned()).collect(),
            asked: Asked::ByQuery,
        };
        let known = [("a", 1), ("b", 2)];
        let orders = listing(&["-b", "a"]).orders(&known).unwrap();
        assert_eq!(orders, Orders::new(vec![(2, true), (1, false)]));
        assert_eq!(listing(&[]).orders(&known).unwrap(), Orders::default());
        assert!(listing(&["-a"]).descending(&["a"]).unwrap());
        assert!(!listing(&["a", "-a"]).descending(&["a"]).unwrap());
        let refused = |orders: &[&str]| {
            let ApiError::Invalid(wrong) = listing(orders).orders(&known).unwrap_err() else {
                panic!("another error")
            };
            wrong[0].msg.clone()
        };
        assert_eq!(refused(&["a", "c"]), "`c` is not one of `a`, `b`");
        assert!(listing(&["a"; 10]).orders(&known).is_ok());
        assert_eq!(refused(&["a"; 11]), "11 of them: leave all but 10 out");
    }
}
