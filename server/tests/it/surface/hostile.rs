//! Names, values and logs that want to be more than text.

use anyhow::Context as _;
use axum::body::to_bytes;
use axum::http::{Method, StatusCode};
use serde_json::json;
use subak_core::dag::{self, version};
use subak_core::ids::{DagId, TaskId};
use subak_server::engine::{DatasetReport, Outcome, Told, Trigger, TryReport, XComReport, fence};
use subak_store::access::Role;
use subak_store::{NewLogChunk, NewVersion};
use subak_testkit::peek;
use subak_web::url::{self, encode};

use super::markup::assert_harmless;
use super::site::{Site, log, request};

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
        format!("/dags?tag={}&owner={}", encode(EVIL), encode(EVIL)),
        format!("/runs?dag={}&name={}", encode(EVIL), encode(EVIL)),
        url::dag(EVIL),
        format!("{}/trigger", url::dag(EVIL)),
        run.clone(),
        url::task(EVIL, EVIL, EVIL, -1),
        url::version(EVIL, 1),
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

    // The documentation is what was written, and does nothing.
    let dag = site.get(&admin, &url::dag(EVIL)).await?.text();
    assert!(dag.contains("id=\"doc\">&#60;/title&#62;&#60;/script&#62;"), "{dag}");

    // To be read or as a file it is what the task printed, and no page.
    for (query, kind) in [("", "inline"), ("?download=true", "attachment")] {
        let path = format!("{}/log{query}", url::task(EVIL, EVIL, EVIL, -1));
        let whole = site.get(&admin, &path).await?;
        assert_eq!(whole.header("content-type"), "text/plain; charset=utf-8");
        let place = whole.header("content-disposition");
        assert!(place.starts_with(&format!("{kind}; filename=\"__title_")), "{place}");
        assert!(place.ends_with(".log") && !place.contains(['<', '/']), "{place}");
        assert_eq!(whole.body, evil_log());
    }
    let none = site.get(&admin, &format!("{}/log?try=9", url::task(EVIL, EVIL, EVIL, -1))).await?;
    assert_eq!(none.status, StatusCode::NOT_FOUND);

    let token = site.program(Role::Viewer).await?;
    let path = format!("/api/v2/dags/{0}/dagRuns/{0}/taskInstances/{0}/logs/1", encode(EVIL));
    let lines = site.get(&token, &path).await?.json();
    assert_eq!(lines["content"][0]["event"], EVIL);
    assert_eq!(lines["content"][3]["event"], "\u{fffd}\u{fffd} not UTF-8 \u{fffd}(");
    site.world.close().await
}

/// Lines as workers of ill will send them: ten MB in one, colours that change with every letter, bytes
/// that are no text, a script.
fn large_lines() -> Vec<Vec<u8>> {
    let line = 64 << 10;
    let mut lines = vec![vec![b'w'; line]; 160];
    let bomb = "\x1b[31mx\x1b[1;42my\x1b[0m".repeat(2_500);
    lines.extend(std::iter::repeat_n(bomb.into_bytes(), 10));
    lines.push(vec![0xff; line]);
    lines.push(b"<script>hacked()</script>".to_vec());
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_any_size_is_a_page_of_bounded_size() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let world = &site.world;
    world.dags("{dag_id: big, tasks: {t: {operator: noop}}}").await?;
    let mut hands = world.hands(1).await?;
    site.begin("big", "one").await?;
    let held = hands.given("t").await;
    let fence = held.fence;
    let lines = large_lines();
    let chunks: Vec<NewLogChunk> = (0..)
        .zip(&lines)
        .map(|(sequence, line)| NewLogChunk {
            fence,
            sequence,
            first_line: sequence.into(),
            lines: 1,
            lz4: lz4_flex::block::compress_prepend_size(&[&line[..], b"\n"].concat()),
        })
        .collect();
    for chunks in chunks.chunks(16) {
        world.store.log_append(chunks).await?;
    }
    let browser = site.browser(Role::Viewer).await?;
    let path = url::task("big", "one", "t", -1);
    let page = site.get(&browser, &path).await?.text();
    assert_harmless(&path, &page);
    // A megabyte of what was printed, bytes that are no text being shown by four letters each.
    assert!(page.len() < 3 << 20, "{} bytes", page.len());
    assert!(page.contains("&lt;script&gt;hacked()") && page.contains("\\xFF\\xFF"));
    assert!(page.contains("id=\"log-cut\">This is the end of a long log."), "no word of the rest");
    assert!(page.contains(&format!("<i>{}</i>", lines.len())) && !page.contains("<i>1</i><span>w"));
    let spans = page.matches("<span class=\"c1").count();
    assert!((500..=1_000).contains(&spans), "{spans} changes of colour");
    // The link to the whole of it has the whole of it.
    let whole = site.send(request(&browser, &Method::GET, &format!("{path}/log"), &[])?).await?;
    let whole = to_bytes(whole.into_body(), 16 << 20).await?;
    assert!(whole == [lines.join(&b'\n'), b"\n".to_vec()].concat());
    // All of it is searched; what is found leads to the lines around it.
    let last = lines.len();
    let found = site.get(&browser, &format!("{path}?find=%3CSCRIPT%3Ehack")).await?.text();
    assert_harmless("a search", &found);
    assert!(found.contains("<span>&lt;script&gt;hacked()&lt;/script&gt;</span></div></div>"));
    let around = link(&found, &format!("-{last}#line")).context("no link to the line")?;
    let around = site.get(&browser, &around).await?.text();
    assert_harmless("around a line", &around);
    assert!(around.len() < 3 << 20, "{} bytes", around.len());
    assert!(around.contains(&format!("id=\"line\"><i>{last}</i><span>&lt;script&gt;hacked()")));
    assert!(around.contains(&format!("These are the lines around line {last}.")));
    let many = site.get(&browser, &format!("{path}?find=W")).await?.text();
    assert_eq!(many.matches("#line\">").count(), 100, "{} bytes", many.len());
    let rest = link(&many, "-100#log-hits").context("the search does not go on")?;
    let rest = site.get(&browser, &rest).await?.text();
    assert_eq!(rest.matches("#line\">").count(), 60, "{} bytes", rest.len());
    let none = site.get(&browser, &format!("{path}?find=nowhere")).await?.text();
    assert!(none.contains("No line has it."), "{} bytes", none.len());
    hands.end(&held, Outcome::Success).await;
    site.world.close().await
}

/// A page's first link that ends so.
fn link(page: &str, end: &str) -> Option<String> {
    let links = page.split("href=\"").filter_map(|rest| rest.split_once('"'));
    let mut links = links.map(|(href, _)| href.replace("&#38;", "&"));
    links.find(|href| href.ends_with(end))
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
