//! Dead letters over the API: lists, one letter, replays, and those that people dismiss.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use subak_store::access::Role;
use subak_testkit::peek;

use super::answers::check;
use super::site::{Answer, Site, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let viewer = site.program(Role::Viewer).await?;
    let letters = "/api/v2/deadLetters";
    check!("letters", site.get(&viewer, letters).await?);
    let of_run =
        format!("{letters}?dag_id=shop&dag_run_id=good&task_id=extract&state=open&limit=1");
    check!("letters-of-run", site.get(&viewer, &of_run).await?);
    check!("letters-bad-state", site.get(&viewer, &format!("{letters}?state=lost")).await?);
    check!("letters-no-dag", site.get(&viewer, &format!("{letters}?dag_id=none")).await?);
    // A reason is looked for as it is read, not as JSON or a pattern spells it.
    for (reason, found) in [("%22many%22", 1), ("E-MAIL", 1), ("%25", 0), ("never", 0)] {
        let page = site.get(&viewer, &format!("{letters}?reason={reason}")).await?.json();
        assert_eq!(page["total_entries"], found, "{reason}: {page}");
    }
    let none = site.get(&viewer, &format!("{letters}?dag_run_id=bad")).await?.json();
    assert_eq!(none["total_entries"], 0);

    let topic = site.get(&viewer, &format!("{letters}/1")).await?;
    assert!(!topic.text().contains("hunter2"));
    check!("letter-of-topic", topic);
    check!("letter-bytes", site.get(&viewer, &format!("{letters}/3")).await?);
    // An export has them whole, the oldest first, and goes on behind the last.
    let export = async |query: &str| site.get(&viewer, &format!("{letters}/export{query}")).await;
    let whole = export("?dag_id=shop").await?;
    assert!(!whole.text().contains("hunter2"));
    let whole = whole.json()["dead_letters"].as_array().unwrap().clone();
    let ids: Vec<i64> = whole.iter().map(|it| it["dead_letter_id"].as_i64().unwrap()).collect();
    assert!(ids.len() > 1 && ids.is_sorted() && !ids.contains(&2), "{ids:?}");
    for (id, it) in ids.iter().zip(&whole) {
        assert_eq!(site.get(&viewer, &format!("{letters}/{id}")).await?.json(), *it);
    }
    let rest = export(&format!("?after={}", ids[0])).await?.json();
    assert_eq!(rest["dead_letters"].as_array().unwrap(), &whole[1..]);
    assert_eq!(export("?after=99").await?.json(), json!({"dead_letters": []}));
    assert_eq!(export("?state=lost").await?.status, StatusCode::UNPROCESSABLE_ENTITY);
    // One that was not accepted is none.
    check!("letter-hidden", site.get(&viewer, &format!("{letters}/2")).await?);
    for wrong in ["99", "x", "-1", "99999999999999999999"] {
        let answer = site.get(&viewer, &format!("{letters}/{wrong}")).await?;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{wrong}");
    }

    let user = site.program(Role::User).await?;
    let replay = async |body: Value| {
        site.json(&user, Method::POST, &format!("{letters}/replay"), &body).await
    };
    check!("replay-of-all", replay(json!({})).await?);
    check!("replay-of-none", replay(json!({"dead_letter_ids": [99]})).await?);
    check!("replay-refused", replay(json!({"dag_id": "shop", "task_id": "extract"})).await?);
    let wrong = replay(json!({"dead_letter_id": 1})).await?;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_dismissed_by_people_who_say_which() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let (user, letters) = (site.program(Role::User).await?, "/api/v2/deadLetters");
    let post = async |what: &str, body: Value| {
        site.json(&user, Method::POST, &format!("{letters}/{what}"), &body).await
    };
    assert_eq!(post("dismiss", json!({})).await?.status, StatusCode::UNPROCESSABLE_ENTITY);
    let chosen = json!({"dag_id": "shop", "dag_run_id": "good", "reason": "e-mail"});
    assert_eq!(post("dismiss", chosen.clone()).await?.json(), json!({"dead_letters": 1}));
    let again = post("dismiss", chosen).await?;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let said = "nothing is open to be dismissed: 1 dismissed already";
    assert_eq!(again.json()["detail"], said);
    let replayed = post("replay", json!({"dead_letter_ids": [1]})).await?;
    assert_eq!(replayed.json()["detail"], "nothing is open to be replayed: 1 dismissed");

    // On the page, one of them.
    let browser = site.browser(Role::User).await?;
    let dismiss = async |form: &'static str| -> anyhow::Result<Answer> {
        let mut asked = request(&browser, &Method::POST, "/dead-letters/dismiss", &[])?;
        let kind = "application/x-www-form-urlencoded".parse()?;
        asked.headers_mut().insert("content-type", kind);
        *asked.body_mut() = form.into();
        Answer::read(site.send(asked).await?).await
    };
    let nothing_named = "dag=&run=&task=+&reason=";
    assert_eq!(dismiss(nothing_named).await?.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(site.get(&browser, "/dead-letters/3").await?.text().contains("/dismiss\""));
    assert_eq!(dismiss("id=3").await?.header("location"), "/dead-letters/3");
    assert!(!site.get(&browser, "/dead-letters/3").await?.text().contains("/dismiss\""));

    // One that was not accepted is none, and the other one is as it was.
    let states = site.get(&user, letters).await?.json();
    let states: Vec<_> = states["dead_letters"].as_array().unwrap().iter().collect();
    let states: Vec<_> = states.iter().map(|it| it["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["open", "dismissed", "dismissed"]);
    let records = peek::audit(&site.world.store).await?;
    let told = records.iter().filter(|(event, _)| event == "dismiss_dead_letters").count();
    assert_eq!(told, 2, "{records:?}");
    site.world.close().await
}
