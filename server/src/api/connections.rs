//! Connections, in Airflow's shapes: what they say is written, and never read back as it is.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use subak_core::connection::{check, place};
use subak_core::problem::Problem;
use subak_core::variable::{MASK, veil};
use subak_store::read::directed;
use subak_store::{ConnectionHead, Sealed};

use super::kept::{Digest, Kept, digest, missing, no_team, wrong};
use super::mask::Mask;
use super::paging::{List, Listed, Listing, text};
use crate::app::App;
use crate::extract::{Json, Path, Query};
use crate::problem::ApiError;

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

#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    connection_id_pattern: Option<String>,
    connection_id_prefix_pattern: Option<String>,
}

/// Airflow's `ConnectionBody`; `extra` is JSON in a text.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    pub(crate) connection_id: String,
    pub(crate) conn_type: String,
    pub(crate) description: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) login: Option<String>,
    pub(crate) schema: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) password: Option<String>,
    pub(crate) extra: Option<String>,
    pub(crate) team_name: Option<String>,
}

/// Airflow's `ConnectionResponse`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConnectionResponse")]
pub(crate) struct View {
    pub(crate) connection_id: String,
    pub(crate) conn_type: String,
    pub(crate) description: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) login: Option<String>,
    pub(crate) schema: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) password: Option<String>,
    pub(crate) extra: Option<String>,
    pub(crate) team_name: Option<String>,
    /// Of password and extra: tells whether they are others.
    #[serde(skip)]
    digests: [Digest; 2],
}

impl Listed for View {
    const PLURAL: &'static str = "connections";
}

/// Airflow's `ConnectionTestResponse`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConnectionTestResponse")]
pub(super) struct Tested {
    /// Whether it works.
    status: bool,
    message: String,
}

/// The longest id.
const ID_BYTES_MOST: usize = 200;

/// What connections are ordered by: they are of no team.
const ORDERS: &[(&str, Order)] = &[
    ("connection_id", Order::Id),
    ("conn_id", Order::Id),
    ("id", Order::Id),
    ("conn_type", Order::Type),
    ("description", Order::Description),
    ("host", Order::Host),
    ("port", Order::Port),
    ("team_name", Order::Nothing),
];

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Id,
    Type,
    Description,
    Host,
    Port,
    /// What no connection has.
    Nothing,
}

pub(super) async fn list(
    State(app): State<App>,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let mut all = app.store.connections().await?;
    let wanted = text(query.connection_id_pattern, query.connection_id_prefix_pattern);
    all.retain(|it| wanted.takes(&it.conn_id));
    let orders = listing.orders(ORDERS)?;
    let (keys, _) = orders.before_own();
    // Hosts and ports are encrypted: only whoever orders by them needs all.
    let by_place = keys.iter().any(|(order, _)| matches!(order, Order::Host | Order::Port));
    let mut shown = if by_place { views(&app, &all).await? } else { BTreeMap::new() };
    orders.sort(&mut all, |order, descending, a, b| {
        let host = |it: &ConnectionHead| shown.get(&it.conn_id).and_then(|it| it.host.clone());
        let port = |it: &ConnectionHead| shown.get(&it.conn_id).and_then(|it| it.port);
        match order {
            Order::Id => directed(Some(&a.conn_id), Some(&b.conn_id), descending),
            Order::Type => directed(Some(&a.conn_type), Some(&b.conn_type), descending),
            Order::Description => {
                directed(a.description.as_ref(), b.description.as_ref(), descending)
            }
            Order::Host => directed(host(a), host(b), descending),
            Order::Port => directed(port(a), port(b), descending),
            Order::Nothing => Ordering::Equal,
        }
    });
    let List { items, total, .. } = List::part(all, listing.part);
    if !by_place {
        shown = views(&app, &items).await?;
    }
    let items = items.iter().filter_map(|it| shown.remove(&it.conn_id)).collect();
    Ok(Json(List { total, ..List::all(items) }))
}

/// Connections as they are shown, by id.
async fn views(app: &App, heads: &[ConnectionHead]) -> Result<BTreeMap<String, View>, ApiError> {
    let ids: Vec<String> = heads.iter().map(|it| it.conn_id.clone()).collect();
    let opened = app.store.connections_open_each(app.actions.key()?, &ids).await?;
    let mut values: BTreeMap<String, Result<Value, Sealed>> = opened.into_iter().collect();
    let view = |it: &ConnectionHead| {
        let id = it.conn_id.clone();
        let view = match values.remove(&id) {
            Some(Ok(value)) => View::new(id.clone(), it.description.clone(), &value),
            Some(Err(sealed)) => View::sealed(it, &sealed),
            // It was removed meanwhile.
            None => View::new(id.clone(), it.description.clone(), &Value::Null),
        };
        (id, view)
    };
    Ok(heads.iter().map(view).collect())
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

impl Kept for Body {
    const KIND: &'static str = "connection";
    const NAME: &'static str = "connection_id";
    const FIELDS: &'static [&'static str] = &[
        "connection_id",
        "conn_type",
        "description",
        "host",
        "login",
        "schema",
        "port",
        "password",
        "extra",
        "team_name",
    ];

    type View = View;
    type Patch = Self;

    fn name(&self) -> &str {
        &self.connection_id
    }

    fn name_of(patch: &Self) -> Option<&str> {
        Some(&patch.connection_id)
    }

    async fn find(app: &App, id: &str) -> Result<Option<View>, ApiError> {
        let heads = app.store.connections().await?;
        let Some(head) = heads.into_iter().find(|it| it.conn_id == id) else { return Ok(None) };
        let opened = opened(app, std::slice::from_ref(&head.conn_id)).await?.pop();
        Ok(opened.map(|(_, value)| View::new(head.conn_id, head.description, &value)))
    }

    async fn put(&self, app: &App) -> Result<(), ApiError> {
        let value = Value::Object(self.value()?);
        keep(app, &self.connection_id, self.description.as_deref(), &value).await
    }

    async fn change(app: &App, id: &str, patch: Self, mask: &Mask) -> Result<(), ApiError> {
        let before = Self::find(app, id).await?.ok_or_else(|| missing::<Self>(id))?;
        let mut value = opened(app, &[id.to_owned()]).await?.pop().map(|it| it.1);
        let known = value.as_mut().and_then(Value::as_object_mut).map(std::mem::take);
        let mut known = known.unwrap_or_default();
        for (field, mut new) in patch.value()? {
            if let Some(known) = known.get(&field) {
                keep_masked(&mut new, known);
            }
            let stays = new == MASK && known.get(&field).is_some_and(Value::is_string);
            if mask.has(&field) && !stays {
                known.insert(field, new);
            }
        }
        // Named and left out: it goes.
        for field in ["host", "login", "schema", "port", "password", "extra"] {
            if mask.names(field) && !patch.has(field) {
                known.remove(field);
            }
        }
        let description = match patch.description {
            None if !mask.names("description") => before.description,
            new if mask.has("description") => new,
            _ => before.description,
        };
        keep(app, id, description.as_deref(), &Value::Object(known)).await
    }

    /// Of a password, and of settings that hold secrets, only that they have changed.
    fn recorded(now: &View, before: Option<&View>) -> Value {
        let differs = |at: usize| before.is_some_and(|it| it.digests[at] != now.digests[at]);
        let mut recorded = json!(now);
        if now.password.is_some() {
            recorded["password"] = veil(differs(0)).into();
        }
        if differs(1) {
            recorded["extra_has_changed"] = true.into();
        }
        recorded
    }

    async fn remove(app: &App, id: &str) -> Result<bool, ApiError> {
        Ok(app.store.connection_remove(id).await?)
    }
}

impl Body {
    /// The connection as it is kept.
    fn value(&self) -> Result<Map<String, Value>, ApiError> {
        no_team(self.team_name.as_deref())?;
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
            let extra: Map<String, Value> =
                serde_json::from_str(extra).map_err(|_| wrong("extra", Problem::NoMap))?;
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

/// Of a map, what stands as it is shown stays as it is kept.
fn keep_masked(new: &mut Value, known: &Value) {
    for (name, value) in new.as_object_mut().into_iter().flatten() {
        if *value == MASK
            && let Some(known) = known.get(name)
        {
            *value = known.clone();
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
        && id.len() <= ID_BYTES_MOST
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if !is_id {
        return Err(wrong("connection_id", Problem::NoName { most: ID_BYTES_MOST }));
    }
    check(value).map_err(|problem| wrong(problem.field(), Problem::Connection(problem)))?;
    let conn_type = value["conn_type"].as_str().unwrap_or_default();
    let key = app.actions.key()?;
    Ok(app.store.connection_put(key, id, conn_type, description, value).await?)
}

async fn opened(app: &App, ids: &[String]) -> Result<Vec<(String, Value)>, ApiError> {
    let key = app.actions.key()?;
    Ok(app.store.connections_open(key, ids).await?)
}

impl View {
    /// One that cannot be decrypted: its description says why.
    fn sealed(head: &ConnectionHead, sealed: &Sealed) -> Self {
        let description = sealed.beside(head.description.as_deref());
        let value = json!({"conn_type": head.conn_type});
        Self::new(head.conn_id.clone(), Some(description), &value)
    }

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
            digests: ["password", "extra"].map(|name| digest(&value[name].to_string())),
            conn_type,
        }
    }
}
