//! The surface: every route of the router, on a real database.

mod answers;
mod audit;
mod clears;
mod doors;
mod grants;
mod headers;
mod hostile;
mod letters;
mod lists;
mod live;
mod manage;
mod markup;
mod pages;
mod ranges;
mod sessions;
pub(crate) mod site;
mod sizes;
mod steady;
mod tokens;
mod users;
