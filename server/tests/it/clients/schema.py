"""What the server says of its API is held against what it does: schemathesis sends requests made of the
document, and refuses errors of the server and answers that the document does not have.
usage: schema.py URL USER PASSWORD FOLDER TOKEN_OF_A_VIEWER
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import urllib3

URL, USER, PASSWORD, _, VIEWER = sys.argv[1:6]
COMMAND = str(pathlib.Path(sys.executable).parent / "st")
# What asks brokers and databases, which are not there: asked only while there is no connection.
ASKS_FAR = ("/test", "/topics")

body = json.dumps({"username": USER, "password": PASSWORD})
headers = {"Content-Type": "application/json"}
token = urllib3.request("POST", f"{URL}/auth/token", body=body, headers=headers).json()
headers = {"Authorization": f"Bearer {token['access_token']}"}
# Something to be found.
first = json.dumps({"dag_run_id": "0", "logical_date": None})
for dag in ("shop", "idle"):
    made = urllib3.request(
        "POST",
        f"{URL}/api/v2/dags/{dag}/dagRuns",
        body=first,
        headers=headers | {"Content-Type": "application/json"},
    )
    assert made.status == 200, made.data
# Nothing of the other DAG is touched: whoever waits for its run has the end at once, however long the
# interval is.
ended = urllib3.request("GET", f"{URL}/api/v2/dags/idle/dagRuns/0/wait?interval=0.1", headers=headers)
assert ended.data.splitlines()[-1] == b'{"state":"success"}', ended.data

# Of a viewer much is refused.
seen = {"Authorization": f"Bearer {VIEWER}", "Content-Type": "application/json"}
refused = urllib3.request("PATCH", f"{URL}/api/v2/dags/shop", body='{"is_paused": true}', headers=seen)
assert refused.status == 403, refused.data

document = urllib3.request("GET", f"{URL}/api/v2/openapi.json", headers=headers).json()
for path, operations in list(document["paths"].items()):
    for method, operation in list(operations.items()):
        is_built = "501" not in operation["responses"]
        # The one that ends the token of these requests.
        is_last = (method, path) == ("delete", "/auth/token")
        if not is_built or is_last:
            del operations[method]
        for parameter in operation["parameters"]:
            dag = "idle" if path.endswith("/wait") else "shop"
            known = {"dag_id": dag, "run_id": "0", "task_id": "first"}.get(parameter["name"])
            if known and parameter["in"] == "path":
                parameter["schema"] = {"type": "string", "enum": [known, "none"]}
    if not operations:
        del document["paths"][path]
checks = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
]


def run(token, examples, wanted):
    """Sends so many requests of each operation that is wanted, and ends if an answer is wrong."""
    paths = {
        path: {method: it for method, it in operations.items() if wanted(path, it)}
        for path, operations in document["paths"].items()
    }
    paths = {path: operations for path, operations in paths.items() if operations}
    print(sum(len(it) for it in paths.values()), "operations", flush=True)
    # It leaves a folder behind where it runs.
    place = pathlib.Path(tempfile.mkdtemp())
    file = place / "openapi.json"
    file.write_text(json.dumps(document | {"paths": paths}))
    done = subprocess.run(
        [
            COMMAND,
            "run",
            str(file),
            *("--url", URL),
            *("--header", f"Authorization: Bearer {token}"),
            *("--checks", ",".join(checks)),
            *("--phases", "fuzzing"),
            *("--max-examples", str(examples)),
            *("--workers", "2"),
            *("--request-timeout", "30"),
            *("--seed", "1"),
            *("--suppress-health-check", "all"),
            *("--warnings", "off"),
            "--continue-on-failure",
            "--no-color",
        ],
        cwd=place,
        timeout=900,
    )
    if done.returncode:
        sys.exit(done.returncode)


def asks_far(path):
    return any(it in path for it in ASKS_FAR)


def is_refused(operation):
    """Whether a viewer may not do it."""
    return any(f"Role: {role}." in operation["description"] for role in ("user", "op", "admin"))


# First: a viewer makes nothing.
run(VIEWER, 2, lambda path, it: is_refused(it) or asks_far(path))
run(token["access_token"], 12, lambda path, it: not asks_far(path))
