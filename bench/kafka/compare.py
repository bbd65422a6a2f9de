#!/usr/bin/env python3
"""Measures drain, validate, clean and load of user records side by side with what limits it.

usage: compare.py --subak BINARY --records N [--baseline FILE]

One broker (scripts/kafka.sh), the private PostgreSQL of `subak standalone`. ROUNDS times in turn, of which
the median counts: librdkafka alone, Subak appending, `psql \\copy` of the same rows into the same keyed table,
the pipeline in Python with COPY. Once: Subak upserting and keeping records, Python with execute_values. Exits
with 1 if a limit is missed.
"""

import argparse
import json
import os
import random
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

ROOT = Path(__file__).resolve().parents[2]
TOPIC = "users"
PARTITIONS = 4
ROUNDS = 3

TABLE = """
DROP TABLE IF EXISTS {0};
CREATE TABLE {0} (
  user_uuid uuid, title text, first_name text NOT NULL, last_name text NOT NULL, email text PRIMARY KEY,
  street_address text, city text NOT NULL, state text, country text NOT NULL, postcode text,
  phone_cleaned text, cell_cleaned text, dob_date date, age_at_ingestion integer,
  picture_thumbnail_url text, raw_cleaned_data jsonb NOT NULL,
  ingestion_timestamp timestamptz NOT NULL DEFAULT now(), dag_run_id text NOT NULL)
"""

DAG = """
dag_id: {name}
tasks:
  drain:
    operator: kafka.consume
    with:
      connection: broker
      topic: {topic}
      on_bad_record: dead_letter
      keep_records: {keeps}
      columns:
        user_uuid: login.uuid
        title: name.title
        first_name: name.first
        last_name: name.last
        email: email
        number: location.street.number
        street: location.street.name
        city: location.city
        state: location.state
        country: location.country
        postcode: location.postcode
        phone_cleaned: phone
        cell_cleaned: cell
        dob: dob.date
        age_at_ingestion: {{path: dob.age, type: integer}}
        picture_thumbnail_url: picture.thumbnail
  check:
    operator: validate
    with:
      input: "{{{{ tasks.drain.output }}}}"
      rules:
        - {{column: first_name, not_empty: true}}
        - {{column: last_name, not_empty: true}}
        - {{column: email, not_empty: true, matches: email}}
        - {{column: city, not_empty: true}}
        - {{column: country, not_empty: true}}
  clean:
    operator: transform
    with:
      input: "{{{{ tasks.check.output }}}}"
      steps:
        - trim: [first_name, last_name, email, city, country]
        - title_case: [first_name, last_name]
        - lower: [email]
        - digits: [phone_cleaned, cell_cleaned]
        - set: {{street_address: "concat(number, ' ', street)", dob_date: "CAST(substr(dob, 1, 10) AS date)"}}
        - drop: [number, street, dob]
  load:
    operator: postgres.load
    with:
      connection: warehouse
      input: "{{{{ tasks.clean.output }}}}"
      table: {table}
      {mode}
      columns: {{user_uuid: user_uuid, title: title, first_name: first_name, last_name: last_name, email: email,
                street_address: street_address, city: city, state: state, country: country, postcode: postcode,
                phone_cleaned: phone_cleaned, cell_cleaned: cell_cleaned, dob_date: dob_date,
                age_at_ingestion: age_at_ingestion, picture_thumbnail_url: picture_thumbnail_url,
                raw_cleaned_data: $record, dag_run_id: $run_id}}
"""


# A batch as it comes: `read` waits for the first record, and gathers as long as it is shipped to.
COPY = """
dag_id: copy
schedule: "@continuous"
tasks:
  read:
    operator: kafka.consume
    with: {connection: broker, topic: in, columns: {id: {path: id, type: bigint}, name: name, email: email}}
  check:
    operator: validate
    with:
      input: "{{ tasks.read.output }}"
      rules: [{column: id, not_null: true}, {column: name, not_empty: true}, {column: email, matches: email}]
  clean:
    operator: transform
    with: {input: "{{ tasks.check.output }}", steps: [{trim: [name]}, {title_case: [name]}, {lower: [email]}]}
  write:
    operator: kafka.produce
    with: {connection: broker, input: "{{ tasks.clean.output }}", topic: out}
"""


def record(number):
    """A user of 1.1 kB, every one another."""
    return json.dumps({
        "gender": "female", "nat": "ID",
        "name": {"title": "Ms", "first": f" ni luh {number % 977}", "last": "SUARTINI"},
        "location": {"street": {"number": number % 999, "name": "Jalan Merdeka"}, "city": "Denpasar",
                     "state": "Bali", "country": "Indonesia", "postcode": 80_000 + number % 999,
                     "coordinates": {"latitude": "-8.65", "longitude": "115.21"},
                     "timezone": {"offset": "+8:00", "description": "Beijing, Perth, Singapore, Hong Kong"}},
        "email": f"User.{number}@Example.com",
        "login": {"uuid": f"{number:08x}-0000-4000-8000-{number:012x}", "username": f"user{number}",
                  "password": "x" * 12, "salt": "y" * 8, "md5": "0" * 32, "sha1": "1" * 40, "sha256": "2" * 64},
        "dob": {"date": "1990-01-02T08:30:00.000Z", "age": 20 + number % 60},
        "registered": {"date": "2015-05-05T05:05:05.000Z", "age": 11},
        "phone": "(0361) 123-4567", "cell": "+62-812-3456-7890",
        "id": {"name": "NIK", "value": f"{number:016}"},
        "picture": {"large": "https://example.com/portraits/large/1.jpg",
                    "medium": "https://example.com/portraits/medium/1.jpg",
                    "thumbnail": "https://example.com/portraits/thumbnail/1.jpg"},
        "note": "z" * 200,
    }).encode()


def fill(bootstrap, records):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    if TOPIC in admin.list_topics(timeout=30).topics:
        return
    for made in admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)]).values():
        made.result()
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    for number in range(records):
        while True:
            try:
                producer.produce(TOPIC, record(number), partition=number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.05)
        if number % 1_000 == 0:
            producer.poll(0)
    producer.flush()


def consume(bootstrap, records):
    """librdkafka alone: its records are not even looked at."""
    began = time.monotonic()
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "raw", "enable.auto.commit": False})
    consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in range(PARTITIONS)])
    left = records
    while left > 0:
        left -= len(consumer.consume(min(10_000, left), 10))
    took = time.monotonic() - began
    consumer.close()
    return took


def delays(standalone, bootstrap):
    """Milliseconds from a record's append to its cleaned copy's, by the broker's clock."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    config = {"message.timestamp.type": "LogAppendTime"}
    for made in admin.create_topics([NewTopic(name, 2, 1, config=config) for name in ("in", "out")]).values():
        made.result()
    standalone.add("copy", COPY)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    time.sleep(5)
    records = 600
    for number in range(records):
        value = json.dumps({"id": number, "name": " ni luh ", "email": f"U{number}@example.com"})
        producer.produce("in", value)
        producer.flush()
        time.sleep(random.expovariate(20))

    def times(topic):
        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "times", "enable.auto.commit": False})
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(2)])
        found = {}
        until = time.monotonic() + 30
        while len(found) < records and time.monotonic() < until:
            for message in consumer.consume(1_000, 1):
                found[json.loads(message.value())["id"]] = message.timestamp()[1]
        consumer.close()
        return found

    first, second = times("in"), times("out")
    if len(second) != records:
        sys.exit(f"{len(second)} of {records} records were copied")
    standalone.run("dags", "pause", "copy")
    return sorted(second[number] - first[number] for number in first)


class Standalone:
    def __init__(self, binary, work, bootstrap):
        self.binary, self.data = binary, work / "data"
        self.dags = work / "dags"
        self.dags.mkdir()
        for folder in (work, self.dags):
            folder.chmod(0o755)
        self.data.mkdir(mode=0o755)
        self.log = open(work / "log", "w+", encoding="utf-8")
        arguments = [binary, "standalone", "--data", self.data, "--dags", self.dags, "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(arguments, stdout=self.log, stderr=self.log)
        self.psql = shlex.split(self.said("warehouse ").split("warehouse", 1)[1])
        self.run("connections", "add", "broker", "--type", "kafka", "--host", bootstrap)

    def said(self, word):
        for _ in range(600):
            text = Path(self.log.name).read_text(encoding="utf-8")
            for line in text.splitlines():
                if line.strip().startswith(word):
                    return line
            time.sleep(0.1)
        sys.exit(f"standalone did not start:\n{text}")

    def run(self, *arguments):
        env = {**os.environ, "SUBAK_DATA": str(self.data)}
        done = subprocess.run([self.binary, *arguments], env=env, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout

    def sql(self, text):
        done = subprocess.run([*self.psql, "-qAt", "-v", "ON_ERROR_STOP=1", "-c", text], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{text}: {done.stderr}")
        return done.stdout.strip()

    def dag(self, name, table, mode, keeps):
        self.add(name, DAG.format(name=name, topic=TOPIC, table=table, mode=mode, keeps=keeps))

    def add(self, name, text):
        (self.dags / f"{name}.yaml").write_text(text, encoding="utf-8")
        for _ in range(100):
            if name in self.run("dags", "list"):
                return
            time.sleep(0.1)

    def peak_mb(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def end(self):
        self.process.terminate()
        self.process.wait(60)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--subak", required=True)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--baseline")
    options = parser.parse_args()
    records = options.records
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        port = "29192"
        kafka = [str(ROOT / "scripts/kafka.sh")]
        subprocess.run([*kafka, "start", port, str(work / "kafka")], check=True)
        bootstrap = f"127.0.0.1:{port}"
        standalone = None
        try:
            fill(bootstrap, records)
            standalone = Standalone(options.subak, work, bootstrap)
            rows = measure(standalone, bootstrap, records, work)
        finally:
            if standalone:
                standalone.end()
            subprocess.run([*kafka, "stop", port, str(work / "kafka")], check=False)
    table, missed = report(rows, records)
    print(table)
    if options.baseline:
        Path(options.baseline).write_text(table, encoding="utf-8")
    sys.exit(1 if missed else 0)


def measure(standalone, bootstrap, records, work):
    rate = {"idle memory": standalone.peak_mb()}
    # Before millions of rows are there, which vacuum is busy with for a while.
    late = delays(standalone, bootstrap)
    rate["p50"], rate["p95"] = late[len(late) // 2], late[len(late) * 95 // 100]
    words = standalone.psql
    dsn = f"host={words[words.index('-h') + 1]} port={words[words.index('-p') + 1]} user={words[words.index('-U') + 1]} dbname={words[-1]}"

    def subak(name, mode="", keeps="false"):
        table = f"users_{name}"
        standalone.sql(TABLE.format(table))
        standalone.dag(name, table, mode, keeps)
        took = timed(lambda: standalone.run("runs", "trigger", name, "--wait"))
        print(standalone.run("runs", "show", name), file=sys.stderr)
        found = int(standalone.sql(f"SELECT count(*) FROM {table}"))
        if found != records:
            sys.exit(f"{found} rows in {table}, not {records}")
        return took

    def copy():
        rows = work / "rows.csv"
        standalone.sql(f"\\copy (SELECT * FROM users_append_0) TO '{rows}' (FORMAT csv)")
        standalone.sql(TABLE.format("users_copy"))
        took = timed(lambda: standalone.sql(f"\\copy users_copy FROM '{rows}' (FORMAT csv)"))
        rows.unlink()
        return took

    def python(how):
        standalone.sql(TABLE.format("users_python"))
        script = str(Path(__file__).with_name("pipeline.py"))
        command = [sys.executable, script, bootstrap, TOPIC, str(records), dsn, "users_python", how]
        return timed(lambda: subprocess.run(command, check=True))

    took = {}
    for round_ in range(ROUNDS):
        for name, once in [
            ("librdkafka", lambda: consume(bootstrap, records)),
            # A DAG of its own: a drain goes on where the one before it ended.
            ("append", lambda: subak(f"append_{round_}")),
            ("copy", copy),
            ("python copy", lambda: python("copy")),
        ]:
            took.setdefault(name, []).append(once())
        rate["append memory"] = standalone.peak_mb()
    print({name: [f"{records / one:,.0f}" for one in all_] for name, all_ in took.items()}, file=sys.stderr)
    took["upsert"] = [subak("upsert", "mode: upsert\n      key: [email]")]
    took["keeping"] = [subak("keeping", keeps="true")]
    took["python execute_values"] = [python("execute_values")]
    rate |= {name: records / statistics.median(all_) for name, all_ in took.items()}
    return rate


def timed(work):
    began = time.monotonic()
    work()
    return time.monotonic() - began


def report(rate, records):
    limit = min(rate["librdkafka"], rate["copy"])
    lines = [
        ("Subak, drain to append", rate["append"], "records/s", None),
        ("of the slower limit", 100 * rate["append"] / limit, "%", 60),
        ("times Python with execute_values", rate["append"] / rate["python execute_values"], "×", 4),
        ("times Python with COPY", rate["append"] / rate["python copy"], "×", 3),
        ("upsert, of append", 100 * rate["upsert"] / rate["append"], "%", 50),
        ("append with `keep_records`, of append", 100 * rate["keeping"] / rate["append"], "%", None),
        ("librdkafka alone", rate["librdkafka"], "records/s", None),
        ("`psql \\copy` into the keyed table", rate["copy"], "records/s", None),
        ("Python with execute_values", rate["python execute_values"], "records/s", None),
        ("Python with COPY", rate["python copy"], "records/s", None),
    ]
    memory = rate["append memory"]
    text = f"# Kafka: baseline\n\n{records:,} user records of 1.1 kB, 18 columns, {os.cpu_count()} cores; of what is done {ROUNDS} times in turn the median.\n\n"
    text += "| what | measured | must | meets |\n|---|---|---|---|\n"
    missed = 0
    for what, value, unit, must in lines:
        meets = must is None or value >= must
        missed += not meets
        text += f"| {what} | {value:,.1f} {unit} | {must or '–'} | {'yes' if must and meets else 'MISSED' if must else '–'} |\n"
    missed += memory >= 300 or rate["p95"] >= 1_000
    text += f"| memory of server and worker, at most | {memory:.0f} MB | 300 | {'yes' if memory < 300 else 'MISSED'} |\n"
    text += f"| append to append of a cleaned copy, p50 | {rate['p50']} ms | – | – |\n"
    text += f"| the same, p95 | {rate['p95']} ms | 1,000 | {'yes' if rate['p95'] < 1_000 else 'MISSED'} |\n"
    return text, missed


main()
