//! Sign-in by an identity provider: a small one of our own, with real keys and signatures.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PublicKeyData as _};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subak_server::auth::OidcConfig;
use subak_server::{App, Requests, router};
use subak_store::access::Role;
use subak_store::read::TextFilter;
use tokio::net::TcpListener;
use tower::ServiceExt as _;
use url::Url;

use crate::world::World;

/// How many there are.
async fn users(world: &World) -> anyhow::Result<i64> {
    Ok(world.store.user_page(&TextFilter::default(), 1, 0).await?.total)
}

/// What the provider says of whoever comes.
#[derive(Clone)]
struct Provider {
    issuer: String,
    key: Arc<KeyPair>,
    /// Nonce and challenge, by code.
    codes: Arc<Mutex<HashMap<String, (String, String)>>>,
    /// What its tokens claim differently.
    lies: Arc<Mutex<Value>>,
}

impl Provider {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let provider = Self {
            issuer: format!("http://{}", listener.local_addr()?),
            key: Arc::new(KeyPair::generate()?),
            codes: Arc::default(),
            lies: Arc::new(Mutex::new(json!({}))),
        };
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route("/keys", get(keys))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(provider)
    }

    fn lie(&self, lies: Value) {
        *self.lies.lock().unwrap() = lies;
    }
}

async fn discovery(State(provider): State<Provider>) -> Json<Value> {
    let at = |path: &str| format!("{}{path}", provider.issuer);
    Json(json!({
        "issuer": provider.issuer,
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "jwks_uri": at("/keys"),
    }))
}

/// Signs in whoever comes, at once.
async fn authorize(
    State(provider): State<Provider>,
    Query(asked): Query<HashMap<String, String>>,
) -> Redirect {
    assert_eq!(asked["response_type"], "code");
    assert_eq!(asked["client_id"], "subak");
    assert_eq!(asked["code_challenge_method"], "S256");
    assert!(asked["scope"].split(' ').any(|it| it == "openid"));
    let mut codes = provider.codes.lock().unwrap();
    let code = format!("code-{}", codes.len());
    codes.insert(code.clone(), (asked["nonce"].clone(), asked["code_challenge"].clone()));
    Redirect::to(&format!("{}?code={code}&state={}", asked["redirect_uri"], asked["state"]))
}

async fn token(
    State(provider): State<Provider>,
    headers: HeaderMap,
    Form(asked): Form<HashMap<String, String>>,
) -> Response {
    let expected = format!("Basic {}", STANDARD.encode("subak:hunter2"));
    let is_client = headers.get(header::AUTHORIZATION).is_some_and(|it| *it == expected);
    // A code is good once.
    let known = provider.codes.lock().unwrap().remove(&asked["code"]);
    let proof = URL_SAFE_NO_PAD.encode(Sha256::digest(asked["code_verifier"].as_bytes()));
    let Some((nonce, _)) = known.filter(|(_, challenge)| is_client && *challenge == proof) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut claims = json!({
        "iss": provider.issuer, "aud": "subak", "sub": "7", "exp": 4_102_444_800_u64,
        "nonce": nonce, "preferred_username": "ana", "email": "ana@example.org",
    });
    for (name, value) in provider.lies.lock().unwrap().as_object().unwrap() {
        claims[name] = value.clone();
    }
    let signed_by = match claims["key"].as_str() {
        Some("other") => KeyPair::generate().unwrap().serialize_der(),
        _ => provider.key.serialize_der(),
    };
    let header = match claims["alg"].as_str() {
        Some("HS256") => Header::new(Algorithm::HS256),
        _ => Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::ES256) },
    };
    let key = match header.alg {
        Algorithm::HS256 => EncodingKey::from_secret(b"guess"),
        _ => EncodingKey::from_ec_der(&signed_by),
    };
    let id_token = encode(&header, &claims, &key).unwrap();
    Json(json!({"access_token": "x", "token_type": "Bearer", "id_token": id_token})).into_response()
}

async fn keys(State(provider): State<Provider>) -> Json<Value> {
    // An uncompressed point: 4, x, y.
    let point = provider.key.der_bytes();
    let (x, y) = point[1..].split_at(32);
    Json(json!({"keys": [{
        "kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "alg": "ES256",
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    }]}))
}

/// A browser: it keeps cookies, and follows redirects by hand.
struct Browser {
    router: Router,
    cookies: HashMap<String, String>,
}

impl Browser {
    fn new(router: &Router) -> Self {
        Self { router: router.clone(), cookies: HashMap::new() }
    }

    /// Returns status, location and text.
    async fn get(&mut self, path: &str) -> anyhow::Result<(StatusCode, String, String)> {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = Request::get(path)
            .header(header::HOST, "subak")
            .header(header::COOKIE, cookies.join("; "))
            .body(Body::empty())?;
        let response = self.router.clone().oneshot(request).await?;
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str()?;
            assert!(cookie.contains("HttpOnly; SameSite=Lax"), "{cookie}");
            let (name, rest) = cookie.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), rest.split(';').next().unwrap().to_owned());
        }
        let location = response.headers().get(header::LOCATION);
        let location = location.map_or("", |it| it.to_str().unwrap()).to_owned();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await?;
        Ok((status, location, String::from_utf8(body.to_vec())?))
    }

    /// Signs in by the provider; returns what the callback says.
    async fn sign_in(&mut self) -> anyhow::Result<(StatusCode, String, String)> {
        let (status, provider, _) = self.get("/sign-in/oidc?next=%2Fdags%2Fshop").await?;
        assert_eq!(status, StatusCode::SEE_OTHER);
        let callback = back(&provider).await?;
        self.get(&callback).await
    }
}

/// Goes to the provider; returns the path that it sends the browser back to.
async fn back(provider: &str) -> anyhow::Result<String> {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let answer = client.get(provider).send().await?;
    let location = Url::parse(answer.headers()[header::LOCATION].to_str()?)?;
    assert_eq!(location.host_str(), Some("subak.example.org"));
    Ok(format!("{}?{}", location.path(), location.query().unwrap()))
}

async fn site(role: Role) -> anyhow::Result<(World, Provider, Router)> {
    let world = World::new().await?;
    let provider = Provider::start().await?;
    let stop = world.stop.child_token();
    let app = App::new(world.store.clone(), world.engine.clone(), Requests::default(), false, stop);
    let app = app.with_oidc(OidcConfig {
        issuer: Url::parse(&provider.issuer)?,
        client_id: "subak".to_owned(),
        client_secret: SecretString::from("hunter2"),
        own_url: Url::parse("https://subak.example.org")?,
        role,
    })?;
    Ok((world, provider, router(app)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_says_who_somebody_is() -> anyhow::Result<()> {
    let (world, provider, router) = site(Role::Viewer).await?;
    // Somebody of the same name was here before, and is somebody else.
    world.store.user_create("ana", None, Role::Admin).await?;
    let mut browser = Browser::new(&router);
    let (_, _, page) = browser.get("/sign-in").await?;
    assert!(page.contains("/sign-in/oidc?next="), "{page}");
    let (status, location, said) = browser.sign_in().await?;
    assert_eq!((status, location.as_str()), (StatusCode::SEE_OTHER, "/dags/shop"), "{said}");
    assert_eq!(browser.get("/").await?.0, StatusCode::OK);
    let made = world.store.user_named("ana-1").await?.expect("a user of their own");
    assert_eq!(made.role, Role::Viewer);

    // The same person, whatever they are called now.
    provider.lie(json!({"preferred_username": "anna"}));
    let mut other = Browser::new(&router);
    assert_eq!(other.sign_in().await?.0, StatusCode::SEE_OTHER);
    assert_eq!(users(&world).await?, 2);
    world.store.user_disable(&made).await?;
    let (status, _, said) = Browser::new(&router).sign_in().await?;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(said.contains("disabled"), "{said}");
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_from_the_provider_signs_nobody_in() -> anyhow::Result<()> {
    let (world, provider, router) = site(Role::Viewer).await?;
    for lies in [
        json!({"aud": "another"}),
        json!({"iss": "http://evil"}),
        json!({"exp": 1_000_000_000}),
        json!({"nonce": "another"}),
        json!({"key": "other"}),
        json!({"alg": "HS256"}),
    ] {
        provider.lie(lies.clone());
        let (status, _, said) = Browser::new(&router).sign_in().await?;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{lies}: {said}");
        assert!(said.contains("identity token"), "{lies}: {said}");
    }
    provider.lie(json!({}));

    // What another browser has begun, a code that was used, and a refusal.
    let mut victim = Browser::new(&router);
    let mut attacker = Browser::new(&router);
    let (_, to, _) = attacker.get("/sign-in/oidc").await?;
    let callback = back(&to).await?;
    let (status, _, said) = victim.get(&callback).await?;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(said.contains("not begun by this browser"), "{said}");
    let (_, to, _) = victim.get("/sign-in/oidc").await?;
    let callback = back(&to).await?;
    let before = victim.cookies.clone();
    assert_eq!(victim.get(&callback).await?.0, StatusCode::SEE_OTHER);
    victim.cookies = before;
    assert_eq!(victim.get(&callback).await?.0, StatusCode::UNAUTHORIZED);
    let (_, to, _) = victim.get("/sign-in/oidc").await?;
    let url = Url::parse(&to)?;
    let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let refused =
        format!("/sign-in/oidc/callback?error=access_denied&error_description=no&state={state}");
    let (status, _, said) = victim.get(&refused).await?;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(said.contains("the provider refused: no"), "{said}");
    assert_eq!(users(&world).await?, 1);
    world.close().await
}
