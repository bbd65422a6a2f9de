//! Lists that live, the first page among them: how they are looked at, and what the open ones show; who looks
//! at the same looks once.

use std::convert::Infallible;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use futures::Stream;
use serde::de::DeserializeOwned;
use subak_store::Pool;
use subak_store::read::{LetterRecord, Page, RunRecord};
use subak_web::pieces::Pieces;

use super::viewer::Viewer;
use super::watch::{APART, Look, Looks, Shown, watch};
use super::{dag, dags, home, map, workers};
use crate::app::App;
use crate::extract::Query;
use crate::problem::ApiError;

/// What is seen of a list.
pub(super) trait List: Debug + Send + Sync + Sized + 'static {
    /// What its address asks for.
    type Query: Clone + Eq + Hash + DeserializeOwned + Send + Sync + 'static;

    fn looks(app: &App) -> &LooksAt<Self>;

    fn find(
        app: &App,
        viewer: &Viewer,
        query: &Self::Query,
    ) -> impl Future<Output = Result<Self, ApiError>> + Send;

    /// The part of its page that lives.
    fn markup(look: &Look<Self>, query: &Self::Query, viewer: &Viewer) -> String;
}

/// Looks that were taken at a list, by whose DAGs may be seen and what is asked for.
pub(super) type LooksAt<L> = Looks<(Option<Vec<String>>, <L as List>::Query), L>;

/// What was seen of lists.
#[derive(Clone)]
pub(crate) struct Lists {
    pub(super) dags: Arc<LooksAt<dags::Listed>>,
    pub(super) home: Arc<LooksAt<home::Seen>>,
    /// A DAG's page, by its id and the offset of its runs.
    pub(super) dag: Arc<Looks<(String, i64), dag::Seen>>,
    /// Mapped tasks of runs.
    pub(super) maps: Arc<Looks<map::Asked, map::Seen>>,
    pub(super) runs: Arc<LooksAt<Page<RunRecord>>>,
    pub(super) letters: Arc<LooksAt<Page<LetterRecord>>>,
    pub(super) pools: Arc<LooksAt<Page<Pool>>>,
    pub(super) workers: Arc<LooksAt<Page<workers::Seen>>>,
}

impl Lists {
    /// Looks that serve others for so long.
    pub(crate) fn new(fresh: Duration) -> Self {
        Self {
            dags: Arc::new(Looks::new(fresh)),
            home: Arc::new(Looks::new(fresh)),
            dag: Arc::new(Looks::new(fresh)),
            maps: Arc::new(Looks::new(fresh)),
            runs: Arc::new(Looks::new(fresh)),
            letters: Arc::new(Looks::new(fresh)),
            pools: Arc::new(Looks::new(fresh)),
            workers: Arc::new(Looks::new(fresh)),
        }
    }
}

/// Looks at a list for its page.
pub(super) async fn now<L: List>(
    app: &App,
    viewer: &Viewer,
    query: &L::Query,
) -> Result<Arc<Look<L>>, ApiError> {
    let key = (viewer.sight(), query.clone());
    Look::now(L::looks(app), key, || L::find(app, viewer, query)).await
}

/// Sends a list anew whenever it has changed.
pub(super) async fn events<L: List>(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<L::Query>,
    shown: Shown,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (stop, shared) = (app.stop.clone(), Arc::new((app, viewer, query)));
    watch(stop, APART, shown, move || {
        let shared = Arc::clone(&shared);
        async move {
            let (app, viewer, query) = &*shared;
            let key = (viewer.sight(), query.clone());
            let look = Look::again(L::looks(app), key, || L::find(app, viewer, query)).await?;
            let (print, shared) = (look.print, Arc::clone(&shared));
            Ok((print, move || {
                let (_, viewer, query) = &*shared;
                let draw = || Pieces::cut(&L::markup(&look, query, viewer));
                look.drawn(viewer.eyes(), String::new(), draw)
            }))
        }
    })
}
