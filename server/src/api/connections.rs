//! Connections: whether they work.

use axum::extract::State;
use serde::Serialize;

use crate::app::App;
use crate::extract::{Json, Path};
use crate::problem::ApiError;

/// Airflow's `ConnectionTestResponse`.
#[derive(Serialize)]
pub(super) struct Tested {
    /// Whether it works.
    status: bool,
    message: String,
}

/// Lets a worker test a connection that is kept. Airflow tests only what is sent to it.
pub(super) async fn test(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Tested>, ApiError> {
    let tested = app.probes.test(&id).await.map_err(|error| {
        ApiError::Unavailable(format!("the connection cannot be tested: {error}"))
    })?;
    let tested = tested.ok_or_else(|| ApiError::NotFound(format!("connections/{id}")))?;
    Ok(Json(Tested { status: tested.works, message: tested.message }))
}
