//! A worker whose tries end when the test says so.

use std::collections::VecDeque;

use serde_json::Value;
use subak_proto::Assignment;
use subak_server::engine::{
    Answer, EmbeddedWorker, Engine, Outcome, Told, TryReport, XComReport, fence,
};
use subak_store::engine::Fence;
use tokio::time::timeout;

use crate::world::PATIENCE;

/// See the module.
pub(crate) struct Hands {
    worker: EmbeddedWorker,
    /// What was told and not asked for yet.
    told: VecDeque<Told>,
}

/// A try that it was given.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) number: u32,
    pub(crate) fence: Fence,
    pub(crate) timeout_micros: u64,
    /// The operator's arguments.
    pub(crate) with: Value,
    /// What it is mapped over, or its group.
    pub(crate) item: Value,
}

impl Held {
    fn of(run: &Assignment) -> Self {
        Self {
            number: run.try_number,
            fence: fence(run.r#try.as_ref().expect("an assignment names its try")),
            timeout_micros: run.timeout_micros,
            with: serde_json::from_slice::<Value>(&run.task)
                .map(|task| task["with"].clone())
                .unwrap_or_default(),
            item: (run.item.as_ref())
                .and_then(|item| serde_json::from_slice(&item.value).ok())
                .unwrap_or_default(),
        }
    }
}

impl Hands {
    pub(crate) fn new(worker: EmbeddedWorker) -> Self {
        Self { worker, told: VecDeque::new() }
    }

    pub(crate) fn session(&self) -> i64 {
        self.worker.session()
    }

    /// Waits for a try of this task; what comes before it is kept for later.
    pub(crate) async fn given(&mut self, task: &str) -> Held {
        let waiting = self.take(|told| match told {
            Told::Run(run) if run.task_id == task => Some(Held::of(run)),
            _ => None,
        });
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{task} is not handed over"))
    }

    /// Waits for a try of any of these tasks.
    pub(crate) async fn first(&mut self, tasks: &[&str]) -> (String, Held) {
        let waiting = self.take(|told| match told {
            Told::Run(run) if tasks.contains(&run.task_id.as_str()) => {
                Some((run.task_id.clone(), Held::of(run)))
            }
            _ => None,
        });
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("none of {tasks:?} comes"))
    }

    /// Waits for the word to end this try; returns the reason.
    pub(crate) async fn stopped(&mut self, held: &Held) -> String {
        let waiting = self.take(|told| match told {
            Told::Stop { fence, reason } if *fence == held.fence => Some(reason.clone()),
            _ => None,
        });
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{held:?} is not stopped"))
    }

    /// Waits for the word to end this try well. What was said before is forgotten.
    pub(crate) async fn yielded(&mut self, held: &Held) {
        self.told.retain(|told| !matches!(told, Told::Yield { .. }));
        let waiting = self.take(|told| match told {
            Told::Yield { fence } if *fence == held.fence => Some(()),
            _ => None,
        });
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{held:?} is not to yield"));
    }

    /// Whether the word to end this try well is among what was heard and not asked for.
    pub(crate) fn is_to_yield(&self, held: &Held) -> bool {
        self.told.iter().any(|told| matches!(told, Told::Yield { fence } if *fence == held.fence))
    }

    /// Renews the lease; false once the session is dead.
    pub(crate) async fn renew(&self) -> anyhow::Result<bool> {
        self.worker.renew().await
    }

    /// Ends a try.
    pub(crate) async fn end(&self, held: &Held, outcome: Outcome) -> Answer {
        let report = TryReport::bare(held.fence, outcome, None);
        timeout(PATIENCE, self.worker.report(report)).await.expect("a report is answered")
    }

    /// Ends a try with what it returned.
    pub(crate) async fn end_with(&self, held: &Held, outcome: Outcome, result: Value) -> Answer {
        let bare = TryReport::bare(held.fence, outcome, None);
        let report = TryReport {
            xcoms: vec![XComReport {
                key: "return_value".to_owned(),
                value: result,
                ..XComReport::default()
            }],
            ..bare
        };
        timeout(PATIENCE, self.worker.report(report)).await.expect("a report is answered")
    }

    /// Ends a try through another server, until it is answered.
    pub(crate) async fn end_at(&self, engine: &Engine, held: &Held, outcome: Outcome) -> Answer {
        let report = || TryReport::bare(held.fence, outcome, None);
        let reporting = async {
            loop {
                let answer = engine.reports().report(report()).await;
                if answer != Answer::Later {
                    return answer;
                }
            }
        };
        timeout(PATIENCE, reporting).await.expect("a report is answered")
    }

    /// Tries that it was given and that nobody asked for.
    pub(crate) fn unasked(&self) -> Vec<String> {
        let runs = self.told.iter().filter_map(|told| match told {
            Told::Run(run) => Some(run.task_id.clone()),
            Told::Stop { .. } | Told::Yield { .. } => None,
        });
        runs.collect()
    }

    async fn take<T>(&mut self, wanted: impl Fn(&Told) -> Option<T>) -> T {
        loop {
            let found = self.told.iter().enumerate().find_map(|(at, t)| Some((at, wanted(t)?)));
            if let Some((at, found)) = found {
                self.told.remove(at);
                return found;
            }
            let told = self.worker.next().await;
            assert!(!told.is_empty(), "the session has ended");
            self.told.extend(told);
        }
    }
}
