//! Connections: the list, what a test of one came to, and the form of one. Secrets go in, never out.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use subak_core::connection::TYPES;
use subak_core::problem::Problem;
use subak_web::connections::{
    ConnectionFields, ConnectionPage, ConnectionRow, ConnectionsPage, Tested,
};
use subak_web::url::{self, encode};

use super::listing::{NameQuery, PAGE};
use super::problems;
use super::viewer::Viewer;
use crate::api::{Connection, Kept as _, Mask, before_removal, tell};
use crate::app::App;
use crate::audit::Trail;
use crate::extract::{Form, Path, Query};
use crate::problem::{ApiError, FieldProblem};

const HERE: &str = "/connections";

/// What the form sends; what is left empty is left out.
#[derive(Deserialize)]
pub(super) struct ConnectionForm {
    /// Of a new one.
    #[serde(default)]
    connection_id: String,
    conn_type: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    port: String,
    #[serde(default)]
    schema: String,
    #[serde(default)]
    login: String,
    /// Empty: the one that is kept stays.
    #[serde(default)]
    password: String,
    #[serde(default)]
    extra: String,
    #[serde(default)]
    description: String,
}

pub(super) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<NameQuery>,
) -> Result<Html<String>, ApiError> {
    page(&app, &viewer, &query, None).await
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
    page(&app, &viewer, &NameQuery::default(), Some((id, tested))).await
}

pub(super) async fn new(viewer: Viewer) -> Html<String> {
    let given =
        ConnectionFields { conn_type: "postgres".to_owned(), ..ConnectionFields::default() };
    Html(form(&viewer, None, given, false, Vec::new()))
}

pub(super) async fn edit(
    State(app): State<App>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Html<String>, ApiError> {
    let known = known(&app, &id).await?;
    let has_password = known.password.is_some();
    let given = ConnectionFields {
        connection_id: id.clone(),
        conn_type: known.conn_type,
        host: known.host.unwrap_or_default(),
        port: known.port.map_or_else(String::new, |port| port.to_string()),
        schema: known.schema.unwrap_or_default(),
        login: known.login.unwrap_or_default(),
        extra: known.extra.unwrap_or_default(),
        description: known.description.unwrap_or_default(),
    };
    Ok(Html(form(&viewer, Some(&id), given, has_password, Vec::new())))
}

/// The form again: what was refused was sent to this address.
pub(super) async fn again(Path(id): Path<String>) -> Redirect {
    Redirect::to(&format!("{HERE}/{}/edit", encode(&id)))
}

/// The list with what was tested.
pub(super) async fn tested(Path(id): Path<String>) -> Redirect {
    Redirect::to(&NameQuery::new(&id, 0).address(HERE))
}

pub(super) async fn add(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Form(sent): Form<ConnectionForm>,
) -> Result<Response, ApiError> {
    let made = async {
        let body = sent.body(sent.connection_id.trim())?;
        if Connection::find(&app, &body.connection_id).await?.is_some() {
            let id = &body.connection_id;
            return Err(ApiError::Conflict(viewer.t.fill(viewer.t.connection_exists, id)));
        }
        body.put(&app).await?;
        tell::<Connection>(&app, &trail, &body.connection_id, None).await
    };
    match made.await {
        Ok(()) => Ok(Redirect::to(HERE).into_response()),
        Err(error) => {
            let problems = problems::of_form(error, viewer.t)?;
            Ok(refused(form(&viewer, None, sent.fields(), false, problems)))
        }
    }
}

/// Changes one. Its password stays if none is given; so do secrets of `extra` that stand as stars.
pub(super) async fn change(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Path(id): Path<String>,
    Form(sent): Form<ConnectionForm>,
) -> Result<Response, ApiError> {
    let known = known(&app, &id).await?;
    let (has_password, mask) = (known.password.is_some(), sent.mask(known.host.as_deref()));
    let changed = async {
        let body = sent.body(&id)?;
        Connection::change(&app, &id, body, &mask).await?;
        tell::<Connection>(&app, &trail, &id, Some(known)).await
    };
    match changed.await {
        Ok(()) => Ok(Redirect::to(HERE).into_response()),
        Err(error) => {
            let problems = problems::of_form(error, viewer.t)?;
            Ok(refused(form(&viewer, Some(&id), sent.fields(), has_password, problems)))
        }
    }
}

pub(super) async fn remove(
    State(app): State<App>,
    trail: Trail,
    Path(id): Path<String>,
) -> Result<Redirect, ApiError> {
    // One that another key has encrypted can be removed, too.
    trail.before(before_removal::<Connection>(&app, &id).await?);
    if !Connection::remove(&app, &id).await? {
        return Err(ApiError::NotFound(format!("connections/{id}")));
    }
    Ok(Redirect::to(HERE))
}

async fn known(app: &App, id: &str) -> Result<<Connection as crate::api::Kept>::View, ApiError> {
    let found = Connection::find(app, id).await?;
    found.ok_or_else(|| ApiError::NotFound(format!("connections/{id}")))
}

fn refused(html: String) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, Html(html)).into_response()
}

/// The form of a new one, or of `id`.
fn form(
    viewer: &Viewer,
    id: Option<&str>,
    given: ConnectionFields,
    has_password: bool,
    problems: Vec<String>,
) -> String {
    let t = viewer.t;
    let here = id.map(|id| format!("{HERE}/{}", encode(id)));
    ConnectionPage {
        frame: viewer.frame(),
        title: id.map_or_else(|| t.add_connection.to_owned(), |id| t.fill(t.change_title, id)),
        action: here.clone().unwrap_or_else(|| HERE.to_owned()),
        is_new: id.is_none(),
        types: &TYPES,
        given,
        has_password,
        delete_action: here.map(|here| format!("{here}/delete")),
        problems,
    }
    .page()
}

async fn page(
    app: &App,
    viewer: &Viewer,
    query: &NameQuery,
    mut tested: Option<(String, Tested)>,
) -> Result<Html<String>, ApiError> {
    let list = app.probes.list().await?;
    // Of a long list the part is shown that has what was tested.
    let of_tested = tested.as_ref().map(|(id, _)| {
        let at = list.connections.iter().position(|it| it.id == *id).unwrap_or(0);
        NameQuery::new("", i64::try_from(at).unwrap_or(0) / PAGE * PAGE)
    });
    let query = of_tested.as_ref().unwrap_or(query);
    let found = query.part(list.connections, |it| &it.id);
    let (find, pager) = query.ways(HERE, found.items.len(), found.total);
    let row = |it: crate::probes::Known| ConnectionRow {
        test_action: url::connection_test(&it.id),
        edit_href: (!it.is_of_environment).then(|| format!("{HERE}/{}/edit", encode(&it.id))),
        tested: tested.take_if(|(id, _)| *id == it.id).map(|(_, tested)| tested),
        conn_type: it.conn_type,
        place: it.place,
        description: it.description,
        is_of_environment: it.is_of_environment,
        id: it.id,
    };
    let rows = found.items.into_iter().map(row).collect();
    let t = viewer.t;
    let problem = list.problem.map(|why| t.fill(t.connections_unread, why));
    Ok(Html(ConnectionsPage { frame: viewer.frame(), find, pager, rows, problem }.page()))
}

impl ConnectionForm {
    fn body(&self, id: &str) -> Result<Connection, ApiError> {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let port = given(&self.port).map(|port| port.parse()).transpose();
        let port =
            port.map_err(|_| ApiError::Invalid(vec![FieldProblem::of("port", Problem::Port)]))?;
        Ok(Connection {
            connection_id: id.to_owned(),
            conn_type: self.conn_type.clone(),
            description: given(&self.description),
            host: given(&self.host),
            login: given(&self.login),
            schema: given(&self.schema),
            port,
            // As it was typed: a password may begin with a space.
            password: Some(self.password.clone()).filter(|it| !it.is_empty()),
            extra: given(&self.extra),
            team_name: None,
        })
    }

    /// Everything that the form has is meant, but for a password that was left empty, and a host that
    /// stands as it was shown: of an address that is a secret only a part is.
    fn mask(&self, host_shown: Option<&str>) -> Mask {
        let mut fields = vec!["conn_type", "description", "login", "schema", "port", "extra"];
        if !self.password.is_empty() {
            fields.push("password");
        }
        if self.host.trim() != host_shown.unwrap_or_default() {
            fields.push("host");
        }
        Mask::of(fields.into_iter().map(str::to_owned).collect())
    }

    fn fields(&self) -> ConnectionFields {
        ConnectionFields {
            connection_id: self.connection_id.clone(),
            conn_type: self.conn_type.clone(),
            host: self.host.clone(),
            port: self.port.clone(),
            schema: self.schema.clone(),
            login: self.login.clone(),
            // What was typed may be a secret: it is not sent back.
            extra: String::new(),
            description: self.description.clone(),
        }
    }
}
