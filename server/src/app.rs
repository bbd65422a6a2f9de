//! What handlers share.

use std::sync::Arc;
use std::time::Duration;

use subak_store::Store;
use subak_trace::Traces;
use subak_web::graph::Sight;
use tokio_util::sync::CancellationToken;

use crate::actions::Actions;
use crate::auth::{LoginLimits, Oidc, OidcConfig, SessionCookie};
use crate::counts::{Answered, Counts};
use crate::engine::Engine;
use crate::fresh::Fresh;
use crate::gateway::Requests;
use crate::pages::{Chosen, Lists, Part, View, Watchers};
use crate::previews::Previews;
use crate::probes::Probes;
use crate::topics::Topics;
use crate::versions::Versions;

/// Live parts of runs' pages: by the run's key, where it is shown, the rows and what of the graph is shown,
/// buttons or none, and language.
type RunParts = Fresh<(i64, View, Chosen, Sight, (bool, bool), &'static str), Option<Part>>;

/// Grids: by DAG, the first task shown, and language.
type Grids = Fresh<(String, usize, &'static str), Option<Part>>;

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
    /// Of the runs' pages that are open.
    pub(crate) run_parts: Arc<RunParts>,
    /// Of those that are open.
    pub(crate) grids: Arc<Grids>,
    /// Who watches runs.
    pub(crate) watchers: Watchers,
    /// What open lists and the first page show.
    pub(crate) lists: Lists,
    pub(crate) logins: Arc<LoginLimits>,
    pub(crate) cookie: SessionCookie,
    /// Sign-in by an identity provider.
    pub(crate) oidc: Option<Oidc>,
    pub(crate) traces: Traces,
    /// Streams end when the server does.
    pub(crate) stop: CancellationToken,
}

/// For how long a look at what goes on serves the next one.
const LOOK_FRESH: Duration = Duration::from_millis(1500);

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
            watchers: Watchers::default(),
            lists: Lists::new(LOOK_FRESH),
            run_parts: Arc::new(Fresh::new(Duration::ZERO)),
            grids: Arc::new(Fresh::new(LOOK_FRESH)),
            traces: engine.core.config.traces.clone(),
            store,
            actions: Actions::new(engine),
            logins: Arc::new(LoginLimits::default()),
            cookie: SessionCookie { https },
            oidc: None,
            stop,
        }
    }

    /// The same, where people may also sign in by an identity provider.
    pub fn with_oidc(self, config: OidcConfig) -> anyhow::Result<Self> {
        Ok(Self { oidc: Some(Oidc::new(config)?), ..self })
    }
}
