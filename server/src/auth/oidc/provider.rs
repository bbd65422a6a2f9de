//! What is asked of an identity provider: its addresses, its keys, and who somebody is.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use reqwest::Client;
use reqwest::redirect::Policy;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::{CALLBACK, OidcConfig};

/// For one answer of the provider.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long addresses and keys are remembered; an unknown key is asked for at once.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Larger answers are not read.
const BYTES_MOST: usize = 1 << 20;

/// Signatures with a public key; a token that names another kind is refused.
const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
];

/// A provider, as far as it was asked.
pub(super) struct Provider {
    pub(super) config: OidcConfig,
    http: Client,
    known: Mutex<Option<(Instant, Known)>>,
}

/// Its discovery document and keys.
#[derive(Clone)]
struct Known {
    addresses: Addresses,
    keys: JwkSet,
}

#[derive(Clone, Deserialize)]
struct Addresses {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

/// Who somebody is, as a checked identity token says.
#[derive(Debug, Deserialize)]
pub(super) struct Person {
    pub(super) sub: String,
    nonce: Option<String>,
    preferred_username: Option<String>,
    email: Option<String>,
}

impl Person {
    /// What to call them.
    pub(super) fn name(&self) -> &str {
        self.preferred_username.as_deref().or(self.email.as_deref()).unwrap_or(&self.sub)
    }
}

impl Provider {
    pub(super) fn new(config: OidcConfig) -> anyhow::Result<Self> {
        let http = Client::builder().timeout(PATIENCE).redirect(Policy::none()).build()?;
        Ok(Self { config, http, known: Mutex::new(None) })
    }

    /// Where a browser signs in.
    pub(super) async fn sign_in_url(
        &self,
        state: &str,
        nonce: &str,
        challenge: &str,
    ) -> anyhow::Result<Url> {
        let known = self.known(false).await?;
        let mut url = Url::parse(&known.addresses.authorization_endpoint)?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", self.callback()?.as_str())
            .append_pair("scope", "openid profile email")
            .append_pair("state", state)
            .append_pair("nonce", nonce)
            .append_pair("code_challenge", challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    /// Asks for whom a code is good, and checks the answer.
    pub(super) async fn redeem(
        &self,
        code: &str,
        verifier: &str,
        nonce: &str,
    ) -> anyhow::Result<Person> {
        let addresses = self.known(false).await?.addresses;
        let callback = self.callback()?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", callback.as_str()),
            ("code_verifier", verifier),
        ];
        let secret = self.config.client_secret.expose_secret();
        let asked = self
            .http
            .post(addresses.token_endpoint)
            .basic_auth(&self.config.client_id, Some(secret))
            .form(&form);
        let tokens: Tokens = answer(asked).await.context("the provider did not take the code")?;
        let person = self.check(&tokens.id_token).await?;
        ensure!(
            person.nonce.as_deref() == Some(nonce),
            "the provider's identity token is for another sign-in"
        );
        Ok(person)
    }

    /// Checks an identity token: signature, issuer, audience and times.
    async fn check(&self, token: &str) -> anyhow::Result<Person> {
        let wrong = "the provider's identity token is not good";
        let header = decode_header(token).context(wrong)?;
        if !ALGORITHMS.contains(&header.alg) {
            bail!("{wrong}: it is signed with {:?}", header.alg);
        }
        let find = |known: &Known| match &header.kid {
            Some(kid) => known.keys.find(kid).cloned(),
            None => known.keys.keys.first().cloned(),
        };
        let mut known = self.known(false).await?;
        if find(&known).is_none() {
            known = self.known(true).await?;
        }
        let key =
            find(&known).with_context(|| format!("{wrong}: its key is not the provider's"))?;
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&self.config.client_id]);
        validation.set_issuer(&[&known.addresses.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let key = DecodingKey::from_jwk(&key).context(wrong)?;
        Ok(decode::<Person>(token, &key, &validation).context(wrong)?.claims)
    }

    /// Addresses and keys, remembered for a while unless they are wanted `anew`.
    async fn known(&self, anew: bool) -> anyhow::Result<Known> {
        let lock = || self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((at, known)) = lock().as_ref()
            && !anew
            && at.elapsed() < REMEMBERED
        {
            return Ok(known.clone());
        }
        let issuer = self.config.issuer.as_str().trim_end_matches('/');
        let document = format!("{issuer}/.well-known/openid-configuration");
        let addresses: Addresses = answer(self.http.get(&document))
            .await
            .with_context(|| format!("the provider is not at {document}"))?;
        ensure!(
            addresses.issuer.trim_end_matches('/') == issuer,
            "{document} is of another issuer, {}",
            addresses.issuer
        );
        let keys = answer(self.http.get(&addresses.jwks_uri))
            .await
            .context("the provider does not tell its keys")?;
        let known = Known { addresses, keys };
        *lock() = Some((Instant::now(), known.clone()));
        Ok(known)
    }

    fn callback(&self) -> anyhow::Result<Url> {
        Ok(self.config.own_url.join(CALLBACK)?)
    }
}

async fn answer<T: DeserializeOwned>(asked: reqwest::RequestBuilder) -> anyhow::Result<T> {
    let mut response = asked.send().await?.error_for_status()?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        ensure!(body.len() <= BYTES_MOST, "the answer is larger than 1 MiB");
    }
    Ok(serde_json::from_slice(&body)?)
}
