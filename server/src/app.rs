//! What handlers share.

use std::sync::Arc;

use subak_store::Store;
use tokio_util::sync::CancellationToken;

use crate::actions::Actions;
use crate::auth::{LoginLimits, SessionCookie};
use crate::counts::{Answered, Counts};
use crate::engine::Engine;
use crate::gateway::Requests;
use crate::previews::Previews;
use crate::probes::Probes;
use crate::topics::Topics;
use crate::versions::Versions;

/// The state of the router. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub(crate) store: Store,
    pub(crate) actions: Actions,
    pub(crate) previews: Previews,
    pub(crate) probes: Probes,
    pub(crate) topics: Topics,
    pub(crate) counts: Counts,
    pub(crate) answered: Answered,
    pub(crate) versions: Arc<Versions>,
    pub(crate) logins: Arc<LoginLimits>,
    pub(crate) cookie: SessionCookie,
    /// Streams end when the server does.
    pub(crate) stop: CancellationToken,
}

impl App {
    /// Joins what handlers need. `requests` reach the workers of the engine's server; `https`: browsers
    /// reach the server by TLS, its own or a proxy's; streams to browsers end at `stop`.
    #[must_use]
    pub fn new(
        store: Store,
        engine: Engine,
        requests: Requests,
        https: bool,
        stop: CancellationToken,
    ) -> Self {
        Self {
            previews: Previews::new(engine.clone(), requests.clone()),
            probes: Probes::new(engine.clone(), requests.clone()),
            topics: Topics::new(store.clone(), engine.clone(), requests),
            counts: Counts::default(),
            answered: Answered::default(),
            versions: Arc::new(Versions::new(store.clone())),
            store,
            actions: Actions::new(engine),
            logins: Arc::new(LoginLimits::default()),
            cookie: SessionCookie { https },
            stop,
        }
    }
}
