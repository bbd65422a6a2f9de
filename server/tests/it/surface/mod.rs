//! The surface: every route of the router, on a real database.

mod answers;
mod doors;
mod headers;
mod hostile;
mod markup;
mod pages;
mod site;
mod steady;
