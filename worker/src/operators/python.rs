//! `python`: runs a script or inline code, JSON in and out.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use subak_core::operators::process::Python;
use subak_task::{Operator, TaskContext, TaskError, TaskOutput};
use tokio::process::Command;

use super::process;

/// The largest result.
const RESULT_LIMIT: u64 = subak_core::xcom::MOST_BYTES as u64;

/// Runs Python; what it writes to `SUBAK_RESULT` is the XCom.
pub(crate) struct PythonOperator {
    /// Between TERM and KILL.
    pub(crate) grace: Duration,
}

impl Operator for PythonOperator {
    const NAME: &'static str = "python";
    type Params = Python;

    async fn run(&self, params: Python, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        let script = script(&params, &ctx.scratch)?;
        let python = interpreter(&params.python, ctx)?;
        let input = ctx.scratch.join("input.json");
        let result = ctx.scratch.join("result.json");
        let value = params.input.as_ref().unwrap_or(&Value::Null);
        write(&input, value.to_string().as_bytes())?;

        let mut command = Command::new(python);
        // Unbuffered, so that the log is live.
        command.arg("-u").arg(script).args(&params.args);
        command.env_clear().envs(&*ctx.env).envs(&params.env);
        command.env("SUBAK_INPUT", &input).env("SUBAK_RESULT", &result).current_dir(&ctx.scratch);
        process::run(command, ctx, self.grace).await?;
        Ok(TaskOutput { value: read_result(&result)?, ..TaskOutput::default() })
    }
}

fn script(params: &Python, scratch: &Path) -> Result<PathBuf, TaskError> {
    match (&params.script, &params.code) {
        (Some(script), None) => {
            let path = std::path::absolute(script).map_err(TaskError::permanent)?;
            if path.is_file() {
                return Ok(path);
            }
            let path = path.display();
            Err(TaskError::permanent(format!("script `{path}` does not exist on this worker")))
        }
        (None, Some(code)) => {
            // A file, so that a traceback shows the line.
            let path = scratch.join("code.py");
            write(&path, code.as_bytes())?;
            Ok(path)
        }
        _ => Err(TaskError::permanent(
            "operator `python` takes either `script` or `code`: give one of them",
        )),
    }
}

fn interpreter(name: &str, ctx: &TaskContext) -> Result<PathBuf, TaskError> {
    let path = ctx.env.get("PATH").map(String::as_str);
    process::find_program(name, path).ok_or_else(|| {
        TaskError::permanent(format!(
            "Python interpreter `{name}` is not on this worker: install it, or name another one \
             with `python:`"
        ))
    })
}

fn read_result(path: &Path) -> Result<Option<Value>, TaskError> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(RESULT_LIMIT + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TaskError::transient(format!("reading SUBAK_RESULT: {error}"))),
    }
    if bytes.len() as u64 > RESULT_LIMIT {
        return Err(TaskError::permanent(
            "what the process wrote to SUBAK_RESULT is more than 16 MiB: hand large data on as a \
             dataset",
        ));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        TaskError::permanent(format!("what the process wrote to SUBAK_RESULT is not JSON: {error}"))
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), TaskError> {
    std::fs::write(path, bytes)
        .map_err(|error| TaskError::transient(format!("writing `{}`: {error}", path.display())))
}
