//! What people keep and manage by forms: pools, variables, connections, workers, several runs at once.

use axum::http::{Method, StatusCode};
use serde_json::json;
use subak_core::ids::{DagId, RunKey};
use subak_store::EncryptionKey;
use subak_store::access::Role;
use subak_store::read::{Orders, TextFilter};
use subak_testkit::peek;

use super::site::{Answer, Sender, Site, request};
use crate::world::key;

/// Sends a form from a page of this site.
pub(super) async fn post(
    site: &Site,
    sender: &Sender,
    path: &str,
    body: &str,
) -> anyhow::Result<Answer> {
    post_in("en", site, sender, path, body).await
}

/// The same by a browser that asks for a language.
async fn post_in(
    language: &str,
    site: &Site,
    sender: &Sender,
    path: &str,
    body: &str,
) -> anyhow::Result<Answer> {
    let said = [("sec-fetch-site", "same-origin"), ("accept-language", language)];
    let mut form = request(sender, &Method::POST, path, &said)?;
    form.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse()?);
    *form.body_mut() = body.to_owned().into();
    Answer::read(site.send(form).await?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_are_made_changed_and_removed() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let op = site.browser(Role::Op).await?;
    let store = &site.world.store;
    let pool = async || -> anyhow::Result<Option<(i32, bool, String)>> {
        let found = store.pools().await?.into_iter().find(|it| it.name == "wide");
        Ok(found.map(|it| (it.slots, it.include_deferred, it.description)))
    };
    let made = post(&site, &op, "/pools", "name=wide&slots=8&description=The+warehouse").await?;
    assert_eq!((made.status, made.header("location")), (StatusCode::SEE_OTHER, "/pools"));
    assert_eq!(pool().await?, Some((8, false, "The warehouse".to_owned())));
    let again = post(&site, &op, "/pools", "name=wide&slots=9").await?;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(again.text().contains("There is a pool wide already"), "{}", again.text());
    let bad = post(&site, &op, "/pools", "name=a%01b&slots=1").await?;
    assert!(bad.text().contains("none of control"), "{}", bad.text());
    // Whatever a DAG file may name can be made, as in Airflow.
    let odd = post(&site, &op, "/pools", "name=the+shop%2Fnorth&slots=1").await?;
    assert_eq!(odd.status, StatusCode::SEE_OTHER, "{}", odd.text());
    let gone = post(&site, &op, "/pools/the%20shop%2Fnorth/delete", "").await?;
    assert_eq!(gone.status, StatusCode::SEE_OTHER, "{}", gone.text());
    assert!(store.pools().await?.iter().all(|it| it.name == "wide"));
    // What the database has no place for is told, whoever sends it.
    for (sender, path, form) in [
        (&op, "/pools", "name=nul&slots=1&description=a%00b"),
        (&Sender::Stranger, "/sign-in", "username=%00&password=x"),
    ] {
        let nul = post(&site, sender, path, form).await?;
        assert_eq!(nul.status, StatusCode::BAD_REQUEST, "{path}: {}", nul.text());
        assert!(nul.text().contains("the character NUL"), "{path}: {}", nul.text());
    }
    // What is no form of this page is told on a page, with its field.
    for (form, told) in [
        ("name=vast&slots=99999999999", "`slots` number too large to fit in target type"),
        ("name=vast", "missing field `slots`"),
    ] {
        let bad = post(&site, &op, "/pools", form).await?;
        assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY, "{form}");
        let page = bad.text();
        assert!(page.contains(told) && page.contains("<title>"), "{form}: {page}");
    }
    post(&site, &op, "/pools/wide", "slots=-1&description=&include_deferred=true").await?;
    assert_eq!(pool().await?, Some((-1, true, String::new())));
    assert!(site.get(&op, "/pools").await?.text().contains("no limit"));
    assert_eq!(post(&site, &op, "/pools/none", "slots=1").await?.status, StatusCode::NOT_FOUND);
    post(&site, &op, "/pools/wide/delete", "").await?;
    assert_eq!(pool().await?, None);
    // Who may only look sees them, and no form.
    let viewer = site.browser(Role::Viewer).await?;
    let page = site.get(&viewer, "/pools").await?;
    assert!(
        page.status == StatusCode::OK && !page.text().contains("method=\"post\" action=\"/pools")
    );
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_tells_all_that_is_wrong_and_that_its_dag_is_paused() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let (op, user) = (site.browser(Role::Op).await?, site.browser(Role::User).await?);
    let dag = "{dag_id: form, params: {who: {type: string, title: Your name, minLength: 2}, \
               days: {type: integer, maximum: 9, default: 3}}, tasks: {t: {operator: noop}}}";
    site.world.dags(dag).await?;
    let held = "nothing of this run starts";
    let paused = post(&site, &op, "/dags/form/pause", "is_paused=true").await?;
    assert_eq!(paused.status, StatusCode::SEE_OTHER, "{}", paused.text());
    for (form, told) in [
        ("param.who=a&param.days=99", "Your name has 1 character, and needs 2"),
        ("param.who=&param.days=99", "Your name needs a value"),
    ] {
        let bad = post(&site, &op, "/dags/form/runs", form).await?;
        assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY, "{form}");
        let page = bad.text();
        assert!(page.contains(told) && page.contains("days is 99"), "{form}: {page}");
        assert_eq!(page.matches("aria-invalid=\"true\"").count(), 2, "{form}: {page}");
        assert!(page.contains("the run waits until it goes on"), "{page}");
    }
    let made = post(&site, &op, "/dags/form/runs", "param.who=ab&param.days=3").await?;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.text());
    for (sender, may) in [(&op, true), (&user, false)] {
        let page = site.get(sender, made.header("location")).await?.text();
        assert!(page.contains(held) && page.contains("Resume form") == may, "{page}");
    }
    post(&site, &op, "/dags/form/pause", "is_paused=false").await?;
    let page = site.get(&op, made.header("location")).await?.text();
    assert!(!page.contains(held), "{page}");
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_is_searched_by_name_and_shown_in_parts() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let (admin, store) = (site.browser(Role::Admin).await?, &site.world.store);
    let many = "INSERT INTO pool (name, slots, include_deferred, description)
                SELECT 'pool_' || n, 1, false, '' FROM generate_series(100, 159) AS n";
    peek::meddle(store, many).await?;
    let files: Vec<(String, String)> =
        (100..160).map(|n| (format!("file_{n}.yaml"), "no DAG".to_owned())).collect();
    store.import_errors_replace(&files).await?;
    for name in ["nightly", "daily"] {
        let user = store.user_create(name, None, Role::Viewer).await?;
        store.api_token_create(&user, &format!("{name} load"), None, None).await?;
        let value = json!({"conn_type": "http", "host": "http://localhost"});
        store.connection_put(&key(), name, "http", None, &value).await?;
    }
    let grants = "INSERT INTO dag_grant (user_id, role, dag_id)
                  SELECT user_id, 'viewer', 'dag_' || n
                  FROM app_user, generate_series(100, 159) AS n WHERE username = 'nightly'";
    peek::meddle(store, grants).await?;
    site.world.dags("{dag_id: one, tasks: {t: {operator: noop}}}").await?;
    let _worker = site.world.worker(1).await?;
    for (path, found, hidden) in [
        ("/pools?name=L_14", "pool_145", "pool_139"),
        ("/import-errors?name=e_14", "file_145.yaml", "file_139.yaml"),
        ("/users?name=night", ">nightly<", ">daily<"),
        // The first of somebody's grants, and where all are.
        ("/users", "viewer · dag dag_109", "viewer · dag dag_110"),
        ("/users", "<a href=\"/users/nightly/grants\">", "/users/daily/grants"),
        ("/users/nightly/grants?name=g_14", ">dag_145<", ">dag_139<"),
        ("/users/daily/grants", "Nothing is granted", "dag_1"),
        ("/tokens?name=night", "nightly load", "daily load"),
        ("/connections?name=NIGHT", "id=\"connection-nightly\"", "connection-daily"),
        ("/workers?name=ork", "<span class=\"name\">worker</span>", "Nothing matches."),
        ("/workers?name=none", "Nothing matches.", "<span class=\"name\">worker</span>"),
        ("/dags/one/versions?name=test", "<code>test.yaml</code>", "Nothing"),
        ("/dags/one/versions?name=9", "value=\"9\"", "<code>test.yaml</code>"),
        ("/dags/one/versions?name=9", "Nothing matches.", "<table"),
        ("/users?name=zz", "Nothing matches.", "<table"),
        ("/dags?offset=1000", "No DAG matches.", "No DAG yet"),
    ] {
        let page = site.get(&admin, path).await?.text();
        assert!(page.contains(found) && !page.contains(hidden), "{path}: {page}");
    }
    for (path, first, last, total) in [
        // The default one is before them.
        ("/pools", "pool_100", "pool_159", 61),
        ("/import-errors", "file_100.yaml", "file_159.yaml", 60),
        ("/users/nightly/grants", "dag_100", "dag_159", 60),
    ] {
        let page = site.get(&admin, path).await?.text();
        let part = format!("1–50 / {total}");
        assert!(page.contains(&part) && page.contains(first) && !page.contains(last), "{page}");
        assert!(page.contains(&format!("href=\"{path}?name=&#38;offset=50\"")), "{page}");
        let page = site.get(&admin, &format!("{path}?offset=50")).await?.text();
        let part = format!("51–{total} / {total}");
        assert!(page.contains(&part) && !page.contains(first) && page.contains(last), "{page}");
    }
    // Workers by the API.
    let op = site.program(Role::Op).await?;
    let workers = site.get(&op, "/api/v2/workers").await?.json();
    assert_eq!(workers["total_entries"], 1, "{workers}");
    let one = &workers["workers"][0];
    assert_eq!((&one["worker"], &one["draining"]), (&json!("worker"), &json!(false)), "{one}");
    let drained =
        site.json(&op, Method::POST, "/api/v2/workers/worker/drain", &json!(null)).await?;
    assert_eq!(drained.status, StatusCode::NO_CONTENT, "{}", drained.text());
    let told = super::audit::events(&site, "?event=drain_worker").await?;
    let change = (&told[0].2["before"], &told[0].2["after"]);
    assert_eq!(change, (&json!({"draining": false}), &json!({"draining": true})));
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_variable_goes_in_and_never_out() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let op = site.browser(Role::Op).await?;
    let value = async |name: &str| -> anyhow::Result<String> {
        let all = site
            .world
            .store
            .variables(&key(), &TextFilter::default(), &Orders::default(), 50, 0)
            .await?;
        let found = all.items.into_iter().find(|it| it.key == name);
        Ok(found.and_then(|it| it.value.ok()).unwrap_or_default())
    };
    post(&site, &op, "/variables", "key=region&value=eu&description=Where").await?;
    post(&site, &op, "/variables", "key=api_token&value=hunter2").await?;
    assert_eq!(value("api_token").await?, "hunter2");
    let page = site.get(&op, "/variables").await?.text();
    assert!(page.contains("<code>eu</code>") && !page.contains("hunter2"), "{page}");
    // Left empty, a secret stays; another one becomes empty.
    post(&site, &op, "/variables/api_token", "value=&description=New").await?;
    post(&site, &op, "/variables/region", "value=").await?;
    assert_eq!((value("api_token").await?, value("region").await?), ("hunter2".into(), "".into()));
    let again = post(&site, &op, "/variables", "key=region&value=us").await?;
    assert_eq!(
        (again.status, value("region").await?),
        (StatusCode::UNPROCESSABLE_ENTITY, "".into())
    );
    assert!(site.get(&op, "/variables?key=reg").await?.text().contains("region"));
    post(&site, &op, "/variables/region/delete", "").await?;
    let gone = post(&site, &op, "/variables/region/delete", "").await?;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    let records = site.get(&op, "/audit").await?.text();
    assert!(records.contains("post_variable") && !records.contains("hunter2"), "{records}");
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_key_has_encrypted_hides_nothing_else_and_can_be_removed() -> anyhow::Result<()>
{
    let site = Site::new().await?;
    let (op, program) = (site.browser(Role::Op).await?, site.program(Role::Op).await?);
    let (store, other) = (&site.world.store, EncryptionKey::new("other", [9; 32]));
    let value = json!({"conn_type": "http", "host": "http://localhost"});
    for (name, key) in [("good", &key()), ("lost", &other), ("gone", &other)] {
        store.variable_put(key, name, "eu", Some("Where"), true).await?;
        store.connection_put(key, name, "http", Some("Where"), &value).await?;
    }
    for (kind, name, of_value) in
        [("variables", "key", "value"), ("connections", "connection_id", "host")]
    {
        let path = format!("/api/v2/{kind}");
        let list = site.get(&program, &path).await?.json();
        let of = |wanted: &str| list[kind].as_array().unwrap().iter().find(|it| it[name] == wanted);
        assert!(of("good").unwrap()[of_value].is_string(), "{list}");
        let lost = of("lost").unwrap();
        assert!(lost[of_value].is_null(), "{lost}");
        let why = "encrypted with key `other`, and here is key `test`";
        let about = lost["description"].as_str().unwrap();
        assert!(about.starts_with("Where (") && about.contains(why), "{about}");
        let one = site.get(&program, &format!("{path}/lost")).await?;
        assert_eq!(one.status, StatusCode::SERVICE_UNAVAILABLE, "{}", one.text());
        assert!(one.json()["detail"].as_str().unwrap().contains(why), "{}", one.text());
        assert_eq!(site.get(&op, &format!("/{kind}")).await?.status, StatusCode::OK);
        for status in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
            let gone = site.ask(&program, &Method::DELETE, &format!("{path}/gone")).await?;
            assert_eq!(gone.status, status, "{}", gone.text());
        }
        post(&site, &op, &format!("/{kind}/lost/delete"), "").await?;
        let left = site.get(&program, &path).await?.json();
        assert_eq!(left["total_entries"], 1, "{left}");
    }
    site.world.close().await
}

const FORM: &str = "
dag_id: form
params:
  most: {type: [integer, 'null'], default: 5, minimum: 1, maximum: 9, title: How many at most}
  least: {type: [number, 'null'], default: null, minimum: 0.5}
  dry: {type: [boolean, 'null'], default: null}
  day: {type: string, format: date, default: '2026-01-02'}
  since: {type: string, format: date-time, default: '2026-01-02T12:00:00+07:00'}
  code: {type: string, pattern: '^[A-Z]+$', default: ABC}
  at: {type: string, format: time, default: '16:30:00', section: When & where}
  shops: {type: array, items: {type: string}, default: [a, b], section: When & where}
  size: {enum: [s, l], default: s, values_display: {l: Large}}
  mail: {type: [string, 'null'], format: email, default: null, examples: [ops@b.org]}
  limits: {type: object, additionalProperties: {type: integer}, default: {a: 1}}
  fixed: {type: boolean, const: true, default: true}
tasks: {t: {operator: noop}}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_takes_what_the_schema_of_its_params_takes() -> anyhow::Result<()> {
    let site = Site::new().await?;
    site.world.dags(FORM).await?;
    let user = site.browser(Role::User).await?;
    let form = site.get(&user, "/dags/form/trigger").await?.text();
    for part in [
        "How many at most <code>most</code>",
        "name=\"param.most\" value=\"5\" min=\"1.0\" max=\"9.0\"",
        "name=\"param.least\" value=\"\" min=\"0.5\"",
        "type=\"date\" id=\"param.day\" name=\"param.day\" value=\"2026-01-02\"",
        "name=\"param.since\" value=\"2026-01-02T05:00:00\"",
        "pattern=\".*(?:^[A-Z]+$).*\"",
        "<fieldset><legend>When &#38; where</legend>",
        "type=\"time\" step=\"1\" id=\"param.at\" name=\"param.at\" value=\"16:30:00\"",
        "spellcheck=\"false\">a\nb</textarea>",
        "<option selected>s</option><option value=\"l\">Large</option>",
        "<datalist id=\"param.mail.proposals\"><option value=\"ops@b.org\">",
        "spellcheck=\"false\">{&#34;a&#34;:1}</textarea>",
    ] {
        assert!(form.contains(part), "{part}: {form}");
    }
    super::markup::assert_harmless("/dags/form/trigger", &form);
    assert!(!form.contains("param.fixed"), "nobody is asked for it: {form}");
    let conf = async |body: &str| -> anyhow::Result<serde_json::Value> {
        let sent = post(&site, &user, "/dags/form/runs", body).await?;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{body}: {}", sent.text());
        let run_id = sent.header("location").trim_start_matches("/dags/form/runs/");
        let run_id = run_id.replace("%3A", ":").replace("%2B", "+");
        let run = site.world.store.run_get("form", &run_id).await?.unwrap();
        // As on Airflow's form, so that templates that show dates have one.
        assert!(run.logical_date.is_some(), "{run_id}");
        Ok(run.conf)
    };
    // As it stands there is nothing to say.
    let as_is = "param.most=5&param.least=&param.dry=&param.day=2026-01-02\
                 &param.since=2026-01-02T05%3A00&param.code=ABC&param.at=16%3A30&param.mail=\
                 &param.shops=a%0D%0Ab&param.size=s&param.limits=%7B%22a%22%3A1%7D";
    assert_eq!(conf(as_is).await?, json!({}));
    let changed = "param.most=&param.least=0.75&param.dry=true&param.day=2026-02-03\
                   &param.since=2026-02-03T04%3A05&param.code=XYZ&param.at=07%3A05\
                   &param.shops=c%0D%0Ad+e%0D%0A&param.size=l";
    let expected = json!({"most": null, "least": 0.75, "dry": true, "day": "2026-02-03",
                          "since": "2026-02-03T04:05:00Z", "code": "XYZ", "at": "07:05:00",
                          "shops": ["c", "d e"], "size": "l"});
    assert_eq!(conf(changed).await?, expected);
    // The next form remembers, and what is null is empty.
    let form = site.get(&user, "/dags/form/trigger").await?.text();
    assert!(form.contains("id=\"filled-from\""), "{form}");
    for part in [
        "name=\"param.most\" value=\"\"",
        "<option selected>true</option>",
        "name=\"param.since\" value=\"2026-02-03T04:05:00\"",
    ] {
        assert!(form.contains(part), "{part}: {form}");
    }
    // What the schema refuses says why, with what was filled in.
    for (body, why) in [
        ("param.most=12", "at most 9"),
        ("param.code=abc", "does not match"),
        ("param.mail=ops", "is not valid email"),
        ("param.limits=%7B%22a%22%3A%22b%22%7D", "want integer"),
    ] {
        let refused = post(&site, &user, "/dags/form/runs", body).await?;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.text().contains(why), "{}", refused.text());
    }
    let refused = post_in("id", &site, &user, "/dags/form/runs", "param.most=12").await?.text();
    assert!(
        refused.contains("<li>How many at most adalah 12, dan harus paling banyak 9</li>"),
        "{refused}"
    );
    let refused = post_in("id", &site, &user, "/dags/form/runs", "param.mail=ops").await?.text();
    assert!(refused.contains("mail tidak sesuai skemanya: tidak berformat email"), "{refused}");
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_changed_without_its_secrets_being_shown() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let op = site.browser(Role::Op).await?;
    let kept = async |id: &str| -> anyhow::Result<serde_json::Value> {
        let opened = site.world.store.connections_open(&key(), &[id.to_owned()]).await?;
        Ok(opened.into_iter().next().map(|it| it.1).unwrap_or_default())
    };
    let broker = "connection_id=broker&conn_type=kafka&host=a%3A9092&login=etl&password=hunter2\
                  &extra=%7B%22security.protocol%22%3A%22SASL_PLAINTEXT%22%2C%22sasl.mechanism%22%3A%22PLAIN%22%2C\
                  %22ssl.key.password%22%3A%22hunter3%22%7D";
    let made = post(&site, &op, "/connections", broker).await?;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.text());
    let before = kept("broker").await?;
    assert_eq!(before["password"], "hunter2");
    let form = site.get(&op, "/connections/broker/edit").await?.text();
    assert!(form.contains("value=\"a:9092\"") && form.contains("***"), "{form}");
    assert!(!form.contains("hunter"), "{form}");
    // As the form has it, with another server and no password.
    let changed = "conn_type=kafka&host=b%3A9092&login=etl&password=&description=The+second\
                   &extra=%7B%22security.protocol%22%3A%22SASL_PLAINTEXT%22%2C%22sasl.mechanism%22%3A%22PLAIN%22%2C\
                   %22ssl.key.password%22%3A%22***%22%7D";
    let answer = post(&site, &op, "/connections/broker", changed).await?;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    let mut expected = before;
    expected["host"] = json!("b:9092");
    assert_eq!(kept("broker").await?, expected);
    let list = site.get(&op, "/connections").await?.text();
    assert!(list.contains("b:9092") && list.contains("The second"), "{list}");
    // What cannot be is refused, and shown again without what was typed as a secret.
    let bad = "conn_type=postgres&host=db&port=99999&password=hunter4&extra=%7B%22a%22%3A%22hunter5%22%7D";
    let refused = post(&site, &op, "/connections/broker", bad).await?;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().contains("port is a number"), "{}", refused.text());
    assert!(!refused.text().contains("hunter"), "{}", refused.text());
    assert_eq!(kept("broker").await?, expected);
    // Whoever reads Indonesian is told in it.
    for (path, body, why) in [
        ("/connections/broker", bad, "port adalah angka dari 1 sampai 65535"),
        ("/connections", broker, "Koneksi broker sudah ada"),
        (
            "/connections",
            "connection_id=tls&conn_type=postgres&host=db&extra=%7B%22ssl_mode%22%3A%22require%22%7D",
            "<li>extra `ssl_mode` tidak dikenal: maksudnya `sslmode`</li>",
        ),
        ("/pools", "name=a&slots=-2", "slots paling sedikit 0, atau -1: tanpa batas"),
        ("/variables", "key=&value=x", "punya 1 sampai 250 karakter, tanpa karakter"),
    ] {
        let refused = post_in("id", &site, &op, path, body).await?;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert!(refused.text().contains(why), "{path}: {}", refused.text());
    }
    // Of an address that is a secret only a part is shown: it stays, too.
    let hook = "connection_id=hook&conn_type=webhook&host=https%3A%2F%2Fhooks.example%2Fs3cret";
    post(&site, &op, "/connections", hook).await?;
    let form = site.get(&op, "/connections/hook/edit").await?.text();
    assert!(!form.contains("s3cret") && form.contains("value=\"https://hooks.example\""), "{form}");
    let same = "conn_type=webhook&host=https%3A%2F%2Fhooks.example&description=Alarms";
    post(&site, &op, "/connections/hook", same).await?;
    assert_eq!(kept("hook").await?["host"], "https://hooks.example/s3cret");
    // Where a form was sent to leads to the page that has it.
    for (path, location) in [
        ("/connections/hook", "/connections/hook/edit"),
        ("/connections/hook/test", "/connections?name=hook&offset=0"),
        ("/pools/some", "/pools"),
        ("/pools/some/delete", "/pools"),
        ("/variables/some", "/variables"),
        ("/dags/some/runs", "/dags/some/trigger"),
    ] {
        let answer = site.get(&op, path).await?;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
        assert_eq!(answer.header("location"), location, "{path}");
    }
    post(&site, &op, "/connections/hook/delete", "").await?;
    assert!(!site.get(&op, "/connections").await?.text().contains("hooks.example"));
    let records = site.get(&op, "/audit").await?.text();
    assert!(records.contains("patch_connection") && !records.contains("hunter"), "{records}");
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_runs_are_acted_on_at_once() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let user = site.browser(Role::User).await?;
    let page = site.get(&user, "/runs?dag=shop&state=failed").await?.text();
    assert!(page.contains("/runs/bad\"") && !page.contains("/runs/good\""), "{page}");
    // Of one DAG and no other, or of those whose ids have something in them.
    assert!(page.contains("<span class=\"tag\">DAG shop</span>"), "{page}");
    for (path, is_there) in [("/runs?dag=sho", false), ("/runs?name=sho", true)] {
        let page = site.get(&user, path).await?.text();
        assert_eq!(page.contains("/dags/shop/runs/bad\""), is_there, "{path}: {page}");
    }
    // What is asked for is chosen, also where nothing has it.
    for (path, said) in [
        ("/runs?state=bogus", ["<option selected>bogus</option>", "No run matches."]),
        ("/runs?kind=odd", ["<option selected>odd</option>", "No run matches."]),
        ("/dags?tag=nope", ["<option selected>nope</option>", "No DAG matches."]),
    ] {
        let page = site.get(&user, path).await?.text();
        assert!(said.iter().all(|it| page.contains(it)), "{path}: {page}");
    }
    let keys: Vec<&str> = page.split("name=\"pick\" value=\"").skip(1).collect();
    let bad = keys[0].split('"').next().unwrap();
    let all = site.get(&user, "/runs").await?.text();
    let picks: Vec<&str> = all.split("name=\"pick\" value=\"").skip(1).collect();
    let picks: Vec<&str> = picks.iter().map(|it| it.split('"').next().unwrap()).collect();
    assert!(picks.len() > 1, "{all}");

    // Nobody may act on what they may only see.
    let viewer = site.browser(Role::Viewer).await?;
    assert!(!site.get(&viewer, "/runs").await?.text().contains("name=\"pick\""));
    let refused = post(&site, &viewer, "/runs", &format!("action=delete&pick={bad}")).await?;
    assert!(refused.text().contains("No run was picked"), "{}", refused.text());
    assert_eq!(site.get(&user, "/dags/shop/runs/bad").await?.status, StatusCode::OK);

    // Those that have ended are cleared together.
    let form = picks.iter().map(|key| format!("&pick={key}")).collect::<String>();
    let cleared = post(&site, &user, "/runs", &format!("action=clear{form}")).await?.text();
    assert!(cleared.contains(&format!("Done with {} runs", picks.len())), "{cleared}");
    for key in &picks {
        let run = RunKey(key.parse()?);
        let ended = if *key == bad { "failed" } else { "success" };
        assert_eq!(site.world.ended(run).await?, ended);
        let history = peek::history(&site.world.store, run).await?;
        assert!(history.iter().any(|it| it == "extract#3 success"), "{history:?}");
    }

    // What waits for its turn cannot be deleted, the others can.
    site.world.engine.dag_pause(&DagId::from("shop"), true).await?;
    let cleared = post(&site, &user, "/runs", &format!("action=clear_failed&pick={bad}")).await?;
    assert!(cleared.text().contains("Done with 1 runs"), "{}", cleared.text());
    let deleted = post(&site, &user, "/runs", &format!("action=delete{form}")).await?.text();
    assert!(deleted.contains(&format!("Done with {} runs", picks.len() - 1)), "{deleted}");
    assert!(deleted.contains("shop bad:"), "{deleted}");
    let again = format!("action=delete&pick={bad}");
    let again = post_in("id", &site, &user, "/runs", &again).await?.text();
    assert!(again.contains("shop bad: run masih "), "{again}");
    assert_eq!(site.get(&user, "/dags/shop/runs/bad").await?.status, StatusCode::OK);
    assert_eq!(site.get(&user, "/dags/shop/runs/good").await?.status, StatusCode::NOT_FOUND);
    let op = site.browser(Role::Op).await?;
    assert!(site.get(&op, "/audit").await?.text().contains("bulk_dag_runs"));
    assert!(site.get(&op, "/audit?user=nobody").await?.text().contains("Nothing matches."));
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_form_remembers_what_was_given_last() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let user = site.browser(Role::User).await?;
    let form = async |query: &str| -> anyhow::Result<String> {
        Ok(site.get(&user, &format!("/dags/shop/trigger{query}")).await?.text())
    };
    assert!(!form("").await?.contains("filled-from"));
    let given = "param.input=june.csv&param.level=high&param.most=3&conf=%7B%22more%22%3A1%7D";
    let started = post(&site, &user, "/dags/shop/runs", given).await?;
    assert_eq!(started.status, StatusCode::SEE_OTHER, "{}", started.text());
    let page = form("").await?;
    for part in ["value=\"june.csv\"", "<option selected>high</option>", "value=\"3\"", "more"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(form("?defaults=true").await?.contains("value=\"sales.csv\""));
    assert!(form("?from=good").await?.contains("Filled in as in good"));
    // What others gave is theirs.
    let other = site.browser(Role::Op).await?;
    let theirs = site.get(&other, "/dags/shop/trigger").await?.text();
    assert!(theirs.contains("value=\"sales.csv\""), "{theirs}");
    let gone = site.get(&user, "/dags/shop/trigger?from=none").await?;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn home_shows_what_one_may_see() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let admin = site.browser(Role::Admin).await?;
    // Its runs ended on a day that is long past, but for this.
    peek::meddle(&site.world.store, "UPDATE run SET ended_at = now() WHERE state = 'failed'")
        .await?;
    let page = site.get(&admin, "/").await?.text();
    for part in ["/dags/shop/runs/bad", "1 joined", "<b>1</b> <span>failed"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let nobody = site.browser(Role::None).await?;
    let page = site.get(&nobody, "/").await?;
    assert_eq!(page.status, StatusCode::OK);
    assert!(!page.text().contains("shop") && !page.text().contains("joined"), "{}", page.text());
    assert!(!site.get(&nobody, "/runs").await?.text().contains("shop"));
    site.world.close().await
}
