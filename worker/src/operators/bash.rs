//! `bash`: runs a command with `bash -c`.

use std::time::Duration;

use serde_json::Value;
use subak_core::operators::process::Bash;
use subak_task::{Operator, TaskContext, TaskError, TaskOutput};
use tokio::process::Command;

use super::process;

/// Runs commands; the last line of standard output is the XCom.
pub(crate) struct BashOperator {
    /// Between TERM and KILL.
    pub(crate) grace: Duration,
}

impl Operator for BashOperator {
    const NAME: &'static str = "bash";
    type Params = Bash;

    async fn run(&self, params: Bash, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        let path = ctx.env.get("PATH").map(String::as_str);
        let bash = process::find_program("bash", path).ok_or_else(|| {
            TaskError::permanent("bash is not on the worker's PATH: install it there")
        })?;
        let mut command = Command::new(bash);
        command.arg("-c").arg(&params.command).env_clear().envs(&*ctx.env).envs(&params.env);
        match &params.cwd {
            Some(folder) => command.current_dir(folder),
            None => command.current_dir(&ctx.scratch),
        };
        let finished = process::run(command, ctx, self.grace).await?;
        Ok(TaskOutput { value: finished.last_line.map(Value::from), ..TaskOutput::default() })
    }
}
