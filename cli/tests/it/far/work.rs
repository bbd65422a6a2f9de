//! What people do: sign in, look, run, mend.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::json;

use super::{Far, PASSWORD, with_input};
use crate::{standalone, stderr, stdout};

#[test]
fn a_person_runs_and_mends_a_dag_on_another_server() {
    let far = Far::start();
    let stranger = far.bad(&["dags", "list"]);
    assert!(stranger.contains("say `subak login http://127.0.0.1:"), "{stranger}");
    assert!(far.login("ana").contains("as ana until "), "{}", far.login("ana"));

    let dags = far.good(&["dags", "list"]);
    assert!(dags.starts_with("DAG       SCHEDULE  NEXT RUN  FILE\n"), "{dags}");
    assert!(dags.contains("greeting"), "{dags}");
    let shown = far.good(&["dags", "show", "greeting"]);
    assert!(shown.contains("param      name: \"world\"") && shown.contains("greet"), "{shown}");
    assert!(far.good(&["dags", "show", "greeting", "--source"]).contains("echo \"hello $NAME\""));

    let run = ["runs", "trigger", "greeting", "--run-id", "far", "--param", "name=Wayan", "--wait"];
    let told = far.good(&run);
    assert!(told.starts_with("greeting  far  ") && told.contains("greeting success in"), "{told}");
    let failed = far.run(&["runs", "trigger", "broken", "--run-id", "one", "--wait"]);
    assert_eq!(failed.status.code(), Some(3), "{}", stderr(&failed));
    let log = far.good(&["runs", "logs", "greeting", "--task", "greet"]);
    assert!(log.contains("hello Wayan\n"), "{log}");
    let followed = far.good(&["runs", "logs", "broken", "--task", "fails", "--follow"]);
    assert_eq!(followed.matches("no luck\n").count(), 1, "{followed}");
    assert!(far.good(&["explain", "broken", "fails"]).contains("has ended (failed)"));

    let would = far.good(&["runs", "clear", "greeting", "--task", "greet", "--dry-run"]);
    assert_eq!(would, "greeting  far  would clear greet\n");
    let cleared = far.good(&["runs", "clear", "greeting", "--task", "greet", "--wait"]);
    assert!(cleared.starts_with("greeting  far  1 cleared\n"), "{cleared}");
    let run = far.json(&["runs", "show", "greeting", "far"]);
    assert_eq!((&run["state"], &run["conf"]), (&json!("success"), &json!({"name": "Wayan"})));
    assert_eq!(run["task_instances"][0]["try_number"], 2);
    let nothing = far.bad(&["runs", "clear", "greeting", "--failed"]);
    assert!(nothing.contains("nothing was cleared"), "{nothing}");

    let mark = ["runs", "mark", "broken", "one", "--task", "fails", "--success"];
    assert_eq!(far.good(&mark), "broken  one  marked as success: fails\n");
    assert_eq!(far.good(&mark), "broken  one  marked as success: nothing\n");
    assert_eq!(far.good(&["runs", "note", "broken", "--text", "by hand"]), "broken  one  noted\n");
    assert!(far.bad(&["runs", "cancel", "broken"]).contains("has ended (success)"));
    assert_eq!(far.good(&["runs", "delete", "broken", "one"]), "broken  one  is deleted\n");
    assert!(far.bad(&["runs", "show", "broken"]).contains("has no run yet"));
    let unknown = far.bad(&["runs", "show", "greeting", "none"]);
    assert!(unknown.contains("none") && unknown.contains("subak runs list"), "{unknown}");

    assert!(far.good(&["dags", "pause", "greeting"]).contains("greeting is paused"));
    assert!(far.good(&["dags", "list"]).contains("paused"));
    // A run of it says why it waits; a name that is misspelt is told.
    let odd = ["runs", "trigger", "greeting", "--run-id", "odd", "--param", "name1=x", "--wait"];
    let (out, err) = (Stdio::piped(), Stdio::piped());
    let mut waits = far.command(&odd).stdout(out).stderr(err).spawn().unwrap();
    let mut lines = BufReader::new(waits.stdout.take().unwrap()).lines();
    let told = [lines.next().unwrap().unwrap(), lines.next().unwrap().unwrap()].join("\n");
    assert!(told.contains("queued\nDAG `greeting` is paused: "), "{told}");
    far.good(&["dags", "unpause", "greeting"]);
    assert!(lines.any(|line| line.unwrap().contains("greeting success in")));
    let ended = waits.wait_with_output().unwrap();
    assert!(stderr(&ended).contains("no such param: did you mean \"name\"?"), "{}", stderr(&ended));
    let logs = ["runs", "logs", "greeting", "--task", "greet", "--try-number", "7"];
    assert!(far.bad(&logs).contains("has no try 7: its last one is 1"), "{}", far.bad(&logs));
    assert!(far.bad(&["runs", "list", "nosuch"]).contains("`nosuch`"));
    let kept = far.bad(&["dags", "delete", "greeting"]);
    assert!(kept.contains("its file is there"), "{kept}");
    let audit = far.good(&["audit", "--user", "ana"]);
    assert!(audit.contains("trigger_dag_run") && audit.contains("greeting"), "{audit}");
    assert_eq!(far.subak.stop(), Some(0));
}

#[test]
fn what_is_kept_is_the_same_here_and_there() {
    let far = Far::start();
    far.login("ana");
    assert_eq!(far.good(&["pools", "set", "warehouse", "4"]), "pool warehouse: 4 slots\n");
    let described = ["pools", "set", "warehouse", "2", "--description", "connections"];
    assert_eq!(far.good(&described), "pool warehouse: 2 slots\n");
    far.good(&["variables", "set", "region", "eu"]);
    far.good(&["variables", "set", "shop_token", "hunter2"]);
    assert_eq!(far.good(&["variables", "get", "region"]), "eu\n");
    assert!(far.bad(&["variables", "get", "shop_token"]).contains("does not show the secret"));
    let add = ["connections", "add", "users_db", "--host", "db", "--password-stdin"];
    for _ in 0..2 {
        let added = with_input(far.command(&add), "s3cret\n");
        assert!(added.status.success(), "{}", stderr(&added));
    }
    let tested = far.bad(&["connections", "test", "users_db"]);
    assert!(tested.contains("`users_db` does not work"), "{tested}");

    // The same lists, by the database and by the server.
    for command in ["pools", "variables", "connections", "ranges", "deadletters", "runs"] {
        let there = far.good(&[command, "list"]);
        let here = stdout(&far.subak.subak(&[command, "list"]));
        assert_eq!(here, there, "{command}");
        assert!(!there.contains("hunter2") && !there.contains("s3cret"), "{there}");
    }
    for command in [["pools", "list"], ["connections", "list"], ["runs", "list"]] {
        let here = far.subak.subak(&[&command[..], &["--json"]].concat());
        let here: serde_json::Value = serde_json::from_slice(&here.stdout).unwrap();
        assert_eq!(here, far.json(&command), "{command:?}");
    }
    far.good(&["pools", "remove", "warehouse"]);
    assert!(far.bad(&["pools", "remove", "warehouse"]).contains("warehouse"));
    far.good(&["variables", "remove", "region"]);
    far.good(&["connections", "remove", "users_db"]);
    let to = ["deadletters", "export", "--to", "none.jsonl"];
    assert_eq!(far.good(&to), "0 dead letters in none.jsonl\n");

    // Users, tokens and workers, by an administrator.
    let raised = far.subak.subak(&["users", "role", "ana", "admin"]);
    assert!(raised.status.success(), "{}", stderr(&raised));
    let added = far.good(&["users", "add", "mia", "--role", "none"]);
    let link = format!("{}/sign-in/link?token=subak_link_", far.url);
    assert!(added.starts_with("added user `mia`, none\n") && added.contains(&link), "{added}");
    let changed = with_input(far.command(&["users", "password", "mia"]), "short\n");
    assert!(stderr(&changed).contains("at least 8 characters"), "{}", stderr(&changed));
    far.good(&["users", "grant", "mia", "user", "--dag", "greeting"]);
    let create = ["tokens", "create", "deploy", "--user", "mia", "--scope", "viewer"];
    assert!(far.good(&create).starts_with("subak_api_"));
    for command in
        [&["users", "list"][..], &["tokens", "list", "--user", "mia"], &["workers", "list"]]
    {
        let here = far.subak.subak(&[command, &["--json"]].concat());
        let here: serde_json::Value = serde_json::from_slice(&here.stdout).unwrap();
        assert_eq!(here, far.json(command), "{command:?}");
        assert!(here[0].is_object(), "{command:?}: {here}");
    }
    let tokens = far.json(&["tokens", "list", "--user", "mia"]);
    let id = tokens[0]["token_id"].as_str().unwrap();
    assert!(far.good(&["tokens", "revoke", id]).contains("is worth nothing any more"));
    assert!(far.bad(&["tokens", "revoke", id]).contains("subak tokens list"));
    far.good(&["users", "revoke", "mia", "--dag", "greeting"]);
    let nothing = far.bad(&["users", "revoke", "mia", "--dag", "greeting"]);
    assert!(nothing.contains("nothing is granted to user `mia`"), "{nothing}");
    far.good(&["users", "disable", "mia"]);
    assert!(far.bad(&["users", "role", "mia", "op"]).contains("user `mia` does not exist"));
    assert_eq!(far.good(&["users", "enable", "mia"]), "user `mia` may sign in again\n");
    assert!(far.bad(&["users", "disable", "ana"]).contains("you cannot disable yourself"));
    let worker = far.json(&["workers", "list"])[0]["worker"].as_str().unwrap().to_owned();
    assert!(far.good(&["workers", "drain", &worker]).contains("takes no more tasks"));
    assert!(far.bad(&["workers", "drain", "nobody"]).contains("no worker named `nobody`"));
    assert_eq!(far.subak.stop(), Some(0));
}

#[test]
fn what_a_server_refuses_is_told() {
    let far = Far::start();
    far.login("vera");
    assert!(far.good(&["dags", "list"]).contains("greeting"));
    let refused = far.bad(&["runs", "trigger", "greeting"]);
    assert!(refused.contains("viewer") && refused.contains("user"), "{refused}");
    assert!(far.bad(&["dags", "show", "no_such"]).contains("does not exist"));
    for (command, needed) in [("users", "admin"), ("workers", "op")] {
        let refused = far.bad(&[command, "list"]);
        assert!(refused.contains(&format!("role `{needed}` is needed")), "{refused}");
    }
    let only_here = far.bad(&["workers", "tokens"]);
    assert!(only_here.contains("works on the metadata database"), "{only_here}");
    let to_table = far.bad(&["deadletters", "export", "--to", "postgres://warehouse/rejected"]);
    assert!(to_table.contains("name a file"), "{to_table}");
    // One's own tokens, and no other's.
    assert!(far.good(&["tokens", "list"]).contains("subak login on "));
    assert!(far.bad(&["tokens", "list", "--user", "ana"]).contains("role `admin` is needed"));
    // Revoked at the server.
    let tokens = stdout(&far.subak.subak(&["tokens", "list", "--user", "vera", "--json"]));
    let tokens: serde_json::Value = serde_json::from_str(&tokens).unwrap();
    assert!(tokens[0]["name"].as_str().unwrap().starts_with("subak login on "), "{tokens}");
    let revoked = far.subak.subak(&["tokens", "revoke", tokens[0]["token_id"].as_str().unwrap()]);
    assert!(revoked.status.success(), "{}", stderr(&revoked));
    let gone = far.bad(&["dags", "list"]);
    assert!(gone.contains("was revoked or has expired: sign in again with `subak login"), "{gone}");
    assert!(!gone.contains("subak_api_"), "{gone}");

    let wrong = far.command(&["login", "--username", "vera", "--password-stdin"]);
    let wrong = with_input(wrong, "guess\n");
    assert_eq!(wrong.status.code(), Some(1), "{}", stdout(&wrong));
    assert!(!stderr(&wrong).contains("guess"), "{}", stderr(&wrong));
    let again = far.command(&["login", "--username", "vera", "--password-stdin"]);
    assert!(with_input(again, &format!("{PASSWORD}\n")).status.success());
    assert!(far.good(&["dags", "list"]).contains("greeting"));

    // Who may see one DAG is shown what belongs to it.
    for dag in ["greeting", "broken"] {
        let run = far.subak.subak(&["runs", "trigger", dag, "--run-id", "near"]);
        assert!(run.status.success(), "{}", stderr(&run));
    }
    let mut add = standalone::command(far.subak.folder());
    add.args(["users", "add", "lina", "--role", "none", "--password-stdin"]);
    assert!(with_input(add, &format!("{PASSWORD}\n")).status.success());
    let granted = far.subak.subak(&["users", "grant", "lina", "viewer", "--dag", "greeting"]);
    assert!(granted.status.success(), "{}", stderr(&granted));
    far.login("lina");
    for command in [&["runs", "list"][..], &["dags", "list"]] {
        let list = far.good(command);
        assert!(list.contains("greeting") && !list.contains("broken"), "{list}");
    }
    assert!(far.bad(&["runs", "list", "broken"]).contains("`broken` does not exist"));
    assert_eq!(far.subak.stop(), Some(0));
}
