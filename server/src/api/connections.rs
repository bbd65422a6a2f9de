//! Connections, in Airflow's shapes: what they say is written, and never read back as it is.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use subak_core::connection::{check, place};
use subak_core::variable::MASK;

use super::bulk::{Bulk, Entity, Kind};
use super::paging::{List, Listed, Listing, pattern};
use crate::app::App;
use crate::extract::{Json, Path, Query};
use crate::problem::{ApiError, FieldProblem};

/// Settings of `extra` that hold no secret, and are shown.
const SHOWN: [&str; 10] = [
    "ca",
    "client.id",
    "from",
    "sasl.mechanism",
    "sasl.mechanisms",
    "security.protocol",
    "ssl.ca.location",
    "sslmode",
    "test_path",
    "tls",
];

#[derive(Deserialize)]
pub(super) struct ListQuery {
    connection_id_pattern: Option<String>,
    connection_id_prefix_pattern: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct PatchQuery {
    #[serde(default)]
    update_mask: Vec<String>,
}

/// Airflow's `ConnectionBody`; `extra` is JSON in a text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    connection_id: String,
    conn_type: String,
    description: Option<String>,
    host: Option<String>,
    login: Option<String>,
    schema: Option<String>,
    port: Option<u16>,
    password: Option<String>,
    extra: Option<String>,
    team_name: Option<String>,
}

/// Airflow's `ConnectionResponse`.
#[derive(Serialize)]
pub(super) struct View {
    connection_id: String,
    conn_type: String,
    description: Option<String>,
    host: Option<String>,
    login: Option<String>,
    schema: Option<String>,
    port: Option<u16>,
    password: Option<String>,
    extra: Option<String>,
    team_name: Option<String>,
}

impl Listed for View {
    const PLURAL: &'static str = "connections";
}

/// Airflow's `ConnectionTestResponse`.
#[derive(Serialize)]
pub(super) struct Tested {
    /// Whether it works.
    status: bool,
    message: String,
}

pub(super) async fn list(
    State(app): State<App>,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let mut all = app.store.connections().await?;
    if let Some(part) = pattern(query.connection_id_pattern) {
        all.retain(|it| it.conn_id.contains(&part));
    }
    if let Some(prefix) = query.connection_id_prefix_pattern {
        all.retain(|it| it.conn_id.starts_with(&prefix));
    }
    if let Some((by_type, descending)) = listing.order(&[
        ("connection_id", false),
        ("conn_id", false),
        ("id", false),
        ("conn_type", true),
    ])? {
        if by_type {
            all.sort_by(|a, b| a.conn_type.cmp(&b.conn_type));
        }
        if descending {
            all.reverse();
        }
    }
    let page = List::part(all, listing.part);
    let ids: Vec<String> = page.items.iter().map(|it| it.conn_id.clone()).collect();
    let mut values = opened(&app, &ids).await?;
    Ok(Json(page.map(|it| {
        let at = values.iter().position(|(id, _)| *id == it.conn_id);
        let value = at.map(|at| values.swap_remove(at).1).unwrap_or_default();
        View::new(it.conn_id, it.description, &value)
    })))
}

pub(super) async fn get(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<View>, ApiError> {
    Ok(Json(find(&app, &id).await?))
}

pub(super) async fn post(
    State(app): State<App>,
    Json(body): Json<Body>,
) -> Result<(StatusCode, Json<View>), ApiError> {
    if Body::exists(&app, &body.connection_id).await? {
        let why = format!("connection `{}` is there already: PATCH changes it", body.connection_id);
        return Err(ApiError::Conflict(why));
    }
    body.put(&app).await?;
    Ok((StatusCode::CREATED, Json(find(&app, &body.connection_id).await?)))
}

/// Changes what the mask names, or, without one, what the body has.
pub(super) async fn patch(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<PatchQuery>,
    Json(body): Json<Body>,
) -> Result<Json<View>, ApiError> {
    if body.connection_id != id {
        let msg = format!("differs from the connection's id, `{id}`");
        return Err(invalid("connection_id", msg));
    }
    let before = find(&app, &id).await?;
    let mut value = opened(&app, std::slice::from_ref(&id)).await?.pop().map(|it| it.1);
    let known = value.as_mut().and_then(Value::as_object_mut).map(std::mem::take);
    let mut known = known.unwrap_or_default();
    let is_named = |field: &str| query.update_mask.iter().any(|it| it == field);
    for (field, new) in body.value()? {
        let stays = new == MASK && known.get(&field).is_some_and(Value::is_string);
        if (query.update_mask.is_empty() || is_named(&field)) && !stays {
            known.insert(field, new);
        }
    }
    // Named and left out: it goes.
    for field in ["host", "login", "schema", "port", "password", "extra"] {
        if is_named(field) && !body.has(field) {
            known.remove(field);
        }
    }
    let description = match body.description.as_deref() {
        None if is_named("description") => None,
        Some(new) if query.update_mask.is_empty() || is_named("description") => Some(new),
        _ => before.description.as_deref(),
    };
    keep(&app, &id, description, &Value::Object(known)).await?;
    Ok(Json(find(&app, &id).await?))
}

pub(super) async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    match app.store.connection_remove(&id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(&id)),
    }
}

/// Several at once.
pub(super) async fn bulk(
    State(app): State<App>,
    Json(bulk): Json<Bulk<Body>>,
) -> Result<Json<super::bulk::Answer>, ApiError> {
    Ok(Json(bulk.run(&app).await?))
}

/// Tests a connection that is kept. Airflow tests only what is sent to it.
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

impl Entity for Body {
    const KIND: Kind = Kind::Connection;

    fn name(&self) -> &str {
        &self.connection_id
    }

    async fn exists(app: &App, name: &str) -> Result<bool, ApiError> {
        Ok(app.store.connections().await?.iter().any(|it| it.conn_id == name))
    }

    async fn put(&self, app: &App) -> Result<(), ApiError> {
        let value = Value::Object(self.value()?);
        keep(app, &self.connection_id, self.description.as_deref(), &value).await
    }

    async fn remove(app: &App, name: &str) -> Result<(), ApiError> {
        app.store.connection_remove(name).await?;
        Ok(())
    }
}

impl Body {
    /// The connection as it is kept.
    fn value(&self) -> Result<Map<String, Value>, ApiError> {
        if self.team_name.is_some() {
            return Err(invalid("team_name", "is not supported yet: leave it out".to_owned()));
        }
        let mut value = Map::from_iter([("conn_type".to_owned(), json!(self.conn_type))]);
        let texts = [
            ("host", &self.host),
            ("login", &self.login),
            ("schema", &self.schema),
            ("password", &self.password),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                value.insert(name.to_owned(), json!(text));
            }
        }
        if let Some(port) = self.port {
            value.insert("port".to_owned(), json!(port));
        }
        if let Some(extra) = self.extra.as_deref().filter(|extra| !extra.is_empty()) {
            // The parser's own words could quote a secret.
            let extra: Map<String, Value> = serde_json::from_str(extra)
                .map_err(|_| invalid("extra", "is no map as JSON".to_owned()))?;
            value.insert("extra".to_owned(), Value::Object(extra));
        }
        Ok(value)
    }

    fn has(&self, field: &str) -> bool {
        match field {
            "host" => self.host.is_some(),
            "login" => self.login.is_some(),
            "schema" => self.schema.is_some(),
            "port" => self.port.is_some(),
            "password" => self.password.is_some(),
            _ => self.extra.is_some(),
        }
    }
}

async fn keep(
    app: &App,
    id: &str,
    description: Option<&str>,
    value: &Value,
) -> Result<(), ApiError> {
    let is_id = !id.is_empty()
        && id.len() <= 200
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if !is_id {
        let msg = "is letters, digits, `_`, `-` and `.`, at most 200".to_owned();
        return Err(invalid("connection_id", msg));
    }
    check(value).map_err(|problem| invalid("conn_type", problem.to_string()))?;
    let conn_type = value["conn_type"].as_str().unwrap_or_default();
    let key = app.actions.key()?;
    Ok(app.store.connection_put(key, id, conn_type, description, value).await?)
}

async fn opened(app: &App, ids: &[String]) -> Result<Vec<(String, Value)>, ApiError> {
    let key = app.actions.key()?;
    app.store.connections_open(key, ids).await.map_err(|error| {
        // It names the connection and its key, nothing of what it says.
        ApiError::Unavailable(error.to_string())
    })
}

async fn find(app: &App, id: &str) -> Result<View, ApiError> {
    let heads = app.store.connections().await?;
    let head = heads.into_iter().find(|it| it.conn_id == id).ok_or_else(|| missing(id))?;
    let value = opened(app, std::slice::from_ref(&head.conn_id)).await?.pop();
    let (_, value) = value.ok_or_else(|| missing(id))?;
    Ok(View::new(head.conn_id, head.description, &value))
}

fn missing(id: &str) -> ApiError {
    ApiError::NotFound(format!("connection {id}"))
}

fn invalid(field: &str, msg: String) -> ApiError {
    ApiError::Invalid(vec![FieldProblem::body(field, msg)])
}

impl View {
    fn new(connection_id: String, description: Option<String>, value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let conn_type = text("conn_type").unwrap_or_default();
        // The address of a webhook may be its secret.
        let host = match conn_type.as_str() {
            "webhook" => Some(place(value)).filter(|place| !place.is_empty()),
            _ => text("host"),
        };
        let shown = |(name, value): (&String, &Value)| {
            let value = if SHOWN.contains(&name.as_str()) { value.clone() } else { json!(MASK) };
            (name.clone(), value)
        };
        let extra = value["extra"].as_object().filter(|extra| !extra.is_empty());
        Self {
            connection_id,
            description,
            host,
            login: text("login"),
            schema: text("schema"),
            port: value["port"].as_u64().and_then(|port| u16::try_from(port).ok()),
            password: text("password").map(|_| MASK.to_owned()),
            extra: extra.map(|it| Value::Object(it.iter().map(shown).collect()).to_string()),
            team_name: None,
            conn_type,
        }
    }
}
