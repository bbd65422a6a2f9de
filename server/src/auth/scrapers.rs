//! Who scrapes metrics is remembered for a while: metrics are wanted most when the database, which alone
//! knows who anybody is, does not answer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::caller::Caller;
use super::standing::{Print, Proof};
use crate::app::App;
use crate::problem::ApiError;

/// The route.
const METRICS: &str = "/metrics";

/// A database that says who asks does so within this time.
const PATIENCE: Duration = Duration::from_secs(2);

/// So long somebody is believed to be who they were when the database last said so.
const BELIEVED: Duration = Duration::from_secs(15 * 60);

/// Those that are remembered at most; beyond it all are forgotten.
const MOST: usize = 256;

/// See the module.
#[derive(Default)]
pub(crate) struct Scrapers(Mutex<HashMap<Print, (Instant, Caller)>>);

/// Whether metrics are asked for.
pub(super) fn is_scrape(route: Option<&str>) -> bool {
    route == Some(METRICS)
}

impl Scrapers {
    /// Whose a proof is, or was when the database could last be asked.
    pub(super) async fn caller(
        &self,
        app: &App,
        proof: &Proof,
    ) -> Result<Option<Caller>, ApiError> {
        let print = proof.print();
        match timeout(PATIENCE, proof.caller(app)).await {
            Ok(Ok(found)) => {
                self.note(print, found.clone());
                Ok(found)
            }
            Ok(Err(ApiError::Unavailable(why))) => {
                self.known(print).map(Some).ok_or(ApiError::Unavailable(why))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let why = "the metadata database does not answer: try again";
                self.known(print).map(Some).ok_or_else(|| ApiError::Unavailable(why.to_owned()))
            }
        }
    }

    fn note(&self, print: Print, found: Option<Caller>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(&print) {
            all.clear();
        }
        match found {
            Some(caller) => all.insert(print, (Instant::now(), caller)),
            None => all.remove(&print),
        };
    }

    fn known(&self, print: Print) -> Option<Caller> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, caller) = all.get(&print)?;
        (at.elapsed() < BELIEVED).then(|| caller.clone())
    }
}
