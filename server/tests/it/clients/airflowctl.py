"""Airflow's own command, `airflowctl`, against a running server: what its commands did is read back.
usage: airflowctl.py URL USER PASSWORD FOLDER
"""

import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
import time

# This file's own name is the package's.
del sys.path[0]

import urllib3
from airflowctl.__main__ import main

URL, USER, PASSWORD, FOLDER = sys.argv[1:5]
PLACE = pathlib.Path(tempfile.mkdtemp())


def run(*arguments, status=0):
    """Runs a command as a shell would, but for the seconds that each start takes; returns what it says."""
    said, code = io.StringIO(), 0
    sys.argv = ["airflowctl", *arguments]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        except Exception as error:
            print(error)
            code = 1
    assert (code == 0) == (status == 0), (arguments, code, said.getvalue())
    return said.getvalue()


def read(*arguments):
    """Runs a command and returns its answer."""
    said = run(*arguments, "--output", "json")
    start = min(at for at in (said.find("["), said.find("{")) if at >= 0)
    return json.loads(said[start:])


def written(name, value):
    path = PLACE / name
    path.write_text(json.dumps(value))
    return str(path)


body = json.dumps({"username": USER, "password": PASSWORD})
headers = {"Content-Type": "application/json"}
answer = urllib3.request("POST", f"{URL}/auth/token/cli", body=body, headers=headers)
os.environ["AIRFLOW_CLI_TOKEN"] = answer.json()["access_token"]
run("auth", "login", "--api-url", URL, "--skip-keyring")
run("version", "--remote")
assert sorted(it["dag_id"] for it in read("dags", "list")) == ["idle", "shop"]
run("dags", "pause", "idle")
assert read("dags", "get", "idle")[0]["is_paused"] in (True, "True")
run("dags", "unpause", "idle")
for flag, holds in (("--is-paused", (True, "True")), ("--no-is-paused", (False, "False"))):
    assert read("dags", "update", "idle", flag)[0]["is_paused"] in holds, flag
assert read("dags", "next-execution", "idle")[0]["next_dagrun_run_after"].startswith("2090-01-01")
assert read("dags", "get-version", "idle", "1")[0]["dag_id"] == "idle"
assert read("dags", "get-details", "shop")[0]["catchup"] in (False, "False")
assert len(read("dags", "list-version", "shop")) == 1
broken = read("dags", "list-import-errors")
assert len(broken) == 1
broken = read("dags", "get-import-error", str(broken[0]["import_error_id"]))
assert "broken.yaml" in broken[0]["filename"], broken
made = read("dags", "trigger", "idle", "--dag-run-id", "ctl", "--note", "by hand")
assert made[0]["dag_run_id"] == "ctl", made
end = time.monotonic() + 600
while (found := read("dagrun", "get", "idle", "ctl")[0])["state"] not in ("success", "failed"):
    assert time.monotonic() < end, found
assert found["state"] == "success" and found["note"] == "by hand", found
listed = read("dagrun", "list", "--dag-id", "idle", "--state", "success", "--limit", "5")
listed = listed[0].get("dag_runs", listed) if isinstance(listed, list) else listed["dag_runs"]
assert "ctl" in json.dumps(listed), listed
made = read("dags", "trigger", "shop", "--dag-run-id", "ctl")
while read("dagrun", "get", "shop", "ctl")[0]["state"] not in ("success", "failed"):
    assert time.monotonic() < end, "the run of `shop` goes on"
assert [it["key"] for it in read("xcom", "list", "shop", "ctl", "first")] == ["return_value"]
assert "hello 12" in run("xcom", "get", "shop", "ctl", "first", "return_value", "--output", "json")
run("dags", "get", "none", status=1)

span = ["--dag-id", "idle", "--from-date", "2020-01-01T00:00:00Z", "--to-date", "2020-01-02T00:00:00Z"]
made = read("backfill", "create", *span, "--max-active-runs", "1", "--reprocess-behavior", "none")[0]
while not read("backfill", "get", str(made["id"]))[0]["completed_at"]:
    assert time.monotonic() < end, "the backfill goes on"
assert [it["id"] for it in read("backfill", "list", "idle")] == [made["id"]]
# It wants to show the dates of a dry run as a backfill, and cannot: it has read them by then.
assert "total_entries': 2" in run("backfill", "create-dry-run", *span, "--max-active-runs", "1",
                                  "--reprocess-behavior", "completed", status=1)
# Its calls for these have the wrong verb, which the server takes too. The command fails when it wants to
# show the answer: what it has done is read back.
run("dags", "pause", "idle")
span = ["--dag-id", "idle", "--from-date", "2020-02-01T00:00:00Z", "--to-date", "2020-02-02T00:00:00Z"]
held = str(read("backfill", "create", *span, "--max-active-runs", "1", "--reprocess-behavior", "none")[0]["id"])
for verb, field, holds in (
    ("pause", "is_paused", (True, "True")),
    ("unpause", "is_paused", (False, "False")),
):
    assert "no attribute 'output'" in run("backfill", verb, held, status=1)
    assert read("backfill", "get", held)[0][field] in holds, verb
assert "no attribute 'output'" in run("backfill", "cancel", held, status=1)
assert read("backfill", "get", held)[0]["completed_at"] not in (None, "None")
run("dags", "unpause", "idle")

asset = read("assets", "list")[0]
assert asset["uri"] == "s3://shop/first", asset
assert read("assets", "create-event", "--asset-id", str(asset["id"]))[0]["uri"] == asset["uri"]
# Its path for this ends with a slash; and it asks twice for what it is told that there is not.
assert "501" in run("assets", "delete-queued-events", str(asset["id"]), status=1)
# It has read the tags when it fails to show them, and asks for the counts of `s`, `h`, `o` and `p`.
assert "mapper" in run("dags", "get-tags", status=1)
run("dags", "get-stats", "shop")

read("pools", "create", "--name", "narrow", "--slots", "2", "--description", "a door")
assert int(read("pools", "get", "narrow")[0]["slots"]) == 2
run("pools", "update", "--pool", "narrow", "--slots", "3")
assert int(read("pools", "get", "narrow")[0]["slots"]) == 3
wide = {"name": "wide", "slots": 7, "description": "a gate", "include_deferred": False}
run("pools", "import", written("pools.json", [wide]), "-a", "overwrite")
assert sorted(it["name"] for it in read("pools", "list")) == ["default_pool", "narrow", "wide"]
run("pools", "export", str(PLACE / "exported.json"))
exported = json.loads((PLACE / "exported.json").read_text())
assert sorted(it["name"] for it in exported) == ["default_pool", "narrow", "wide"], exported
run("pools", "delete", "narrow")
run("pools", "get", "narrow", status=1)

read("variables", "create", "--key", "region", "--value", "north", "--description", "where")
assert read("variables", "get", "region")[0]["value"] == "north"
run("variables", "update", "--key", "region", "--value", "west")
assert read("variables", "get", "region")[0]["value"] == "west"
run("variables", "import", written("variables.json", {"limit": "3", "region": "south"}), "-a", "overwrite")
assert read("variables", "get", "region")[0]["value"] == "south"
assert sorted(it["key"] for it in read("variables", "list")) == ["limit", "region"]
run("variables", "delete", "limit")

sales = ["--connection-id", "sales", "--conn-type", "postgres", "--host", "db.example"]
read("connections", "create", *sales, "--password", "hunter22")
shown = run("connections", "get", "sales", "--output", "json")
assert "db.example" in shown and "hunter22" not in shown, shown
run("connections", "update", *sales[:4], "--host", "db2.example")
assert "db2.example" in run("connections", "get", "sales", "--output", "json")
events = {"events": {"conn_type": "kafka", "host": "broker:9092"}}
run("connections", "import", written("connections.json", events), "-a", "overwrite")
found = sorted(it["connection_id"] for it in read("connections", "list"))
assert found == ["events", "sales"], found
run("connections", "delete", "sales")

run("dags", "delete", "idle", status=1)
(pathlib.Path(FOLDER) / "idle.yaml").unlink()
while read("dags", "get", "idle")[0]["is_stale"] not in (True, "True"):
    assert time.monotonic() < end, "the file is not missed"
assert read("dags", "delete", "idle")[0]["entity"] == "idle"
run("dags", "get", "idle", status=1)
print("all as it should be")
