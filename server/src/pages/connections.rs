//! Connections: the list, and what a test of one came to.

use axum::extract::State;
use axum::response::Html;
use subak_web::connections::{ConnectionRow, ConnectionsPage, Tested};
use subak_web::url;

use super::viewer::Viewer;
use crate::app::App;
use crate::extract::Path;
use crate::problem::ApiError;

pub(super) async fn list(State(app): State<App>, viewer: Viewer) -> Result<Html<String>, ApiError> {
    page(&app, &viewer, None).await
}

/// Lets a worker test one, and shows the list with its answer.
pub(super) async fn test(
    State(app): State<App>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Html<String>, ApiError> {
    let tested = match app.probes.test(&id).await {
        Ok(None) => return Err(ApiError::NotFound(format!("connections/{id}"))),
        Ok(Some(tested)) => Tested { works: tested.works, message: tested.message },
        Err(error) => Tested { works: false, message: error.to_string() },
    };
    page(&app, &viewer, Some((id, tested))).await
}

async fn page(
    app: &App,
    viewer: &Viewer,
    mut tested: Option<(String, Tested)>,
) -> Result<Html<String>, ApiError> {
    let list = app.probes.list().await?;
    let row = |it: crate::probes::Known| ConnectionRow {
        test_action: url::connection_test(&it.id),
        tested: tested.take_if(|(id, _)| *id == it.id).map(|(_, tested)| tested),
        conn_type: it.conn_type,
        place: it.place,
        description: it.description,
        is_of_environment: it.is_of_environment,
        id: it.id,
    };
    let rows = list.connections.into_iter().map(row).collect();
    let t = viewer.t;
    let problem = list.problem.map(|why| t.fill(t.connections_unread, why));
    Ok(Html(ConnectionsPage { frame: viewer.frame(), rows, problem }.page()))
}
