//! The whole log of a try as text: to be read in the browser, or as a file.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt as _;
use futures::stream::try_unfold;
use serde::Deserialize;
use subak_store::StoreError;
use subak_store::read::LogCursor;
use subak_web::url::encode;

use super::run::Look;
use super::task::{Names, Which, instance};
use crate::app::App;
use crate::extract::{Path, Query};
use crate::problem::ApiError;
use crate::try_log::TryLog;

/// Characters of each id in the name of a file: browsers cut what is longer, and with it the try.
const ID_CHARS: usize = 60;

#[derive(Deserialize)]
pub(super) struct How {
    /// As a file.
    #[serde(default)]
    download: bool,
}

/// Sends it part by part.
pub(super) async fn log(
    State(app): State<App>,
    Path((dag_id, run_id, task_id)): Path<Names>,
    Query(which): Query<Which>,
    Query(how): Query<How>,
) -> Result<Response, ApiError> {
    let look = Look::at(&app, &dag_id, &run_id).await?;
    let it = instance(&app, &look, &task_id, which).await?;
    let try_number = which.try_number.unwrap_or(it.try_number);
    let name = file_name([&dag_id, &run_id, &task_id], it.map_index.0, try_number);
    let run = look.run.run_key;
    let of = TryLog { run, task: it.task, map_index: it.map_index, try_number };
    if try_number != it.try_number && !of.exists(&app.store).await? {
        return Err(ApiError::NotFound(format!("try {try_number} of task {task_id}")));
    }
    let parts = try_unfold(Some(LogCursor::default()), move |cursor| {
        let (store, it) = (app.store.clone(), it.clone());
        async move {
            let Some(cursor) = cursor else { return Ok(None) };
            let part = store.log_read(run, it.task, it.map_index, try_number, cursor).await?;
            let mut text = part.lines.join(&b'\n');
            if !text.is_empty() {
                text.push(b'\n');
            }
            Ok::<_, StoreError>(Some((text, part.more.then_some(part.next))))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, disposition(how.download, &name)),
    ];
    let body = Body::from_stream(parts.map_err(std::io::Error::other));
    Ok((headers, body).into_response())
}

/// A name that says what it is the log of, of characters that every disk takes.
fn file_name(ids: [&str; 3], map_index: i32, try_number: i32) -> String {
    let mut name = String::new();
    for id in ids {
        let id = id.chars().take(ID_CHARS);
        name.extend(id.map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }));
        name.push('-');
    }
    if map_index >= 0 {
        name.push_str(&format!("{map_index}-"));
    }
    name.push_str(&format!("try{try_number}.log"));
    // A file of this name would be hidden.
    if name.starts_with('.') { name.replacen('.', "_", 1) } else { name }
}

/// As RFC 6266 wants it: a name in ASCII, and the very one for who can read it.
fn disposition(is_download: bool, name: &str) -> String {
    let kind = if is_download { "attachment" } else { "inline" };
    let plain: String = name.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{}", encode(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_after_dag_run_task_and_try() {
        let run = "manual__2026-11-22T10:00:00+00:00";
        assert_eq!(
            file_name(["sales", run, "load"], -1, 2),
            "sales-manual__2026-11-22T10_00_00_00_00-load-try2.log"
        );
        assert_eq!(file_name(["a", "b", "g.each"], 7, 1), "a-b-g.each-7-try1.log");
        assert_eq!(file_name(["../x", "\"\r\n", "."], -1, 1), "_._x-___-.-try1.log");
        let long = "ü".repeat(250);
        assert!(file_name([&long, &long, &long], i32::MAX, i32::MAX).chars().count() < 220);
    }

    #[test]
    fn a_name_in_any_script_stands_in_a_header() {
        assert_eq!(
            disposition(true, "beras-größe-try1.log"),
            "attachment; filename=\"beras-gr__e-try1.log\"; \
             filename*=UTF-8''beras-gr%C3%B6%C3%9Fe-try1.log"
        );
        assert!(disposition(false, "a.log").starts_with("inline; "));
    }
}
