"""Airflow's official Python client against a running server: what it does is read back, and every answer
goes through the client's own models. usage: client.py URL USER PASSWORD FOLDER
"""

import datetime
import inspect
import json
import pathlib
import re
import sys
import time

import airflow_client.client as airflow
import urllib3
from airflow_client.client import api, models

URL, USER, PASSWORD, FOLDER = sys.argv[1:5]
DAG = "shop"
RUN = "by_client"

# Every operation marked P1 in the table of Airflow's API, as method and path below /api/v2.
P1 = """
GET /assets
GET /assets/events
POST /assets/events
GET /backfills
POST /backfills
DELETE /connections/{}
GET /connections/{}
PATCH /connections/{}
GET /connections
POST /connections
PATCH /connections
GET /dags/{}/dagRuns/{}
PATCH /dags/{}/dagRuns/{}
GET /dags/{}/dagRuns
POST /dags/{}/dagRuns
POST /dags/{}/dagRuns/{}/clear
GET /dags/{}/dagRuns/{}/wait
POST /dags/{}/dagRuns/list
GET /dagSources/{}
GET /dagStats
GET /dags
GET /dags/{}
PATCH /dags/{}
DELETE /dags/{}
GET /dags/{}/details
GET /eventLogs
GET /importErrors
DELETE /pools/{}
GET /pools/{}
PATCH /pools/{}
GET /pools
POST /pools
PATCH /pools
GET /dags/{}/dagRuns/{}/taskInstances/{}/xcomEntries/{}
GET /dags/{}/dagRuns/{}/taskInstances/{}/xcomEntries
GET /dags/{}/dagRuns/{}/taskInstances/{}
PATCH /dags/{}/dagRuns/{}/taskInstances/{}
GET /dags/{}/dagRuns/{}/taskInstances/{}/{}
GET /dags/{}/dagRuns/{}/taskInstances
POST /dags/{}/clearTaskInstances
GET /dags/{}/tasks
DELETE /variables/{}
GET /variables/{}
PATCH /variables/{}
GET /variables
POST /variables
PATCH /variables
GET /dags/{}/dagRuns/{}/taskInstances/{}/logs/{}
GET /dagTags
GET /dags/{}/dagVersions
GET /monitor/health
GET /version
""".strip().splitlines()


class Client(airflow.ApiClient):
    """Remembers which operations were called."""

    called = set()

    def param_serialize(self, method, resource_path, *arguments, **named):
        path = re.sub(r"\{[^}]*\}", "{}", resource_path)
        self.called.add(f"{method} {path.removeprefix('/api/v2')}")
        return super().param_serialize(method, resource_path, *arguments, **named)


def until(what, holds):
    """Waits; the machine may be busy."""
    end = time.monotonic() + 600
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def token():
    body = json.dumps({"username": USER, "password": PASSWORD})
    answer = urllib3.request(
        "POST", f"{URL}/auth/token", body=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status == 201, answer.data
    return answer.json()["access_token"]


def refused(status, call, *arguments, **named):
    """Holds the status of a refusal against what is expected; returns its problem."""
    try:
        answer = call(*arguments, **named)
    except airflow.ApiException as error:
        assert error.status == status, (call, error.status, error.body)
        return json.loads(error.body)
    raise AssertionError(f"{call} answered {answer}")


def dags(client):
    dag = api.DAGApi(client)
    listed = dag.get_dags(limit=10, order_by=["dag_id"])
    assert [it.dag_id for it in listed.dags] == ["idle", DAG], listed
    assert listed.total_entries == 2
    assert [it.dag_id for it in dag.get_dags(tags=["retail"]).dags] == [DAG]
    assert [it.dag_id for it in dag.get_dags(limit=1, offset=1).dags] == [DAG]
    one = dag.get_dag(DAG)
    assert (one.dag_id, one.is_paused, [it.name for it in one.tags]) == (DAG, False, ["retail"])
    details = dag.get_dag_details(DAG)
    assert details.params["most"]["value"] == 10, details.params
    assert [it.dag_id for it in dag.get_dags(dag_id_pattern="%ho%", owners=["airflow"]).dags] == [DAG]
    assert dag.get_dags(tags=["retail", "none"], tags_match_mode="all").total_entries == 0
    assert dag.get_dags(last_dag_run_state=models.DagRunState.FAILED).total_entries == 0
    assert dag.get_dags(paused=True).total_entries == 0
    assert dag.get_dags(is_favorite=False, has_asset_schedule=False).total_entries == 2
    for nowhere in (
        {"is_favorite": True},
        {"has_asset_schedule": True},
        {"asset_dependency": "s3"},
        {"bundle_name": "dags"},
        {"bundle_version": "1"},
    ):
        assert dag.get_dags(**nowhere).total_entries == 0, nowhere
    of_type = lambda name: [
        it.dag_id for it in dag.get_dags(timetable_type=[f"airflow.timetables.{name}"]).dags
    ]
    assert of_type("simple.NullTimetable") == [DAG]
    assert of_type("trigger.CronTriggerTimetable") == ["idle"]
    assert of_type("events.EventsTimetable") == []
    paused = dag.patch_dag(DAG, models.DAGPatchBody(is_paused=True), update_mask=["is_paused"])
    assert paused.is_paused and dag.get_dag(DAG).is_paused
    assert not dag.patch_dag(DAG, models.DAGPatchBody(is_paused=False)).is_paused
    assert dag.get_dag_tags().tags == ["retail"]
    assert refused(404, dag.get_dag, "none")["detail"] == "DAG `none` does not exist"

    tasks = api.TaskApi(client).get_tasks(DAG)
    assert [it.task_id for it in tasks.tasks] == ["each", "first", "last"], tasks
    tasks = api.TaskApi(client).get_tasks(DAG, order_by="-task_id")
    assert [it.task_id for it in tasks.tasks] == ["last", "first", "each"], tasks
    first = api.TaskApi(client).get_task(DAG, "first")
    assert first.downstream_task_ids == ["each", "last"] and first.retry_delay.seconds == 1
    source = api.DagSourceApi(client).get_dag_source(DAG, accept="application/json")
    assert "dag_id: shop" in source.content, source
    versions = api.DagVersionApi(client).get_dag_versions(DAG)
    assert [it.version_number for it in versions.dag_versions] == [1]
    versions = api.DagVersionApi(client).get_dag_versions(DAG, order_by=["bundle_name", "-id"])
    assert versions.total_entries == 1
    versions = api.DagVersionApi(client).get_dag_versions("~", order_by=["-created_at"])
    made = [it.created_at for it in versions.dag_versions]
    assert DAG in [it.dag_id for it in versions.dag_versions] and made == sorted(made, reverse=True)
    of_bundle = {"bundle_name": "dags", "bundle_version": "1"}
    assert api.DagVersionApi(client).get_dag_versions(DAG, **of_bundle).total_entries == 0
    assert api.ImportErrorApi(client).get_import_errors(bundle_name="dags").total_entries == 0
    errors = api.ImportErrorApi(client).get_import_errors(order_by=["stacktrace", "-bundle_name"])
    assert errors.total_entries == 1 and "broken.yaml" in errors.import_errors[0].filename


def runs(client):
    run = api.DagRunApi(client)
    body = models.TriggerDAGRunPostBody(
        dag_run_id=RUN, conf={"most": 12}, note="a note", logical_date=None
    )
    made = run.trigger_dag_run(DAG, body)
    assert (made.dag_run_id, made.conf, made.note) == (RUN, {"most": 12}, "a note"), made
    assert made.triggered_by == models.DagRunTriggeredByType.REST_API
    assert made.triggering_user_name == USER
    assert refused(409, run.trigger_dag_run, DAG, body)["type"] == "/docs/errors/conflict"
    # Lines of JSON until it has ended. The client's own method wants one value: it has the last line.
    waited = run.wait_dag_run_until_finished_without_preload_content(
        DAG, RUN, interval=0.1, result=["first", "each"]
    )
    lines = [json.loads(line) for line in waited.data.decode().splitlines()]
    assert lines[-1] == {"state": "failed", "results": {"first": "hello 12"}}, lines
    assert run.get_dag_run(DAG, RUN).state == "failed"
    for number in range(5):
        run.trigger_dag_run(
            "idle",
            models.TriggerDAGRunPostBody(dag_run_id=f"idle_{number}", logical_date=None),
        )
    ended = lambda: run.get_dag_runs("idle", state=["success"]).total_entries == 5
    until("five idle runs", ended)

    task = api.TaskInstanceApi(client)
    listed = task.get_task_instances(DAG, RUN)
    found = {(it.task_id, it.map_index): it.state for it in listed.task_instances}
    assert found["first", -1] == "success" and found["last", -1] == "upstream_failed", found
    assert (found["each", 0], found["each", 1]) == ("success", "failed"), found
    failed = task.get_task_instances(DAG, RUN, state=["failed"])
    assert [it.task_id for it in failed.task_instances] == ["each"], failed
    assert task.get_task_instance(DAG, RUN, "first").try_number == 1
    assert task.get_mapped_task_instance(DAG, RUN, "each", 1).state == "failed"
    mapped = task.get_mapped_task_instances(DAG, RUN, "each", state=["failed"])
    assert [it.map_index for it in mapped.task_instances] == [1], mapped
    tries = task.get_task_instance_tries(DAG, RUN, "first")
    assert [(it.try_number, it.state) for it in tries.task_instances] == [(1, "success")], tries
    assert task.get_task_instance_try_details(DAG, RUN, "first", 1).state == "success"
    assert task.get_mapped_task_instance_tries(DAG, RUN, "each", 0).total_entries == 1
    assert task.get_mapped_task_instance_try_details(
        DAG, RUN, "each", map_index=0, task_try_number=1
    ).map_index == 0
    log = task.get_log(DAG, RUN, "first", 1, full_content=True, accept="application/json")
    lines = [it.event for it in log.content.actual_instance]
    assert "hello 12" in lines, lines
    xcoms = api.XComApi(client)
    entries = xcoms.get_xcom_entries(DAG, RUN, "first")
    assert [it.key for it in entries.xcom_entries] == ["return_value"], entries
    everywhere = xcoms.get_xcom_entries("~", "~", "~", xcom_key_pattern="return", task_id_pattern="f_rst")
    assert [it.task_id for it in everywhere.xcom_entries] == ["first"], everywhere
    assert xcoms.get_xcom_entries("~", "~", "~", xcom_key="none").total_entries == 0
    entry = xcoms.get_xcom_entry(
        dag_id=DAG, dag_run_id=RUN, task_id="first", xcom_key="return_value"
    )
    assert entry.actual_instance.value == "hello 12", entry
    filters(client)
    cursors(client)

    # One instance is marked by itself; what failed for want of it goes on.
    patch = models.PatchTaskInstanceBody(new_state="success", note="seen to")
    marked = task.patch_task_instance(DAG, RUN, "each", patch, map_index=1)
    assert [(it.map_index, it.note) for it in marked.task_instances] == [(1, "seen to")], marked
    over = lambda: run.get_dag_run(DAG, RUN).state not in ("queued", "running")
    until("the run to go on and end", over)
    assert run.get_dag_run(DAG, RUN).state == "success"
    body = {"dag_run_id": RUN, "only_failed": False, "task_ids": ["last", ["each", 0]]}
    would = task.post_clear_task_instances(DAG, models.ClearTaskInstancesBody.from_dict(body))
    found = [(it.task_id, it.map_index) for it in would.task_instances]
    assert found == [("each", 0), ("last", -1)], found
    body |= {"task_ids": ["last"], "dry_run": False}
    cleared = task.post_clear_task_instances(DAG, models.ClearTaskInstancesBody.from_dict(body))
    assert [it.task_id for it in cleared.task_instances] == ["last"], cleared
    until("another try", lambda: task.get_task_instance(DAG, RUN, "last").try_number == 2)
    until("the end of it", over)
    # Of a dry run the client refuses every instance, Airflow's too: it is two of its models at once.
    would = run.clear_dag_run_without_preload_content(DAG, RUN, models.DAGRunClearBody(dry_run=True))
    would = models.TaskInstanceCollectionResponse.from_json(would.data)
    assert would.total_entries == 4 and len(would.task_instances) == 4, would
    again = run.clear_dag_run(DAG, RUN, models.DAGRunClearBody(dry_run=False, note="once more"))
    assert again.actual_instance.note == "once more", again
    until("the end once more", over)
    body = models.DAGRunPatchBody(note="read", state="success")
    noted = run.patch_dag_run(DAG, RUN, body, update_mask=["note"])
    assert noted.note == "read" and noted.state == "failed", noted
    refused(422, run.patch_dag_run, DAG, RUN, body, update_mask=["conf"])
    assert run.patch_dag_run(DAG, RUN, models.DAGRunPatchBody(state="success")).state == "success"
    stats = {it.dag_id: it.stats for it in api.DagStatsApi(client).get_dag_stats([DAG]).dags}
    assert {it.state: it.count for it in stats[DAG]}["success"] == 1, stats
    run.delete_dag_run(DAG, RUN)
    refused(404, run.get_dag_run, DAG, RUN)


def cursors(client):
    run, task = api.DagRunApi(client), api.TaskInstanceApi(client)
    ids = lambda listed: [it.dag_run_id for it in listed.dag_runs]
    # Forwards by cursor, and back again.
    for order in (["-start_date"], ["state", "-updated_at", "dag_run_id"]):
        pages, cursor = [], ""
        while cursor is not None:
            page = run.get_dag_runs("idle", cursor=cursor, limit=2, order_by=order)
            assert page.total_entries is None
            pages.append(ids(page))
            cursor = page.next_cursor
        assert [len(it) for it in pages] == [2, 2, 1], pages
        assert sorted(sum(pages, [])) == [f"idle_{number}" for number in range(5)], pages
        back = run.get_dag_runs("idle", cursor=page.previous_cursor, limit=2, order_by=order)
        assert ids(back) == pages[1], (ids(back), pages)
    other = {"cursor": page.previous_cursor, "order_by": ["state"]}
    refused(422, run.get_dag_runs, "idle", **other)
    first = task.get_task_instances(DAG, RUN, cursor="", limit=3)
    second = task.get_task_instances(DAG, RUN, cursor=first.next_cursor, limit=3)
    assert len(first.task_instances + second.task_instances) == 4 and second.next_cursor is None


def filters(client):
    run = api.DagRunApi(client)
    year = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    ids = lambda listed: [it.dag_run_id for it in listed.dag_runs]
    of = lambda **named: ids(run.get_dag_runs("~", **named))
    assert of(state=["failed"]) == [RUN]
    assert of(dag_id_pattern="SH%p") == [RUN] and of(dag_id_prefix_pattern="sho") == [RUN]
    assert of(run_id_pattern="client|nobody") == [RUN] and of(run_id_prefix_pattern="by_") == [RUN]
    assert of(conf_contains='"most": 12') == [RUN] and of(conf_contains="none") == []
    assert of(triggering_user_name_pattern=USER, dag_id_pattern=DAG) == [RUN]
    assert of(run_type=["scheduled"]) == [] and of(dag_version=[7]) == []
    assert of(start_date_lt=year) == [] and len(of(start_date_gte=year)) == 6
    assert of(duration_gt=100000) == [] and len(of(duration_gte=0)) == 6
    assert of(order_by=["-run_id"], limit=2) == ["idle_4", "idle_3"]
    assert of(order_by=["state", "-run_id"], limit=2) == ["idle_4", "idle_3"]
    assert of(order_by=["-state", "run_id"], limit=2) == [RUN, "idle_0"]
    assert len(of(order_by=["conf", "partition_date", "-logical_date"])) == 6
    refused(422, run.get_dag_runs, "~", order_by=["colour"])
    refused(422, run.get_dag_runs, "~", order_by=["state"] * 11)
    # What no run has is of none.
    assert of(bundle_version="1") == [] and of(consuming_asset_pattern="s3") == []
    assert of(partition_key_pattern="a") == [] and of(partition_key_prefix_pattern="a") == []
    assert of(partition_date_gte=year) == [] and of(partition_date_lte=year) == []
    assert len(of(updated_at_gte=year, updated_at_gt=year)) == 6
    assert of(updated_at_lte=year) == [] and of(updated_at_lt=year) == []
    dag = api.DAGApi(client)
    within = lambda **named: [it.dag_id for it in dag.get_dags(order_by=["dag_id"], **named).dags]
    assert within(dag_run_start_date_gte=year, dag_run_end_date_gt=year) == ["idle", DAG]
    assert within(dag_run_start_date_lt=year) == [] and within(dag_run_end_date_lte=year) == []

    body = models.DAGRunsBatchBody(dag_ids=[DAG], states=["failed"], end_date_gt=year)
    assert ids(run.get_list_dag_runs_batch("~", body)) == [RUN]
    # Null is no state, and no filter that is left out.
    body = models.DAGRunsBatchBody.from_dict({"states": [None]})
    assert ids(run.get_list_dag_runs_batch("~", body)) == []
    body = models.DAGRunsBatchBody(page_limit=2, page_offset=1, order_by="run_id")
    assert ids(run.get_list_dag_runs_batch("~", body)) == ["idle_0", "idle_1"]

    task = api.TaskInstanceApi(client)
    names = lambda listed: [(it.task_id, it.map_index) for it in listed.task_instances]
    of = lambda **named: names(task.get_task_instances("~", "~", **named))
    assert of(dag_id_pattern=DAG, state=["failed"]) == [("each", 1)]
    assert of(task_id="first") == [("first", -1)] and of(operator=["bash"]) == [("each", 0), ("each", 1)]
    assert len(of(run_id_prefix_pattern="idle")) == 5 and of(pool=["none"]) == []
    assert of(map_index=[1]) == [("each", 1)] and of(try_number=[9]) == []
    assert of(start_date_lt=year) == [] and of(queue=["none"]) == []
    assert of(executor=["LocalExecutor"]) == []
    assert of(task_display_name_pattern="las") == [("last", -1)]
    within = lambda **named: names(task.get_task_instances(DAG, RUN, **named))
    assert within(operator=["noop"], order_by=["-task_id"]) == [("last", -1), ("first", -1)]
    assert within(map_index=[0], start_date_gte=year) == [("each", 0)]
    assert within(executor=["LocalExecutor"]) == []
    assert within(order_by=["operator", "-map_index"], limit=2) == [("each", 1), ("each", 0)]
    assert within(order_by=["data_interval_start", "-id"], limit=1) == [("last", -1)]
    assert len(within(updated_at_gte=year)) == 4 and of(updated_at_lt=year) == []
    # No template names them: they are called by their index.
    assert within(rendered_map_index_pattern="1") == [("each", 1)]
    assert within(rendered_map_index_prefix_pattern="0") == [("each", 0)]
    mapped = task.get_mapped_task_instances(DAG, RUN, "each", rendered_map_index_pattern="0|1")
    assert names(mapped) == [("each", 0), ("each", 1)]
    refused(422, task.get_task_instances, "~", "~", rendered_map_index_pattern="1")
    body = models.TaskInstancesBatchBody(dag_ids=[DAG], state=["success"], page_limit=10)
    assert names(task.get_task_instances_batch("~", "~", body)) == [("first", -1), ("each", 0)]
    body = models.TaskInstancesBatchBody.from_dict({"dag_ids": [DAG], "state": [None]})
    assert names(task.get_task_instances_batch("~", "~", body)) == []
    body = models.TaskInstancesBatchBody(dag_ids=[DAG], executor=["LocalExecutor"])
    assert names(task.get_task_instances_batch("~", "~", body)) == []


def assets(client):
    asset, year = api.AssetApi(client), datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    listed = asset.get_assets(name_pattern="SHOP", order_by=["-name"])
    assert [it.uri for it in listed.assets] == ["s3://shop/first"] and listed.total_entries == 1, listed
    one = listed.assets[0]
    assert [(it.dag_id, it.task_id) for it in one.producing_tasks] == [(DAG, "first")], one
    assert [it.task_id for it in one.consuming_tasks] == ["last"] and one.group == "asset", one
    assert asset.get_assets(dag_ids=["idle"]).total_entries == 0
    assert asset.get_assets(uri_prefix_pattern="s3://sh", only_active=False).total_entries == 1
    # One for each time that the task has succeeded.
    of = lambda **named: asset.get_asset_events(**named).asset_events
    before = len(of(source_task_id="first"))
    assert before >= 2 and {it.source_run_id for it in of()} == {RUN}, of()
    assert of(timestamp_lt=year) == [] and of(source_map_index=0) == []
    made = asset.create_asset_event(models.CreateAssetEventsBody(asset_id=one.id, extra={"rows": 3}))
    assert made.extra == {"rows": 3, "from_rest_api": True} and made.source_task_id is None, made
    newest = of(asset_id=one.id, order_by=["-timestamp"], limit=1, timestamp_gte=year)
    assert [it.id for it in newest] == [made.id], newest
    assert len(of(asset_id=one.id)) == before + 1
    assert asset.get_assets().assets[0].last_asset_event.id == made.id
    refused(404, asset.create_asset_event, models.CreateAssetEventsBody(asset_id=999, extra={}))
    refused(422, asset.get_asset_events, order_by=["uri"])


def backfills(client):
    backfill, run = api.BackfillApi(client), api.DagRunApi(client)
    day = lambda number: datetime.datetime(2020, 1, number, tzinfo=datetime.timezone.utc)
    body = models.BackfillPostBody(
        dag_id="idle", from_date=day(1), to_date=day(3), max_active_runs=2, dag_run_conf={"n": 1}
    )
    would = backfill.create_backfill_dry_run(body)
    assert [it.logical_date for it in would.backfills] == [day(1), day(2), day(3)], would
    made = backfill.create_backfill(body)
    assert (made.dag_id, made.from_date, made.to_date) == ("idle", day(1), day(3)), made
    assert (made.max_active_runs, made.reprocess_behavior) == (2, "none"), made
    assert made.dag_run_conf == {"n": 1} and not made.is_paused
    over = lambda: backfill.get_backfill(made.id).completed_at
    until("the backfill to be completed", over)
    listed = run.get_dag_runs("idle", run_type=["backfill"], order_by=["logical_date"]).dag_runs
    assert [it.dag_run_id for it in listed] == [f"backfill__2020-01-0{n}T00:00:00+00:00" for n in (1, 2, 3)]
    assert {(it.state, it.triggered_by, it.triggering_user_name) for it in listed} == {
        ("success", "backfill", USER)
    }, listed
    # Nothing is left to do, but for the reverse order of what there is.
    assert backfill.create_backfill_dry_run(body).total_entries == 0
    body.reprocess_behavior, body.run_backwards = "completed", True
    again = backfill.create_backfill(body)
    until("it to be completed", lambda: backfill.get_backfill(again.id).completed_at)
    first = api.TaskInstanceApi(client).get_task_instance("idle", listed[0].dag_run_id, "rest")
    assert first.try_number == 2, first
    found = backfill.list_backfills("idle", order_by=["-id"])
    assert [it.id for it in found.backfills] == [again.id, made.id], found
    assert backfill.list_backfills("idle", limit=1, offset=1).backfills[0].id == again.id
    refused(409, backfill.pause_backfill, made.id)
    refused(404, backfill.get_backfill, 999)
    refused(404, backfill.list_backfills, "none")
    # While its DAG is paused nothing of a backfill starts: it can be paused, let go on and cancelled.
    paused = lambda it: api.DAGApi(client).patch_dag("idle", models.DAGPatchBody(is_paused=it))
    paused(True)
    march = lambda number: datetime.datetime(2020, 3, number, tzinfo=datetime.timezone.utc)
    held = backfill.create_backfill(
        models.BackfillPostBody(dag_id="idle", from_date=march(1), to_date=march(2))
    )
    assert backfill.pause_backfill(held.id).is_paused and backfill.get_backfill(held.id).is_paused
    assert not backfill.unpause_backfill(held.id).is_paused
    assert not backfill.get_backfill(held.id).is_paused
    assert backfill.cancel_backfill(held.id).completed_at and backfill.get_backfill(held.id).completed_at
    of_march = lambda: run.get_dag_runs("idle", logical_date_gte=march(1), logical_date_lte=march(2))
    until("its runs to be cancelled", lambda: {it.state for it in of_march().dag_runs} == {"failed"})
    assert of_march().total_entries == 2
    refused(409, backfill.cancel_backfill, held.id)
    paused(False)
    body.dag_id = "none"
    refused(404, backfill.create_backfill, body)
    body.dag_id = DAG
    assert "schedule" in json.dumps(refused(422, backfill.create_backfill, body))
    for listed in run.get_dag_runs("idle", run_type=["backfill"]).dag_runs:
        run.delete_dag_run("idle", listed.dag_run_id)


def bulk(kind, update, delete):
    """A bulk body of one update and one deletion, by the client's own models."""
    actions = [
        {"action": "update", "entities": [update]},
        {"action": "delete", "entities": [delete, "none"]},
    ]
    return kind.from_dict({"actions": actions})


def variables(client):
    variable = api.VariableApi(client)
    made = variable.post_variable(models.VariableBody(key="region", value="north", description="where"))
    assert (made.key, made.value, made.description) == ("region", "north", "where")
    variable.post_variable(models.VariableBody(key="limits", value={"rows": 3}))
    assert json.loads(variable.get_variable("limits").value) == {"rows": 3}
    variable.patch_variable("region", models.VariableBody(key="region", value="south"))
    assert variable.get_variable("region").value == "south"
    assert variable.get_variables(variable_key_pattern="%egi%").total_entries == 1
    by = lambda *order: [it.key for it in variable.get_variables(order_by=list(order)).variables]
    assert by("description", "-key") == ["region", "limits"]
    assert by("is_encrypted", "team_name", "key") == ["limits", "region"] and len(by("_val")) == 2
    done = variable.bulk_variables(
        bulk(models.BulkBodyVariableBody, {"key": "region", "value": "east"}, "limits")
    )
    assert (done.update.success, done.delete.success) == (["region"], ["limits"]), done
    assert done.delete.errors[0]["status_code"] == 404, done
    assert variable.get_variable("region").value == "east"
    variable.delete_variable("region")
    refused(404, variable.get_variable, "region")


def pools(client):
    pool = api.PoolApi(client)
    made = pool.post_pool(models.PoolBody(name="narrow", slots=2, description="a door"))
    assert (made.slots, made.open_slots, made.occupied_slots) == (2, 2, 0), made
    refused(409, pool.post_pool, models.PoolBody(name="narrow", slots=2))
    changed = pool.patch_pool("narrow", models.PoolPatchBody(slots=3), update_mask=["slots"])
    assert (changed.slots, changed.description) == (3, "a door"), changed
    pool.post_pool(models.PoolBody(name="wide", slots=-1))
    listed = pool.get_pools(order_by=["-name"])
    assert [it.name for it in listed.pools] == ["wide", "narrow", "default_pool"], listed
    assert listed.total_entries == 3, listed
    listed = pool.get_pools(order_by=["id", "-pool"], pool_name_prefix_pattern="n")
    assert [it.name for it in listed.pools] == ["narrow"], listed
    done = pool.bulk_pools(bulk(models.BulkBodyPoolBody, {"name": "narrow", "slots": 5}, "wide"))
    assert (done.update.success, done.delete.success) == (["narrow"], ["wide"]), done
    assert pool.get_pool("narrow").slots == 5
    pool.delete_pool("narrow")
    refused(404, pool.get_pool, "narrow")
    refused(422, pool.post_pool, models.PoolBody(name="two\nlines", slots=2))
    default = pool.get_pool("default_pool")
    assert default.slots == -1 and default.open_slots > 1_000_000, default
    for call, *given in (
        (pool.patch_pool, "default_pool", models.PoolPatchBody(slots=3)),
        (pool.delete_pool, "default_pool"),
        (pool.post_pool, models.PoolBody(name="default_pool", slots=3)),
    ):
        assert "always there" in refused(409, call, *given)["detail"]


def connections(client):
    connection = api.ConnectionApi(client)
    written = models.ConnectionBody(
        connection_id="sales",
        conn_type="postgres",
        host="db.example",
        port=5433,
        login="ana",
        password="hunter22",
        schema="sales",
        extra='{"sslmode": "require", "options": "hunter22"}',
    )
    made = connection.post_connection(written)
    assert (made.host, made.port, made.login, made.var_schema) == ("db.example", 5433, "ana", "sales")
    shown = connection.get_connection("sales")
    assert "hunter22" not in shown.to_json() and shown.password == "***", shown
    assert json.loads(shown.extra) == {"sslmode": "require", "options": "***"}, shown
    moved = models.ConnectionBody(connection_id="sales", conn_type="postgres", host="db2.example")
    changed = connection.patch_connection("sales", moved, update_mask=["host"])
    assert (changed.host, changed.login, changed.password) == ("db2.example", "ana", "***"), changed
    listed = connection.get_connections(connection_id_pattern="sal")
    assert [it.connection_id for it in listed.connections] == ["sales"], listed
    kafka = {"connection_id": "events", "conn_type": "kafka", "host": "broker:9092"}
    connection.post_connection(models.ConnectionBody.from_dict(kafka))
    changed = {"connection_id": "events", "conn_type": "kafka", "host": "other:9092"}
    listed = connection.get_connections(order_by=["team_name", "-host", "port", "description"])
    assert [it.connection_id for it in listed.connections] == ["sales", "events"], listed
    done = connection.bulk_connections(bulk(models.BulkBodyConnectionBody, changed, "sales"))
    assert (done.update.success, done.delete.success) == (["events"], ["sales"]), done
    connection.delete_connection("events")
    refused(404, connection.get_connection, "events")
    wrong = models.ConnectionBody(connection_id="x", conn_type="telepathy")
    assert "telepathy" in json.dumps(refused(422, connection.post_connection, wrong))


def deleted(client):
    """Last: what is deleted is gone."""
    dag = api.DAGApi(client)
    assert "file" in refused(409, dag.delete_dag, "idle")["detail"]
    (pathlib.Path(FOLDER) / "idle.yaml").unlink()
    until("the file to be missed", lambda: dag.get_dag("idle").is_stale)
    dag.delete_dag("idle")
    refused(404, dag.get_dag, "idle")
    refused(404, api.DagRunApi(client).get_dag_runs, "idle")
    assert dag.get_dags(exclude_stale=False).total_entries == 1


def audit(client):
    events = api.EventLogApi(client)
    listed = events.get_event_logs(
        included_events=["post_pool", "patch_pool"], order_by=["-when"], limit=2
    )
    assert listed.total_entries > 2 and len(listed.event_logs) == 2, listed
    patched = events.get_event_logs(event="patch_pool", owner=USER).event_logs[0]
    told = json.loads(patched.extra)
    assert (told["before"]["slots"], told["after"]["slots"]) == (2, 3), told
    assert events.get_event_log(patched.event_log_id) == patched
    assert events.get_event_logs(dag_id=DAG, event_pattern="trigger").total_entries > 0
    listed = events.get_event_logs(order_by=["event", "owner", "-dag_id", "logical_date"], limit=100)
    names = [it.event for it in listed.event_logs]
    assert names == sorted(names) and len(set(names)) > 3, names
    year = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    assert events.get_event_logs(after=year, event_pattern="POST|none").total_entries > 0
    assert events.get_event_logs(before=year).total_entries == 0
    refused(404, events.get_event_log, 999999)


def rest(client):
    assert api.MonitorApi(client).get_health().metadatabase.status == "healthy"
    assert api.VersionApi(client).get_version().version
    # What is not built says so, by its name.
    refused(501, api.JobApi(client).get_jobs, limit=5, order_by=["id"])
    problem = refused(501, api.AssetApi(client).get_asset, 1)
    assert problem["type"] == "/docs/errors/not-built" and "get_asset" in problem["detail"], problem


def described():
    """The operations that the server says that it has, and those that it answers with 501."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    document = urllib3.request("GET", f"{URL}/api/v2/openapi.json", headers=headers).json()
    for path, operations in document["paths"].items():
        path = re.sub(r"\{[^}]*\}", "{}", path.removeprefix("/api/v2"))
        for method in operations:
            yield f"{method.upper()} {path}"


def every():
    """The operations that the client has a method for."""
    for kind in vars(api).values():
        for name, call in vars(kind).items() if isinstance(kind, type) else ():
            if name.endswith("_serialize"):
                source = inspect.getsource(call)
                method = re.search(r"method='(\w+)'", source)[1]
                path = re.search(r"resource_path='/api/v2([^']*)'", source)[1]
                yield f"{method} " + re.sub(r"\{[^}]*\}", "{}", path)


TOKEN = token()
with Client(airflow.Configuration(host=URL, access_token=TOKEN)) as client:
    for part in (dags, runs, assets, backfills, variables, pools, connections, audit, rest, deleted):
        part(client)
        print(part.__name__, "as they should be")
    assert not set(P1) - Client.called, f"not called: {set(P1) - Client.called}"
    known = set(every())
    assert len(known) == 128 and not set(P1) - known, len(known)
    assert not known - set(described()), f"not there: {known - set(described())}"
