//! An installation, a topic, a table, and the DAG between them.

use anyhow::{Context as _, Result, ensure};
use subak_core::ids::RunKey;
use subak_testkit::kafka::{Broker, NewRecord};
use subak_testkit::peek;
use subak_testkit::stack::{Database, Stack, StackOptions};

/// The DAG's id.
pub(super) const DAG: &str = "drain";

/// See the module.
pub(super) struct World {
    pub(super) stack: Stack,
    pub(super) warehouse: Database,
    pub(super) topic: String,
    runs: usize,
}

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) run: RunKey,
    pub(super) run_id: String,
    /// `task state`.
    pub(super) tasks: Vec<String>,
    /// Of all tries, the oldest first.
    pub(super) errors: String,
}

/// How the world is wanted.
pub(super) struct Wanted<'a> {
    pub(super) about: &'a str,
    pub(super) partitions: i32,
    /// Of the topic.
    pub(super) config: &'a [(&'a str, &'a str)],
    /// Further arguments of the task that reads.
    pub(super) consume: &'a str,
    pub(super) workers: usize,
    /// Of `default_args`.
    pub(super) defaults: &'a str,
    /// Of its workers, besides.
    pub(super) env: &'a [(&'static str, &'static str)],
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self {
            about: "",
            partitions: 1,
            config: &[],
            consume: "",
            workers: 1,
            defaults: "retries: 0",
            env: &[],
        }
    }
}

impl World {
    pub(super) async fn new(broker: &Broker, wanted: &Wanted<'_>) -> Result<Self> {
        let topic = broker.topic(wanted.about, wanted.partitions, wanted.config).await?;
        let stack = Stack::start(StackOptions {
            binary: env!("CARGO_BIN_EXE_subak").into(),
            servers: 1,
            workers: wanted.workers,
            slots: Some(4),
            lease_secs: 2,
            env: wanted.env.to_vec(),
        })
        .await?;
        stack.add_broker("broker", broker).await?;
        let warehouse = stack.add_database("warehouse").await?;
        let table =
            "CREATE TABLE record (id bigint, name text, _partition integer, _offset bigint)";
        warehouse.run(table).await?;
        let world = Self { stack, warehouse, topic, runs: 0 };
        let dag = world.dag(wanted.consume, wanted.defaults, LOAD);
        world.stack.add_dag(DAG, &dag).await.with_context(|| world.stack.logs())?;
        Ok(world)
    }

    /// A DAG file with these arguments, and these tasks below.
    pub(super) fn dag(&self, consume: &str, defaults: &str, loads: &str) -> String {
        let topic = &self.topic;
        format!(
            "dag_id: {DAG}\nmax_active_runs: 4\ndefault_args: {{{defaults}}}\ntasks:\n  \
             read:\n    operator: kafka.consume\n    with:\n      connection: broker\n      \
             topic: {topic}\n      columns: {{id: {{path: id, type: bigint}}, name: n.first}}\n      \
             {consume}\n{loads}"
        )
    }

    /// Triggers a run and waits for its end.
    pub(super) async fn run(&mut self) -> Result<Ended> {
        let (run, run_id) = self.trigger().await?;
        self.end_of(run, run_id).await
    }

    pub(super) async fn trigger(&mut self) -> Result<(RunKey, String)> {
        self.trigger_with("{}").await
    }

    /// Triggers a run with this `conf`.
    pub(super) async fn trigger_with(&mut self, conf: &str) -> Result<(RunKey, String)> {
        self.runs += 1;
        let run_id = format!("run-{}", self.runs);
        Ok((self.stack.trigger_with(DAG, &run_id, conf).await?, run_id))
    }

    pub(super) async fn end_of(&self, run: RunKey, run_id: String) -> Result<Ended> {
        self.stack.ended(run).await.with_context(|| self.stack.logs())?;
        let tasks = peek::ended_tasks(&self.stack.store, run).await?;
        let errors = format!(
            "SELECT error FROM try_history WHERE run_key = {} AND error IS NOT NULL ORDER BY token",
            run.0
        );
        let errors = self.stack.metadata().texts(&errors).await?.join("\n");
        Ok(Ended { run, run_id, tasks, errors })
    }

    /// Runs and expects every task to succeed.
    pub(super) async fn succeed(&mut self) -> Result<Ended> {
        let ended = self.run().await?;
        let all = ended.tasks.iter().all(|task| task.ends_with(" success"));
        ensure!(all && ended.tasks.len() > 1, "{ended:#?}\n{}", self.stack.logs());
        Ok(ended)
    }

    /// Runs and expects that there is nothing to read.
    pub(super) async fn find_nothing(&mut self) -> Result<()> {
        self.find_nothing_of(&["load skipped", "read skipped"]).await
    }

    /// Runs and expects these ends of a run that finds nothing to read.
    pub(super) async fn find_nothing_of(&mut self, ends: &[&str]) -> Result<()> {
        let ended = self.run().await?;
        ensure!(ended.tasks == ends, "{ended:#?}");
        Ok(())
    }

    /// One number of the warehouse.
    pub(super) async fn number(&self, sql: &str) -> Result<i64> {
        self.warehouse.number(sql).await
    }

    /// `partition:next offset` of the ledger.
    pub(super) async fn ledger(&self) -> Result<String> {
        let rows = "SELECT partition || ':' || next_offset FROM subak_offsets
                    ORDER BY load_task, partition";
        Ok(self.warehouse.texts(rows).await?.join(" "))
    }

    /// The states of all ranges, the oldest first.
    pub(super) async fn ranges(&self) -> Result<Vec<String>> {
        self.stack.metadata().texts("SELECT state FROM topic_range ORDER BY sequence").await
    }

    /// What the audit log has of ranges, the oldest first.
    pub(super) async fn settled(&self) -> Result<Vec<String>> {
        let records = "SELECT concat_ws(' ', event, via, dag_id, task_id, subject) FROM audit
                       WHERE event LIKE '%range' ORDER BY audit_id";
        self.stack.metadata().texts(records).await
    }

    /// Every record of the table is there once, and these many.
    pub(super) async fn check(&self, expected: i64) -> Result<()> {
        let rows = self.number("SELECT count(*) FROM record").await?;
        let distinct = self.number("SELECT count(DISTINCT id) FROM record").await?;
        ensure!(
            (rows, distinct) == (expected, expected),
            "{rows} rows, {distinct} ids, not {expected}"
        );
        Ok(())
    }
}

/// The load of the usual DAG.
pub(super) const LOAD: &str = "  load:
    operator: postgres.load
    with:
      connection: warehouse
      input: '{{ tasks.read.output }}'
      table: record
      columns: {id: id, name: name, _partition: _partition, _offset: _offset}
";

/// Good records with these ids.
pub(super) fn records(
    ids: std::ops::Range<i64>,
) -> impl Iterator<Item = NewRecord> + Send + 'static {
    ids.map(|id| NewRecord {
        value: Some(
            format!(r#"{{"id": {id}, "n": {{"first": "name {id}"}}, "more": [1, 2]}}"#).into(),
        ),
        ..NewRecord::default()
    })
}

/// One record with this key.
pub(super) fn keyed(key: &str, id: Option<i64>) -> NewRecord {
    NewRecord {
        key: Some(key.into()),
        value: id.map(|id| format!(r#"{{"id": {id}}}"#).into()),
        ..NewRecord::default()
    }
}
