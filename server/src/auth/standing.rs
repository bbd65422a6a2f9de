//! Who listens to a stream is asked for again while it is open: it ends once they have signed out, are
//! disabled, or may do something else.
//!
//! All streams of one session or token ask at the same instants, so that one question serves them all;
//! those of others ask at other instants.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep_until};

use super::caller::{Caller, Via};
use super::gate::bearer;
use crate::app::App;
use crate::fresh::Fresh;
use crate::problem::ApiError;

/// Between two questions about one session that has streams open.
const APART: Duration = Duration::from_secs(4);

/// What a request has to prove who sends it.
#[derive(Clone)]
pub(super) enum Proof {
    Session(String),
    Token(String),
}

/// A digest of a proof: the secret itself is not kept.
pub(super) type Print = [u8; 32];

/// What was last found of those who have streams open.
pub(crate) struct Standings(Fresh<Print, Standing>);

/// Whose a proof is now.
#[derive(Clone)]
enum Standing {
    Is(Caller),
    Nobody,
    /// The database is away for a moment.
    Unknown,
}

impl Proof {
    /// The proof that a request has, if any.
    pub(super) fn of(app: &App, headers: &HeaderMap) -> Option<Self> {
        if headers.contains_key(header::AUTHORIZATION) {
            return bearer(headers).map(|token| Self::Token(token.to_owned()));
        }
        app.cookie.read(headers).map(Self::Session)
    }

    /// Whose it is, with what they may do now; `None`: it is worth nothing.
    pub(super) async fn caller(&self, app: &App) -> Result<Option<Caller>, ApiError> {
        let (found, via) = match self {
            Self::Session(session) => {
                let user = app.store.web_session_user(session).await?;
                (user.map(|user| (user, None)), Via::Cookie)
            }
            Self::Token(token) => (app.store.api_token_user(token).await?, Via::Token),
        };
        let Some((user, scope)) = found else { return Ok(None) };
        let granted = match user.has_grants {
            true => app.store.granted_dags(user.user_id).await?,
            false => BTreeMap::new(),
        };
        Ok(Some(Caller::new(user, via, scope, granted)))
    }

    pub(super) fn print(&self) -> Print {
        let (Self::Session(secret) | Self::Token(secret)) = self;
        Sha256::digest(secret.as_bytes()).into()
    }
}

impl Default for Standings {
    fn default() -> Self {
        Self(Fresh::new(Duration::ZERO))
    }
}

impl Standings {
    /// Ends a stream once whoever it was begun for is not what they were; other answers stay as they are.
    pub(super) fn bind(
        self: Arc<Self>,
        app: App,
        proof: Proof,
        caller: Caller,
        answer: Response,
    ) -> Response {
        let kind = answer.headers().get(header::CONTENT_TYPE).map(|kind| kind.as_bytes());
        if !kind.is_some_and(|kind| kind.starts_with(b"text/event-stream")) {
            return answer;
        }
        let over = async move { self.until_changed(&app, &proof, &caller).await };
        answer.map(|body| Body::from_stream(body.into_data_stream().take_until(over)))
    }

    async fn until_changed(&self, app: &App, proof: &Proof, was: &Caller) {
        let print = proof.print();
        loop {
            let tick = next_tick(print, Instant::now());
            sleep_until(tick).await;
            let ask = || async {
                match proof.caller(app).await {
                    Ok(Some(caller)) => Standing::Is(caller),
                    Ok(None) => Standing::Nobody,
                    Err(_) => Standing::Unknown,
                }
            };
            match self.0.get_since(tick, print, ask).await {
                Standing::Unknown => {}
                Standing::Is(now) if now.may_as(was) => {}
                Standing::Is(_) | Standing::Nobody => return,
            }
        }
    }
}

/// The next of the instants at which the streams of this session ask.
fn next_tick(print: Print, now: Instant) -> Instant {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    let apart = APART.as_micros();
    let phase = apart * u128::from(print[0]) / 256;
    let passed = now.saturating_duration_since(*FIRST).as_micros() + phase;
    let left = apart - passed % apart;
    now + Duration::from_micros(u64::try_from(left).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_session_ask_at_the_same_instants() {
        let print = Proof::Session("one".to_owned()).print();
        let now = Instant::now();
        let tick = next_tick(print, now);
        assert!(tick > now && tick <= now + APART, "{tick:?}");
        let between = now + (tick - now) / 2;
        let again = next_tick(print, between);
        let apart = again.max(tick) - again.min(tick);
        assert!(apart < Duration::from_millis(1), "{apart:?}");
        assert!(next_tick(print, tick + Duration::from_millis(1)) > tick + APART / 2);
        assert_ne!(print, Proof::Token("other".to_owned()).print());
    }
}
