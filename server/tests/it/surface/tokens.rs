//! Tokens of programs: who makes them, what they may do, and how they end.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use subak_store::access::Role;
use uuid::Uuid;

use super::site::{Answer, Sender, Site, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_may_no_more_than_its_scope_and_ends_when_revoked() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let store = &site.world.store;
    let admin = site.browser(Role::Admin).await?;
    let mut make = request(&admin, &Method::POST, "/tokens", &[])?;
    make.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse()?);
    *make.body_mut() = "name=dashboard&scope=viewer&days=30".into();
    let page = Answer::read(site.send(make).await?).await?.text();
    let secret = page.split("<code id=\"secret\">").nth(1).and_then(|it| it.split('<').next());
    let token = Sender::Token(secret.expect("it is shown this once").to_owned());
    assert_eq!(site.get(&token, "/api/v2/dags/shop").await?.status, StatusCode::OK);
    let pause = json!({"is_paused": true});
    let refused = site.json(&token, Method::PATCH, "/api/v2/dags/shop", &pause).await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());

    let rows = store.api_token_list(None).await?;
    let row = rows.iter().find(|row| row.name == "dashboard").unwrap();
    assert_eq!((row.username.as_str(), row.scope.as_deref()), ("admin", Some("viewer")));
    assert!(row.expires_at.is_some() && row.last_used_at.is_some());
    assert!(!site.get(&admin, "/tokens").await?.text().contains("<code id=\"secret\">"));

    // By the API, too: one's own, and none that may more than the token which asks for it.
    let tokens = "/api/v2/tokens";
    let post =
        async |sender: &Sender, body: Value| site.json(sender, Method::POST, tokens, &body).await;
    let again = post(&token, json!({"name": "again"})).await?;
    assert_eq!(again.status, StatusCode::CREATED, "{}", again.text());
    let again = again.json();
    assert_eq!((&again["username"], &again["scope"]), (&json!("admin"), &json!("viewer")));
    let wider = post(&token, json!({"name": "wider", "scope": "op"})).await?;
    assert_eq!(wider.status, StatusCode::FORBIDDEN, "{}", wider.text());
    for (field, value) in [("days", json!(0)), ("name", json!(" ")), ("scope", json!("king"))] {
        let mut odd = json!({"name": "odd"});
        odd[field] = value;
        assert_eq!(post(&token, odd).await?.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
    }
    let (low, high) = (site.program(Role::Viewer).await?, site.program(Role::Admin).await?);
    let of_low =
        post(&high, json!({"name": "load", "username": "viewer", "days": 2})).await?.json();
    let secret = of_low["access_token"].as_str().unwrap().to_owned();
    assert_eq!(
        site.get(&Sender::Token(secret.clone()), "/api/v2/dags").await?.status,
        StatusCode::OK
    );
    let seen = site.get(&low, tokens).await?;
    assert!(!seen.text().contains("dashboard") && !seen.text().contains(&secret));
    let names = |of: &Value| -> Vec<String> {
        of["tokens"].as_array().unwrap().iter().map(|it| it["name"].to_string()).collect()
    };
    assert_eq!(names(&seen.json()), ["\"load\"", "\"test\""]);
    let asked = site.get(&high, &format!("{tokens}?username=viewer")).await?.json();
    assert_eq!(names(&asked), ["\"load\"", "\"test\""]);
    assert!(names(&site.get(&high, tokens).await?.json()).len() > 3);
    for (sender, whose, status) in [
        (&low, "admin", StatusCode::FORBIDDEN),
        (&low, "nobody", StatusCode::FORBIDDEN),
        (&high, "nobody", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let asked = site.get(sender, &format!("{tokens}?username={whose}")).await?;
        assert_eq!(asked.status, status, "{whose}: {}", asked.text());
        let made = post(sender, json!({"name": "x", "username": whose})).await?;
        assert_eq!(made.status, status, "{whose}: {}", made.text());
    }
    let one = format!("{tokens}/{}", row.token_id);
    assert_eq!(site.ask(&low, &Method::DELETE, &one).await?.status, StatusCode::NOT_FOUND);
    let load = format!("{tokens}/{}", of_low["token_id"].as_str().unwrap());
    assert_eq!(site.ask(&high, &Method::DELETE, &load).await?.status, StatusCode::NO_CONTENT);
    assert_eq!(site.ask(&high, &Method::DELETE, &load).await?.status, StatusCode::NOT_FOUND);

    // Somebody else's cannot be ended, nor is it seen.
    let viewer = site.browser(Role::Viewer).await?;
    let revoke = format!("/tokens/{}/revoke", row.token_id);
    let other = site.ask(&viewer, &Method::POST, &revoke).await?;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
    assert!(!site.get(&viewer, "/tokens").await?.text().contains("dashboard"));
    assert_eq!(site.get(&token, "/api/v2/dags/shop").await?.status, StatusCode::OK);
    let own = site.ask(&admin, &Method::POST, &revoke).await?;
    assert_eq!(own.status, StatusCode::SEE_OTHER, "{}", own.text());
    assert_eq!(site.get(&token, "/api/v2/dags/shop").await?.status, StatusCode::UNAUTHORIZED);
    assert_eq!(store.api_token_revoke(Uuid::nil(), None).await?, None);

    // A program ends its own token, and no other; a browser has none.
    let (first, second) = (site.program(Role::Viewer).await?, site.program(Role::Viewer).await?);
    let end = async |sender: &Sender| site.ask(sender, &Method::DELETE, "/auth/token").await;
    assert_eq!(end(&first).await?.status, StatusCode::NO_CONTENT);
    assert_eq!(end(&first).await?.status, StatusCode::UNAUTHORIZED);
    assert_eq!(site.get(&first, "/api/v2/dags").await?.status, StatusCode::UNAUTHORIZED);
    assert_eq!(site.get(&second, "/api/v2/dags").await?.status, StatusCode::OK);
    assert_eq!(end(&viewer).await?.status, StatusCode::CONFLICT);
    let log = site.get(&admin, "/api/v2/eventLogs?event=delete_token&owner=viewer").await?.json();
    assert_eq!(log["total_entries"], 1, "{log}");
    site.world.close().await
}
