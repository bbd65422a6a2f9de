//! How long a browser's session lasts, and what its cookie is.

use axum::http::{Method, StatusCode, header};
use subak_store::access::Role;
use subak_testkit::peek;

use super::site::{Answer, Sender, Site, request};

/// Signs in by the form, with these headers; the cookie that the answer sets.
async fn sign_in(site: &Site, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
    let mut form = request(&Sender::Stranger, &Method::POST, "/sign-in", headers)?;
    form.headers_mut().insert(header::CONTENT_TYPE, "application/x-www-form-urlencoded".parse()?);
    *form.body_mut() = "username=ana&password=correct+horse+battery&next=%2F".into();
    let answer = Answer::read(site.send(form).await?).await?;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    Ok(answer)
}

/// The session's secret in a `Set-Cookie`.
fn secret(answer: &Answer) -> String {
    answer.header("set-cookie").split(['=', ';']).nth(1).unwrap().to_owned()
}

async fn ana(site: &Site) -> anyhow::Result<()> {
    let password = secrecy::SecretString::from("correct horse battery");
    site.world.store.user_create("ana", Some(&password), Role::User).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_when_idle_after_a_week_and_with_the_next_sign_in() -> anyhow::Result<()> {
    let site = Site::new().await?;
    ana(&site).await?;
    let store = &site.world.store;
    let goes_on = async |session: &str| -> anyhow::Result<bool> {
        let answer = site.get(&Sender::Session(session.to_owned()), "/").await?;
        let turned_away = (StatusCode::SEE_OTHER, "/sign-in");
        let is_away = (answer.status, answer.header("location")) == turned_away;
        assert!(is_away || answer.status == StatusCode::OK, "{}", answer.status);
        Ok(!is_away)
    };
    let age = async |seen: &str, ends: &str| {
        let sql = format!(
            "UPDATE web_session SET seen_at = now() - interval '{seen}',
                                    expires_at = now() + interval '{ends}'"
        );
        peek::meddle(store, &sql).await
    };

    let first = secret(&sign_in(&site, &[]).await?);
    let life = peek::text(store, "SELECT (expires_at - created_at)::text FROM web_session").await?;
    assert_eq!(life.as_deref(), Some("7 days"));
    assert!(goes_on(&first).await?);
    // A visit shortly before the end begins the idle time anew, and moves the end no further.
    age("11 hours 59 minutes", "1 hour").await?;
    assert!(goes_on(&first).await?);
    let seen = "SELECT (seen_at > now() - interval '1 minute' AND expires_at < now() + interval '1 hour')::text
                FROM web_session";
    assert_eq!(peek::text(store, seen).await?.as_deref(), Some("true"));
    age("12 hours 1 minute", "1 hour").await?;
    assert!(!goes_on(&first).await?);
    age("0 minutes", "-1 second").await?;
    assert!(!goes_on(&first).await?);
    age("0 minutes", "1 hour").await?;
    assert!(goes_on(&first).await?);

    // Whoever signs in again has another secret, and the one before is worth nothing.
    let cookie = format!("subak={first}");
    let again = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
    let second = secret(&sign_in(&site, &again).await?);
    assert_ne!(second, first);
    assert!(goes_on(&second).await? && !goes_on(&first).await?);
    // Nor does one that somebody has put there become a session.
    let planted = [("cookie", "subak=planted"), ("sec-fetch-site", "same-origin")];
    assert_ne!(secret(&sign_in(&site, &planted).await?), "planted");
    assert!(!goes_on("planted").await?);
    // What has ended is swept with the next sign-in.
    age("13 hours", "1 hour").await?;
    sign_in(&site, &[]).await?;
    let left = peek::text(store, "SELECT count(*)::text FROM web_session").await?;
    assert_eq!(left.as_deref(), Some("1"));
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_https_the_cookie_is_bound_to_the_host_and_browsers_stay_there() -> anyhow::Result<()> {
    let site = Site::by_https().await?;
    ana(&site).await?;
    let answer = sign_in(&site, &[]).await?;
    assert_eq!(answer.header("strict-transport-security"), "max-age=31536000");
    let cookie = answer.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-subak="), "{cookie}");
    let marks: Vec<&str> = cookie.split("; ").skip(1).collect();
    for mark in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(marks.contains(&mark), "{mark}: {cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    // Under another name, which another host could have set, it is no session.
    let secret = secret(&answer);
    for (name, status) in [("__Host-subak", StatusCode::OK), ("subak", StatusCode::SEE_OTHER)] {
        let cookie = format!("{name}={secret}");
        let with = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
        let page = site.send(request(&Sender::Stranger, &Method::GET, "/", &with)?).await?;
        assert_eq!(page.status(), status, "{name}");
    }
    site.world.close().await?;

    let site = Site::new().await?;
    let answer = site.get(&Sender::Stranger, "/sign-in").await?;
    assert_eq!(answer.header("strict-transport-security"), "");
    site.world.close().await
}
