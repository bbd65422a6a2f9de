//! The scripts that start a broker, on machines where what it needs is missing.

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::{stderr, stdout};

/// A machine with these programs, and no others.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new(programs: &[&str]) -> Result<Self> {
        let machine = Self(tempfile::tempdir()?);
        fs::create_dir(machine.path("bin"))?;
        programs.iter().try_for_each(|program| machine.add(program, program))?;
        Ok(machine)
    }

    /// Calls a program of this machine `name` there.
    fn add(&self, name: &str, program: &str) -> Result<()> {
        let folders = env::var_os("PATH").context("PATH")?;
        let found =
            env::split_paths(&folders).find_map(|folder| folder.join(program).canonicalize().ok());
        symlink(found.context(program.to_owned())?, self.path("bin").join(name))?;
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(self.path("bin").join("bash"));
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts").join(name));
        command.env("PATH", self.path("bin")).env("XDG_CACHE_HOME", self.path("cache"));
        command.env_remove("KAFKA_BOOTSTRAP").env_remove("EXIT").stdin(Stdio::null());
        command
    }
}

#[test]
fn a_broker_says_what_to_install_where_java_or_maven_is_missing() -> Result<()> {
    let machine = Machine::new(&["bash", "dirname", "mkdir", "sha256sum", "cut"])?;
    let check = |arguments: &[&str], said: &str| -> Result<()> {
        let output = machine.script("kafka.sh").args(arguments).output()?;
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        ensure!(stderr(&output).trim_end() == said, "{}", stderr(&output));
        Ok(())
    };
    let folder = machine.path("kafka").display().to_string();
    let java = "missing: java, which Kafka needs; install it with: apt-get install openjdk-17-jre-headless";
    let maven = "missing: mvn, which Kafka needs; install it with: apt-get install maven";
    check(&["start", "1", &folder], java)?;
    check(&["fetch"], java)?;
    // It is looked for, and not started yet.
    machine.add("java", "true")?;
    check(&["start", "1", &folder], maven)?;
    check(&["fetch"], maven)?;
    assert_eq!(fs::read_dir(&folder)?.count(), 0);
    Ok(())
}

/// In the place of the command: its mock cluster is the real one, its demo only looks whether that listens.
const DEMO: &str = r#"#!/usr/bin/env bash
if [ "$1" = mock-kafka ]; then exec 'COMMAND' "$@"; fi
broker=${SUBAK_CONN_KAFKA_MAIN##*'"host": "'}
broker=${broker%%'"'*}
(: <"/dev/tcp/${broker%:*}/${broker##*:}") && echo "subak $* on $broker"
"#;

#[test]
fn the_demo_runs_on_the_mock_cluster_where_there_is_no_broker() -> Result<()> {
    let machine = Machine::new(&["bash", "dirname", "mkdir", "rm", "sleep", "tail"])?;
    // What is called so here may be a script that looks for it.
    let python = ["-c", "import sys; print(sys.executable)"];
    let python = Command::new("python3").args(python).output().context("python3")?;
    machine.add("python3", stdout(&python).trim())?;
    // What it would build is built.
    machine.add("cargo", "true")?;
    let built = machine.path("target").join("debug");
    fs::create_dir_all(&built)?;
    fs::write(built.join("subak"), DEMO.replace("COMMAND", env!("CARGO_BIN_EXE_subak")))?;
    fs::set_permissions(built.join("subak"), fs::Permissions::from_mode(0o755))?;
    let mut script = machine.script("run.sh");
    script.env("CARGO_TARGET_DIR", machine.path("target")).env("SUBAK_DATA", machine.path("data"));
    let output = script.output()?;
    ensure!(output.status.success(), "{} {}", output.status, stderr(&output));
    let mock = fs::read_to_string(machine.path("data").join("mock-kafka"))?;
    ensure!(mock.starts_with("127.0.0.1:"), "{mock}");
    assert_eq!(stdout(&output), format!("subak demo --users on {mock}"));
    ensure!(!machine.path("data").join("kafka").exists());
    Ok(())
}
