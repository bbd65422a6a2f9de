//! What every page has around it.

use crate::text::Text;

/// Who looks, and in which language.
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    pub t: &'static Text,
    /// The signed-in user's name.
    pub user: &'a str,
    /// May trigger, cancel and clear.
    pub can_run: bool,
    /// May pause DAGs.
    pub can_pause: bool,
    /// May look at what belongs to no DAG.
    pub sees_all: bool,
    /// May manage what belongs to no DAG.
    pub is_op: bool,
    /// May manage users.
    pub is_admin: bool,
}
