//! One operation: what it takes and what it answers.

use schemars::generate::{Contract, SchemaSettings};
use schemars::{Schema, SchemaGenerator};

use super::answers::Answers;
use super::taken::Taken;

/// A parameter of the query.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) schema: Schema,
    pub(crate) required: bool,
}

/// An answer: its status, and the kinds of content with their schemas.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content: Vec<(&'static str, Schema)>,
}

/// What a handler takes and answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operation {
    /// Of the path, in their order; what is left out is a text.
    pub(crate) path: Vec<Schema>,
    pub(crate) query: Vec<Parameter>,
    pub(crate) body: Vec<(&'static str, Schema)>,
    pub(crate) answers: Vec<Answer>,
    /// It can refuse what was asked for.
    pub(crate) refuses: bool,
    /// It has nothing but a refusal.
    pub(crate) is_not_built: bool,
    /// Name of the handler: `dags::list`.
    pub(crate) handler: &'static str,
}

/// Makes schemas: of requests each whole, of answers by reference to named ones.
pub(crate) struct Schemas {
    pub(crate) requests: SchemaGenerator,
    pub(crate) answers: SchemaGenerator,
}

impl Default for Schemas {
    fn default() -> Self {
        let settings = |contract, inline| {
            SchemaSettings::draft2020_12().with(|it| {
                it.meta_schema = None;
                it.contract = contract;
                it.inline_subschemas = inline;
                it.definitions_path = "/components/schemas".into();
            })
        };
        Self {
            requests: settings(Contract::Deserialize, true).into_generator(),
            answers: settings(Contract::Serialize, false).into_generator(),
        }
    }
}

/// A handler of which the types tell what it takes and answers.
pub(crate) trait Described<T> {
    /// Describes it.
    fn describe(schemas: &mut Schemas) -> Operation;
}

impl<F, Fut> Described<((),)> for F
where
    F: FnOnce() -> Fut,
    Fut: Future<Output: Answers>,
{
    fn describe(schemas: &mut Schemas) -> Operation {
        let mut operation = Operation { handler: handler::<F>(), ..Operation::default() };
        Fut::Output::answer(&mut operation, schemas);
        operation
    }
}

macro_rules! described {
    ($($of:ident),+) => {
        impl<F, Fut, M, $($of),+> Described<(M, $($of,)+)> for F
        where
            F: FnOnce($($of),+) -> Fut,
            Fut: Future<Output: Answers>,
            $($of: Taken,)+
        {
            fn describe(schemas: &mut Schemas) -> Operation {
                let mut operation = Operation { handler: handler::<F>(), ..Operation::default() };
                $($of::take(&mut operation, schemas);)+
                Fut::Output::answer(&mut operation, schemas);
                operation
            }
        }
    };
}

described!(A);
described!(A, B);
described!(A, B, C);
described!(A, B, C, D);
described!(A, B, C, D, E);
described!(A, B, C, D, E, G);

/// Module and name of a handler.
fn handler<F>() -> &'static str {
    let name = std::any::type_name::<F>();
    let name = name.split("::{{closure}}").next().unwrap_or(name);
    let mut ends = name.rmatch_indices("::");
    let _name = ends.next();
    ends.next().map_or(name, |(at, _)| &name[at + 2..])
}
