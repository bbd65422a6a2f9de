//! Operators without parameters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `noop` does nothing, on a worker; `empty` does nothing and is settled by the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}
