//! Operators that start a process.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `bash`: runs a command with `bash -c`. The last line of its standard output is its XCom; exit code 99
/// skips the task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bash {
    /// The command. Dates and ids may stand in it as templates; params, conf and XComs go in by `env`.
    pub command: String,
    /// Environment variables of the command.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Working directory; a private folder of the try if absent. A relative path is below the
    /// worker's work folder: `--work-dir`, or where the worker was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
}

/// `python`: runs a script or inline code. The JSON value that it writes to the file named by
/// `SUBAK_RESULT` is its XCom; `input` reaches it as JSON in the file named by `SUBAK_INPUT`. Exit code 99
/// skips the task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Python {
    /// Path of a script; either this or `code`. A relative path is below the worker's work folder:
    /// `--work-dir`, or where the worker was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// Inline code; either this or `script`. Values go in by `input`, never by templates in the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The interpreter: a path (a relative one is below the worker's work folder), or a name on the
    /// worker's `PATH`.
    #[serde(default = "python3")]
    pub python: String,
    /// Arguments of the script.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Any JSON value; templates in its strings are rendered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// Environment variables of the process.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

fn python3() -> String {
    "python3".to_owned()
}
