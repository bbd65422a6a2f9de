//! Names, values and logs that want to be more than text.

use serde_json::json;
use subak_core::dag::{self, version};
use subak_core::ids::{DagId, TaskId};
use subak_server::engine::{DatasetReport, Outcome, Told, Trigger, TryReport, XComReport, fence};
use subak_store::NewVersion;
use subak_store::access::Role;
use subak_testkit::peek;
use subak_web::url::{self, encode};

use super::markup::assert_harmless;
use super::site::{Site, log};

/// Breaks out of text, of attributes in either quotes, of scripts, of templates, of addresses.
const EVIL: &str = "</title></script><script>hacked()</script><img src=x onerror=hacked()>\
                    \"onload=hacked()' onfocus='hacked() {{ 7*7 }} {% raw %} javascript:hacked() &lt;";

/// A log that wants to run, to colour, to turn around, to fill the page.
fn evil_log() -> Vec<u8> {
    let mut text = format!("{EVIL}\n\x1b[31m{EVIL}\x1b[0m\n\x1b]0;{EVIL}\x07title\n").into_bytes();
    text.extend(b"\xff\xfe not UTF-8 \xc3\x28\n\0\x08\x7f control\n");
    text.extend("\u{202e}turned around\u{2066}\n".as_bytes());
    text.extend(vec![b'x'; 200_000]);
    text.push(b'\n');
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_names_and_logs_are_only_text() -> anyhow::Result<()> {
    let site = Site::new().await?;
    save(&site).await?;
    work(&site).await?;
    let trigger = Trigger {
        user: Some(EVIL.to_owned()),
        note: Some(EVIL.to_owned()),
        ..Trigger::manual(DagId::from(EVIL), "ui", json!({EVIL: EVIL}))
    };
    let run = site.world.engine.run_trigger(trigger).await?.run;
    assert_eq!(site.world.ended(run).await?, "failed");
    // No trigger takes such an id: the pages must not need that.
    let renamed = format!("UPDATE run SET run_id = $evil${EVIL}$evil$");
    peek::meddle(&site.world.store, &renamed).await?;

    peek::meddle(&site.world.store, &letter()).await?;

    let admin = site.browser(Role::Admin).await?;
    let run = url::run(EVIL, EVIL);
    for path in [
        "/".to_owned(),
        "/dags".to_owned(),
        "/runs".to_owned(),
        format!("/dags?name={}", encode(EVIL)),
        format!("/dags?tag={}", encode(EVIL)),
        url::dag(EVIL),
        format!("{}/trigger", url::dag(EVIL)),
        run.clone(),
        url::task(EVIL, EVIL, EVIL, -1),
        format!("/dags/{}", encode(&EVIL[2..])),
        format!("/sign-in?next={}", encode(EVIL)),
        "/dead-letters".to_owned(),
        format!("/dead-letters?reason=hacked&dag={0}&run={0}&task={0}", encode(EVIL)),
        url::letter(1),
    ] {
        let answer = site.get(&admin, &path).await?;
        let text = answer.text();
        assert_harmless(&path, &text);
        assert!(!text.contains("<script>hacked") && !text.contains("<img"), "{path}");
        assert!(text.contains("hacked()"), "{path} does not show the name at all");
        assert!(!text.contains("49 {% raw"), "{path} evaluates templates of its data");
    }

    // As a download it is what the task printed, and no page.
    let whole = site.get(&admin, &format!("{}/log", url::task(EVIL, EVIL, EVIL, -1))).await;
    let whole = whole?;
    assert_eq!(whole.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(whole.body, evil_log());

    let token = site.program(Role::Viewer).await?;
    let path = format!("/api/v2/dags/{0}/dagRuns/{0}/taskInstances/{0}/logs/1", encode(EVIL));
    let lines = site.get(&token, &path).await?.json();
    assert_eq!(lines["content"][0]["event"], EVIL);
    assert_eq!(lines["content"][3]["event"], "\u{fffd}\u{fffd} not UTF-8 \u{fffd}(");
    site.world.close().await
}

/// A statement that adds a dead letter, in which everything is evil.
fn letter() -> String {
    format!(
        "INSERT INTO dead_letter (dag, task, source, partition, position, reasons, raw, run_key,
                                  map_index, token, visible)
         SELECT run.dag, h.task, $evil${EVIL}$evil$, 0, 1, jsonb_build_array($evil${EVIL}$evil$),
                convert_to($evil${EVIL}$evil$, 'UTF8'), h.run_key, h.map_index, h.token, true
         FROM try_history h JOIN run ON run.run_key = h.run_key ORDER BY h.token LIMIT 1"
    )
}

/// Saves a DAG that no file could have: the parser refuses such ids, the pages must not need it to.
async fn save(site: &Site) -> anyhow::Result<()> {
    let text = "{dag_id: d, tasks: {t: {operator: noop}, u: {operator: noop, depends_on: [t]}}}";
    let mut model = dag::parse("evil.yaml", text).dags.remove(0);
    model.dag_id = DagId::from(EVIL);
    model.description = Some(EVIL.to_owned());
    model.doc_md = Some(EVIL.to_owned());
    model.tags = vec![EVIL.to_owned()];
    let param = dag::model::Param {
        schema: json!({"type": "string", "description": EVIL, "enum": [EVIL]}),
        default: Some(EVIL.into()),
    };
    model.params.insert(EVIL.to_owned(), param);
    for task in &mut model.tasks {
        task.owner = EVIL.to_owned();
        if task.task_id.0 == "t" {
            task.task_id = TaskId::from(EVIL);
            task.with = json!({EVIL: EVIL});
        } else {
            task.upstream = vec![TaskId::from(EVIL)];
        }
    }
    let hash = version::hash(&model);
    let source = format!("# {EVIL}\nkey: \"{EVIL}\"\n");
    let new =
        NewVersion { dag: &model, hash: hash.as_bytes(), source: &source, file: "evil\"<b>.yaml" };
    site.world.store.version_save(&new).await?;
    let errors = [("evil\"<b>.yaml".to_owned(), EVIL.to_owned())];
    site.world.store.import_errors_replace(&errors).await?;
    Ok(())
}

/// Works as somebody would who owns a task and wants more.
async fn work(site: &Site) -> anyhow::Result<()> {
    let mut worker =
        site.world.engine.join(EVIL, &[("default", 1)], std::time::Duration::from_secs(60)).await?;
    tokio::spawn(async move {
        loop {
            let told = worker.next().await;
            if told.is_empty() {
                return;
            }
            for told in told {
                let Told::Run(assignment) = told else { continue };
                let fence = fence(assignment.r#try.as_ref().expect("an assignment names its try"));
                let outcome = Outcome::Failed(subak_core::decide::TryEnd::Permanent);
                worker
                    .report(TryReport {
                        log: Some(log(&evil_log())),
                        xcoms: vec![XComReport {
                            key: EVIL.to_owned(),
                            value: json!({EVIL: [EVIL]}),
                            ..XComReport::default()
                        }],
                        datasets: vec![DatasetReport {
                            name: EVIL.to_owned(),
                            reference: json!({"source": {"kind": EVIL}, "schema": [
                                {"name": EVIL, "type": EVIL, "nullable": true}]}),
                            stats: json!({"rows": 1, "columns": {EVIL: {"min": EVIL, "max": EVIL}}}),
                            preview: json!([{EVIL: EVIL}]),
                        }],
                        ..TryReport::bare(fence, outcome, Some(EVIL.to_owned()))
                    })
                    .await;
            }
        }
    });
    Ok(())
}
