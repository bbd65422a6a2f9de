//! Who may do what: users, browser sessions, API tokens and one-time sign-in links.
//!
//! Secrets are random and kept as SHA-256; passwords are argon2id. Nothing here prints one.

mod grants;
mod join;
mod links;
mod password;
mod secret;
mod sessions;
mod tokens;
mod users;

pub use grants::{Grant, GrantOn};
pub use join::JoinTokenRow;
pub use password::PasswordProblem;
pub use secret::Secret;
pub use tokens::TokenRow;
pub use users::{ListedUser, NewUserError, Role, User};
