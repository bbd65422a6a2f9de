//! The same at a server elsewhere, for its administrators.

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{On, Shown, absent};
use crate::remote::{Server, is_missing};

/// Where a link leads, below the server's address.
#[derive(Deserialize)]
struct Link {
    path: String,
}

pub(super) async fn list(server: &Server) -> anyhow::Result<Vec<Shown>> {
    Ok(server.list(&["users"], "users", &[], usize::MAX).await?.items)
}

pub(super) async fn add(
    server: &Server,
    username: &str,
    role: &str,
    password: Option<&SecretString>,
) -> anyhow::Result<()> {
    let password = password.map(SecretString::expose_secret);
    let body = json!({"username": username, "role": role, "password": password});
    server.change::<Value>(Method::POST, &["users"], &body).await.map(drop)
}

pub(super) async fn role(server: &Server, username: &str, role: &str) -> anyhow::Result<()> {
    patch(server, username, &json!({"role": role})).await
}

pub(super) async fn password(
    server: &Server,
    username: &str,
    password: &SecretString,
) -> anyhow::Result<()> {
    patch(server, username, &json!({"password": password.expose_secret()})).await
}

async fn patch(server: &Server, username: &str, body: &Value) -> anyhow::Result<()> {
    let done = server.change::<Value>(Method::PATCH, &["users", username], body).await;
    known(username, done).map(drop)
}

pub(super) async fn grant(
    server: &Server,
    username: &str,
    role: &str,
    on: &On,
) -> anyhow::Result<()> {
    let body = json!({"role": role, "dag_id": on.dag, "tag": on.tag});
    let done = server.change::<Value>(Method::POST, &["users", username, "grants"], &body).await;
    known(username, done).map(drop)
}

/// False: there is no such grant, or no such user.
pub(super) async fn revoke(server: &Server, username: &str, on: &On) -> anyhow::Result<bool> {
    let query: Vec<_> = [("dag_id", &on.dag), ("tag", &on.tag)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)))
        .collect();
    match server.act(Method::DELETE, &["users", username, "grants"], &query).await {
        Err(error) if is_missing(&error) => Ok(false),
        done => done.map(|_| true),
    }
}

/// Makes a link that signs a user in once.
pub(super) async fn link(server: &Server, username: &str) -> anyhow::Result<String> {
    let made = act(server, username, "link").await?;
    let Link { path } = serde_json::from_value(made)?;
    Ok(format!("{}{path}", server.name()))
}

pub(super) async fn disable(server: &Server, username: &str) -> anyhow::Result<()> {
    act(server, username, "disable").await.map(drop)
}

/// False: nobody of this name is disabled.
pub(super) async fn enable(server: &Server, username: &str) -> anyhow::Result<bool> {
    match server.act(Method::POST, &["users", username, "enable"], &[]).await {
        Err(error) if is_missing(&error) => Ok(false),
        done => done.map(|_| true),
    }
}

async fn act(server: &Server, username: &str, what: &str) -> anyhow::Result<Value> {
    known(username, server.act(Method::POST, &["users", username, what], &[]).await)
}

/// Says it of a user who is not there as it is said of the database's.
fn known<T>(username: &str, done: anyhow::Result<T>) -> anyhow::Result<T> {
    done.map_err(|error| if is_missing(&error) { absent(username) } else { error })
}
