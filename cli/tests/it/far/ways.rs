//! How a server is found and reached: tokens, addresses, certificates.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use subak_testkit::front::Front;

use super::{Far, at_home, with_input};
use crate::{stderr, stdout, subak};

#[test]
fn a_token_is_kept_for_its_user_alone_and_forgotten() {
    let far = Far::start();
    far.login("ana");
    let file = far.home.path().join("subak/servers.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let token = kept[&far.url]["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("subak_api_"));

    // The one in the environment comes first, and is enough.
    let elsewhere = tempfile::tempdir().unwrap();
    let asked = |token: &str| {
        let mut command = at_home(elsewhere.path());
        command.args(["dags", "list", "--server", &far.url]).env("SUBAK_TOKEN", token);
        command.output().unwrap()
    };
    assert!(stdout(&asked(&token)).contains("greeting"), "{}", stderr(&asked(&token)));
    let unknown = asked("subak_api_made_up");
    assert!(stderr(&unknown).contains("does not take the token in SUBAK_TOKEN"));
    assert!(!stderr(&unknown).contains("made_up"), "{}", stderr(&unknown));
    // A token may be brought, too.
    let mut login = at_home(elsewhere.path());
    login.args(["login", &far.url, "--token-stdin"]);
    let brought = with_input(login, &format!("{token}\n"));
    assert!(stdout(&brought).contains("signed in at"), "{}", stderr(&brought));
    let mut login = at_home(elsewhere.path());
    login.args(["login", &far.url, "--token-stdin"]);
    let refused = with_input(login, "subak_api_made_up\n");
    assert!(stderr(&refused).contains("does not take this token"), "{}", stderr(&refused));

    // It is not ended by whoever brought it.
    let mut logout = at_home(elsewhere.path());
    let brought = logout.args(["logout", &far.url]).output().unwrap();
    assert!(stdout(&brought).contains("it is still good: revoke it"), "{}", stderr(&brought));
    assert!(stdout(&asked(&token)).contains("greeting"), "{}", stderr(&asked(&token)));

    // Others may not read it.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(far.bad(&["dags", "list"]).contains("chmod 600"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(far.good(&["logout"]).contains("its token is worth nothing any more"));
    assert!(stderr(&asked(&token)).contains("does not take the token in SUBAK_TOKEN"));
    assert!(far.bad(&["dags", "list"]).contains("say `subak login"));
    assert!(far.bad(&["logout"]).contains("nobody has signed in at"));

    // Which of two places is said.
    let both = far
        .command(&["dags", "list"])
        .env("SUBAK_DATABASE_URL", "postgres://nowhere/subak")
        .output()
        .unwrap();
    assert!(stderr(&both).contains("are both set"), "{}", stderr(&both));
    assert_eq!(far.subak.stop(), Some(0));
}

#[test]
fn a_server_that_cannot_be_reached_is_one_clear_error() {
    let home = tempfile::tempdir().unwrap();
    let asked = |server: &str| {
        let mut command = at_home(home.path());
        command.args(["dags", "list", "--server", server]).env("SUBAK_TOKEN", "subak_api_x");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
        stderr(&output)
    };
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = asked(&format!("http://{free}"));
    assert!(away.contains("cannot be reached") && away.contains("does the server run?"), "{away}");
    let open = asked("http://subak.example.org");
    assert!(open.contains("is not encrypted") && open.contains("--allow-http"), "{open}");
    assert!(asked("ftp://subak.example.org").contains("use https://"));

    // Whoever signs out there is told that the token goes on.
    let url = format!("http://{free}");
    let file = home.path().join("subak/servers.json");
    let token = "subak_api_kept";
    let kept = json!({ (url.as_str()): {
        "username": "ana", "token": token, "expires_at": "2999-01-02T03:04:05Z", "cacert": null,
    } });
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, kept.to_string()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let left = at_home(home.path()).args(["logout", &url]).output().unwrap();
    assert_eq!(left.status.code(), Some(0), "{}", stderr(&left));
    let told = stdout(&left);
    assert!(told.contains("is removed here") && told.contains("cannot be reached"), "{told}");
    assert!(told.contains("still good until 2999-01-02"), "{told}");
    assert!(!told.contains(token), "{told}");
    assert!(!std::fs::read_to_string(&file).unwrap().contains(token));
}

#[test]
fn shells_are_told_what_there_is() {
    for (shell, sign) in
        [("bash", "_subak()"), ("zsh", "#compdef subak"), ("fish", "complete -c subak")]
    {
        let script = stdout(&subak(&["completions", shell]));
        assert!(script.contains(sign) && script.contains("deadletters"), "{shell}: {script}");
    }
    assert_eq!(subak(&["completions", "tcsh"]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_held_against_the_authority_that_is_named() {
    let far = Far::start();
    let port = far.url.rsplit(':').next().unwrap().parse().unwrap();
    let (front, other) = (Front::before(port).await.unwrap(), Front::before(port).await.unwrap());
    let url = format!("https://localhost:{}", front.port());
    let login = |url: &str, authority: Option<&str>| {
        let mut login = at_home(far.home.path());
        login.args(["login", url, "--username", "ana", "--password-stdin"]);
        if let Some(file) = authority {
            login.args(["--cacert", file]);
        }
        with_input(login, "correct horse battery\n")
    };
    for authority in [None, Some(other.authority())] {
        let refused = login(&url, authority.as_deref());
        assert_eq!(refused.status.code(), Some(1), "{}", stdout(&refused));
        let told = stderr(&refused);
        assert!(told.contains("is not trusted") && told.contains("--cacert"), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let authority = front.authority();
    let by_number = format!("https://127.0.0.1:{}", front.port());
    let named = stderr(&login(&by_number, Some(&authority)));
    assert!(named.contains("of another name"), "{named}");
    let missing = stderr(&login(&url, Some("none.pem")));
    assert!(
        missing.contains("reading the certificate") && missing.contains("none.pem"),
        "{missing}"
    );

    let done = login(&url, Some(&authority));
    assert!(done.status.success(), "{}", stderr(&done));
    // Which authority it was is kept with the token.
    let mut list = at_home(far.home.path());
    let list = list.args(["dags", "list", "--server", &url]).output().unwrap();
    assert!(stdout(&list).contains("greeting"), "{}", stderr(&list));
    // Plain text to what speaks TLS.
    let plain = url.replace("https", "http");
    let plain = stderr(&login(&plain, Some(&authority)));
    assert!(plain.contains("broke off") || plain.contains("cannot be reached"), "{plain}");
    assert_eq!(far.subak.stop(), Some(0));
}
