//! The product as it is run: PostgreSQL, servers and workers, each a process of its own, to be killed
//! at any moment.

mod notes;
mod process;
mod usage;
mod warehouse;

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use subak_core::ids::{DagId, RunKey};
use subak_postgres::PrivatePostgres;
use subak_store::Store;
use tempfile::TempDir;

pub use notes::Notes;
pub use process::{Process, Remains};
pub use usage::Usage;
pub use warehouse::Database;

/// Nothing that is waited for may take longer: the machine of the tests is busy.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Pages are where a port is free.
const ANYWHERE: &str = "127.0.0.1:0";

/// Between two looks at what is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How a stack is wanted.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// The command `subak`.
    pub binary: PathBuf,
    pub servers: usize,
    pub workers: usize,
    /// Of each worker; without, as many as it is shipped with.
    pub slots: Option<u32>,
    pub lease_secs: u64,
    /// What workers find in their environment besides.
    pub env: Vec<(&'static str, &'static str)>,
}

impl StackOptions {
    /// One server, and one worker of four slots.
    #[must_use]
    pub fn small(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            servers: 1,
            workers: 1,
            slots: Some(4),
            lease_secs: 30,
            env: Vec::new(),
        }
    }
}

/// See the module. Every server, and every worker, is known by its place.
#[derive(Debug)]
pub struct Stack {
    pub store: Store,
    options: StackOptions,
    servers: Vec<Process>,
    workers: Vec<Process>,
    /// The state folder of each worker.
    states: Vec<PathBuf>,
    started: usize,
    url: String,
    /// What the tries of `bash` noted.
    pub notes: Notes,
    // The last two: they outlive whoever uses them.
    postgres: PrivatePostgres,
    folder: TempDir,
}

impl Stack {
    /// Starts everything, and returns once all workers have joined.
    pub async fn start(options: StackOptions) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("dags"))?;
        let postgres = PrivatePostgres::temporary().await?;
        postgres.create_database("subak").await?;
        let url = postgres.url("subak");
        let store = Store::connect(&url).await?;
        store.migrate().await?;
        let mut stack = Self {
            store,
            servers: Vec::new(),
            workers: Vec::new(),
            states: Vec::new(),
            started: 0,
            url,
            notes: Notes::make(folder.path())?,
            postgres,
            folder,
            options,
        };
        for place in 0..stack.options.servers {
            let server = stack.new_server(place, ANYWHERE)?;
            stack.servers.push(server);
        }
        for place in 0..stack.options.workers {
            let state = stack.new_state();
            stack.states.push(state);
            let worker = stack.new_worker(place)?;
            stack.workers.push(worker);
        }
        stack.joined().await?;
        Ok(stack)
    }

    /// The folder of everything that is this installation's; paths of tasks lead into it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a DAG file into the folder, and waits until a server has read it.
    pub async fn add_dag(&self, dag_id: &str, text: &str) -> anyhow::Result<()> {
        fs::write(self.folder.path().join("dags").join(format!("{dag_id}.yaml")), text)?;
        let id = DagId::from(dag_id);
        self.until("a DAG to be read", async || Ok(self.store.dag_head(&id).await?.is_some())).await
    }

    /// Puts another version of a DAG file into the folder, and waits until a server has read it.
    pub async fn replace_dag(&self, dag_id: &str, text: &str) -> anyhow::Result<()> {
        let id = DagId::from(dag_id);
        let before = self.store.dag_head(&id).await?.map(|head| head.version);
        fs::write(self.folder.path().join("dags").join(format!("{dag_id}.yaml")), text)?;
        self.until("another version of a DAG", async || {
            Ok(self.store.dag_head(&id).await?.map(|head| head.version) != before)
        })
        .await
    }

    /// Starts a run as people do, by `subak runs trigger`.
    pub async fn trigger(&self, dag_id: &str, run_id: &str) -> anyhow::Result<RunKey> {
        self.trigger_with(dag_id, run_id, "{}").await
    }

    /// Starts a run with this `conf`.
    pub async fn trigger_with(
        &self,
        dag_id: &str,
        run_id: &str,
        conf: &str,
    ) -> anyhow::Result<RunKey> {
        let arguments = ["runs", "trigger", dag_id, "--run-id", run_id, "--conf", conf];
        let output = self.subak(&arguments).await?;
        ensure!(output.status.success(), "triggering: {}", String::from_utf8_lossy(&output.stderr));
        let key = sqlx::query_scalar("SELECT run_key FROM run WHERE run_id = $1");
        Ok(RunKey(key.bind(run_id).fetch_one(self.store.pool()).await?))
    }

    /// Waits until the run has ended; returns how.
    pub async fn ended(&self, run: RunKey) -> anyhow::Result<String> {
        let mut state = String::new();
        self.until("a run to end", async || {
            state = crate::peek::run_state(&self.store, run).await?;
            Ok(matches!(state.as_str(), "success" | "failed"))
        })
        .await?;
        Ok(state)
    }

    /// Waits until each worker has a live session, and no dead one has.
    pub async fn joined(&self) -> anyhow::Result<()> {
        self.until("the workers to join", async || {
            Ok(self.store.workers().await?.len() == self.workers.len())
        })
        .await
    }

    /// Kills a server.
    pub fn kill_server(&mut self, place: usize) -> anyhow::Result<()> {
        self.servers.remove(place).kill().with_context(|| format!("server {place}"))?;
        Ok(())
    }

    /// Starts a server in the place of a killed one.
    pub fn start_server(&mut self, place: usize) -> anyhow::Result<()> {
        self.start_server_at(place, ANYWHERE)
    }

    /// The same, where pages have the address that [`Stack::address`] said of the one before.
    pub fn start_server_at(&mut self, place: usize, address: &str) -> anyhow::Result<()> {
        let server = self.new_server(place, address.trim_start_matches("http://"))?;
        self.servers.insert(place, server);
        Ok(())
    }

    /// Asks a server to end, and returns it: it may take a moment.
    pub fn end_server(&mut self, place: usize) -> anyhow::Result<Process> {
        let server = self.servers.remove(place);
        server.terminate()?;
        Ok(server)
    }

    /// A worker that is to end by itself.
    pub fn take_worker(&mut self, place: usize) -> Process {
        self.workers.remove(place)
    }

    /// Kills a worker.
    pub fn kill_worker(&mut self, place: usize) -> anyhow::Result<Remains> {
        self.workers.remove(place).kill().with_context(|| format!("worker {place}"))
    }

    /// Starts a worker in the place of a killed one: with its state, or as one that nobody knows.
    pub fn start_worker(&mut self, place: usize, keeps_state: bool) -> anyhow::Result<()> {
        if !keeps_state {
            self.states[place] = self.new_state();
        }
        let worker = self.new_worker(place)?;
        self.workers.insert(place, worker);
        Ok(())
    }

    /// Kills PostgreSQL, and starts it again.
    pub async fn crash_postgres(&mut self) -> anyhow::Result<()> {
        self.postgres.kill().await;
        Ok(self.postgres.restart().await?)
    }

    /// Waits until a condition holds; one that cannot be read now is looked at again.
    pub async fn until(
        &self,
        what: &str,
        mut holds: impl AsyncFnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let looked = holds().await;
            if matches!(looked, Ok(true)) {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}: {looked:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What servers and workers have used so far.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        let mut processes = self.servers.iter().chain(&self.workers);
        processes.try_fold(Usage::default(), |all, one| Ok(all + Usage::of(one.id())?))
    }

    /// What a server has used so far.
    pub fn usage_of_server(&self, place: usize) -> anyhow::Result<Usage> {
        Usage::of(self.servers[place].id())
    }

    /// Where the pages of a server are, as its log says.
    pub fn address(&self, place: usize) -> anyhow::Result<String> {
        let log = self.servers[place].log()?;
        let said = log.split("http=").nth(1).and_then(|rest| rest.split_whitespace().next());
        let address = said.with_context(|| format!("no address in the log:\n{log}"))?;
        Ok(format!("http://{address}"))
    }

    /// The end of every log.
    #[must_use]
    pub fn logs(&self) -> String {
        let processes = self.servers.iter().chain(&self.workers);
        processes.map(Process::log_tail).collect::<Vec<_>>().join("\n")
    }

    fn new_server(&mut self, place: usize, pages: &str) -> anyhow::Result<Process> {
        let (listen, dags) = (self.socket(place), self.folder.path().join("dags"));
        let lease = self.options.lease_secs.to_string();
        let arguments = ["server", "--listen", pages, "--lease-secs", &lease, "--name"];
        let name = format!("server-{place}");
        let mut arguments = arguments.map(OsStr::new).to_vec();
        arguments.extend([&name, "--workers-listen", &listen, "--dags"].map(OsStr::new));
        arguments.push(dags.as_os_str());
        let home = self.new_home(&name);
        let key = "00".repeat(32);
        let storage = self.storage().display().to_string();
        let env = [
            ("SUBAK_DATABASE_URL", self.url.as_str()),
            ("SUBAK_SECRET_KEY", &key),
            ("SUBAK_STORAGE", &storage),
        ];
        Process::start(&self.options.binary, home, &arguments, &env)
    }

    fn new_worker(&mut self, place: usize) -> anyhow::Result<Process> {
        let name = format!("worker-{place}");
        let queue = self.options.slots.map(|slots| format!("default={slots}"));
        let listen: Vec<String> = (0..self.options.servers).map(|n| self.socket(n)).collect();
        let mut arguments = ["worker", "--name", &name].map(OsStr::new).to_vec();
        if let Some(queue) = &queue {
            arguments.extend(["--queue", queue].map(OsStr::new));
        }
        for socket in &listen {
            arguments.extend(["--server", socket].map(OsStr::new));
        }
        let home = self.new_home(&name);
        arguments.extend([OsStr::new("--state"), self.states[place].as_os_str()]);
        arguments.extend([OsStr::new("--files"), self.folder.path().as_os_str()]);
        let storage = self.storage().display().to_string();
        let mut env = vec![("SUBAK_STORAGE", storage.as_str())];
        env.extend(self.options.env.iter().copied());
        Process::start(&self.options.binary, home, &arguments, &env)
    }

    /// The storage that all of them share.
    #[must_use]
    pub fn storage(&self) -> PathBuf {
        self.folder.path().join("storage")
    }

    /// Runs `subak` on this installation as people do, from any folder.
    pub async fn subak(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.subak_with_input(arguments, "").await
    }

    /// Runs the command likewise, and tells it something.
    pub async fn subak_with_input(
        &self,
        arguments: &[&str],
        input: &str,
    ) -> anyhow::Result<Output> {
        let storage = self.storage().display().to_string();
        let key = "00".repeat(32);
        let env = [
            ("SUBAK_DATABASE_URL", self.url.as_str()),
            ("SUBAK_SECRET_KEY", &key),
            ("SUBAK_STORAGE", &storage),
        ];
        let mut command = process::command(&self.options.binary, &env);
        command.args(arguments).current_dir(self.folder.path());
        if input.is_empty() {
            return Ok(tokio::task::spawn_blocking(move || command.output()).await??);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let input = input.to_owned();
        let running = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn()?;
            // Dropped at once, so that the command sees its end.
            child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()))?;
            child.wait_with_output()
        });
        Ok(running.await??)
    }

    fn socket(&self, place: usize) -> String {
        format!("unix://{}", self.folder.path().join(format!("{place}.sock")).display())
    }

    /// A folder that no other process has.
    fn new_home(&mut self, name: &str) -> PathBuf {
        self.started += 1;
        self.folder.path().join(format!("{}-{name}", self.started))
    }

    fn new_state(&mut self) -> PathBuf {
        self.started += 1;
        self.folder.path().join(format!("state-{}", self.started))
    }
}
