//! The user pipeline as it is shipped, fed by an API whose answers are broken in every way: the table has
//! exactly the users, the dead letters exactly what is none, each with all of its reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use subak_testkit::stack::Stack;

use super::{shipped, stack, topic};

/// Records that the API has.
const RECORDS: usize = 3_000;

/// All that may be wrong with a record or with an answer.
const KINDS: [&str; 16] = [
    "first",
    "last",
    "email",
    "email_form",
    "city",
    "country",
    "blank",
    "missing",
    "two",
    "list",
    "text",
    "utf8",
    "html",
    "cut",
    "error",
    "array",
];

/// The columns of `users` that a record decides about.
const COLUMNS: &str = "user_uuid, title, first_name, last_name, email, street_address, city, state, country, \
                       postcode, phone_cleaned, cell_cleaned, dob_date, age_at_ingestion, picture_thumbnail_url";

/// The API, until it is dropped.
struct Api {
    process: Child,
    log: PathBuf,
    port: String,
}

/// What the API says of a record that it sent.
#[derive(Debug)]
struct Sent {
    raw: Vec<u8>,
    bad: Option<String>,
    row: Value,
}

impl Api {
    fn start(folder: &Path) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/users_api.py");
        let log = folder.join("users.jsonl");
        let mut process = Command::new("python3")
            .arg(script)
            .args(["--bad", "0.03", "--total", &RECORDS.to_string(), "--log"])
            .arg(&log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context(
                "python3 is needed for the users API: install it with apt-get install python3",
            )?;
        let mut address = String::new();
        let output = process.stdout.take().context("the API's output")?;
        BufReader::new(output).read_line(&mut address)?;
        let port = address.trim().rsplit(':').next().unwrap_or_default().to_owned();
        Ok(Self { process, log, port })
    }

    /// How many records were sent; `read` is how far the log was read before, and how many were in that.
    fn count(&self, read: &mut (u64, usize)) -> Result<usize> {
        let mut log = File::open(&self.log)?;
        log.seek(SeekFrom::Start(read.0))?;
        let mut more = Vec::new();
        read.0 += u64::try_from(log.read_to_end(&mut more)?)?;
        read.1 += more.iter().filter(|byte| **byte == b'\n').count();
        Ok(read.1)
    }

    /// Everything that was sent, in order.
    fn sent(&self) -> Result<Vec<Sent>> {
        let text = std::fs::read_to_string(&self.log)?;
        text.lines().map(sent).collect()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn sent(line: &str) -> Result<Sent> {
    let mut line: Value = serde_json::from_str(line)?;
    Ok(Sent {
        raw: BASE64_STANDARD.decode(line["raw"].as_str().unwrap_or_default())?,
        bad: line["bad"].as_str().map(str::to_owned),
        row: line["row"].take(),
    })
}

/// The reasons that a bad record must be rejected for: a part of each, or nothing where another part says
/// enough.
fn reasons(bad: &str) -> &'static [&'static str] {
    match bad {
        "first" | "blank" => &["first_name"],
        "last" => &["last_name"],
        "email" => &["email", "empty"],
        "email_form" => &["email"],
        "city" => &["city"],
        "country" => &["country"],
        "missing" => &["city", "country"],
        "two" => &["last_name", "city"],
        "list" | "text" => &["no JSON object"],
        "utf8" => &["not UTF-8"],
        "html" | "cut" | "array" => &["JSON"],
        "error" => &["first_name", "last_name", "email", "city", "country"],
        other => panic!("what is wrong with `{other}`?"),
    }
}

/// The users that there must be, as JSON texts by e-mail address: the last one of each.
fn users(sent: &[Sent]) -> BTreeMap<String, Value> {
    let good = sent.iter().filter(|sent| sent.bad.is_none());
    good.map(|sent| (sent.row["email"].as_str().unwrap_or_default().to_owned(), sent.row.clone()))
        .collect()
}

async fn count(stack: &Stack, sql: &str) -> Result<usize> {
    Ok(usize::try_from(stack.metadata().number(sql).await?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_loaded_and_all_else_is_a_dead_letter() -> Result<()> {
    let (stack, broker) = stack(8).await?;
    let warehouse = stack.add_database("warehouse").await?;
    let api = Api::start(stack.folder())?;
    let added = [
        "connections",
        "add",
        "users_api",
        "--type",
        "http",
        "--host",
        "http://127.0.0.1",
        "--port",
        &api.port,
    ];
    let added = stack.subak(&added).await?;
    ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let (raw, clean) = (topic(broker, "users", 3).await?, topic(broker, "clean", 2).await?);
    let topics = [("randomuser-topic", raw.as_str()), ("randomuser-topic-clean", clean.as_str())];
    for dag in ["clean_users", "load_users", "produce_users"] {
        let text = shipped(&format!("user_registration/{dag}.yaml"), &topics)?;
        let text =
            text.replace("interval: 10s", "interval: 0.1s").replace("results=10", "results=40");
        // Only when this test says so.
        let text = text.replace("\"*/5 * * * *\"", "null").replace("start_date: 2026-01-01\n", "");
        stack.add_dag(dag, &text).await?;
        let unpaused = stack.subak(&["dags", "unpause", dag]).await?;
        ensure!(unpaused.status.success(), "{}", String::from_utf8_lossy(&unpaused.stderr));
    }
    // Until all that was sent is either clean or a dead letter.
    let written = "SELECT coalesce(sum((value ->> 'records')::int), 0) FROM xcom WHERE value ->> 'topic' LIKE 'clean%'
                   AND value -> 'range' IS NULL";
    let letters = "SELECT count(*) FROM dead_letter WHERE visible";
    let mut read = (0, 0);
    stack
        .until("all records to be cleaned or rejected", async || {
            let sent = api.count(&mut read)?;
            let done = count(&stack, written).await? + count(&stack, letters).await?;
            Ok(sent >= RECORDS && done >= sent)
        })
        .await
        .with_context(|| stack.logs())?;
    let sent = api.sent()?;
    let run = stack.trigger("load_users", "load").await?;
    let state = stack.ended(run).await?;
    ensure!(state == "success", "{state}\n{}", stack.logs());

    let expected = users(&sent);
    let rows = format!("SELECT to_jsonb(u) FROM (SELECT {COLUMNS} FROM users) AS u ORDER BY email");
    let rows = warehouse.texts(&rows).await?;
    let rows = rows.iter().map(|row| serde_json::from_str::<Value>(row));
    let rows: Vec<Value> = rows.collect::<Result<_, _>>()?;
    ensure!(rows.len() == expected.len(), "{} users, not {}", rows.len(), expected.len());
    for row in rows {
        let email = row["email"].as_str().unwrap_or_default();
        assert_eq!(Some(&row), expected.get(email), "{email}");
    }
    let whole = "SELECT count(*) FROM users WHERE raw_cleaned_data ->> 'email' = email AND dag_run_id = 'load'";
    assert_eq!(usize::try_from(warehouse.number(whole).await?)?, expected.len());
    let records = broker.records(&raw).await?.into_iter().map(|(_, value)| value).collect();
    rejected(&stack, &sent, &records).await
}

/// Exactly the bad records are dead letters, byte for byte as they are in the topic, and each has the reasons
/// for all that is wrong with it.
async fn rejected(stack: &Stack, sent: &[Sent], records: &BTreeSet<String>) -> Result<()> {
    let letters = subak_testkit::peek::dead_letters(&stack.store).await?;
    let bad: Vec<&Sent> = sent.iter().filter(|sent| sent.bad.is_some()).collect();
    for kind in KINDS {
        ensure!(bad.iter().any(|sent| sent.bad.as_deref() == Some(kind)), "no `{kind}` was sent");
    }
    ensure!(sent.iter().any(|sent| sent.raw.len() > 1_000_000), "no value of 1 MB was sent");
    ensure!(
        letters.len() == bad.len(),
        "{} dead letters of {} bad records",
        letters.len(),
        bad.len()
    );
    for (_, _, bytes) in &letters {
        let record = String::from_utf8_lossy(bytes);
        ensure!(records.contains(&*record), "a dead letter that is no record: {record}");
    }
    for Sent { raw, bad, .. } in bad {
        let bad = bad.as_deref().unwrap_or_default();
        let found = letters.iter().find(|(_, said, bytes)| {
            let said = said.to_string();
            same(bytes, raw) && reasons(bad).iter().all(|reason| said.contains(reason))
        });
        ensure!(
            found.is_some(),
            "no dead letter of a record that is bad by `{bad}`: {}",
            String::from_utf8_lossy(raw)
        );
    }
    Ok(())
}

/// Whether a dead letter is this record, of which `http.poll` has kept some fields.
fn same(letter: &[u8], sent: &[u8]) -> bool {
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    let (Some(letter_value), Some(sent_value)) = (read(letter), read(sent)) else {
        return letter == sent;
    };
    match sent_value.get("login") {
        Some(login) => {
            letter_value["login"]["uuid"] == login["uuid"]
                && letter_value["phone"] == sent_value["phone"]
        }
        None => letter_value == sent_value,
    }
}
