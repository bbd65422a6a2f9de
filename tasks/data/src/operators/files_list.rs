//! `files.list`.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use subak_core::decide::MAP_MOST;
use subak_core::operators::data::FilesList;
use subak_task::{FileAccess, Operator, TaskContext, TaskError, TaskOutput, rows_text};

use crate::error::DataError;
use crate::location::matching;
use crate::runtime::run;

/// Returns the files that a pattern names, for tasks that are mapped over them.
pub(crate) struct FilesLister;

impl Operator for FilesLister {
    const NAME: &'static str = "files.list";
    type Params = FilesList;

    async fn run(&self, params: FilesList, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        let access = Arc::clone(&ctx.files);
        let pattern = params.path.clone();
        let found = run(&ctx.cancel, async move { list(&params, &access) }).await?;
        ctx.log(format!("{pattern}: {}", rows_text(found.len() as u64, "file")));
        let value = Some(found.into_iter().map(Value::from).collect());
        Ok(TaskOutput { value, ..TaskOutput::default() })
    }
}

fn list(params: &FilesList, access: &FileAccess) -> Result<Vec<String>, DataError> {
    let found = matching(&params.path, access)?;
    if found.len() > MAP_MOST as usize {
        return Err(DataError::permanent(format!(
            "{} files match `{}`, and {MAP_MOST} is the most that a task is mapped over: split them by \
             pattern or folder",
            found.len(),
            params.path
        )));
    }
    if found.is_empty() && params.must_exist {
        return Err(DataError::permanent(format!("no file matches `{}`", params.path)));
    }
    found.into_iter().map(text).collect()
}

fn text(path: PathBuf) -> Result<String, DataError> {
    path.into_os_string().into_string().map_err(|path| {
        DataError::permanent(format!("{}: the path is not UTF-8: rename it", path.display()))
    })
}
