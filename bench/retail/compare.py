"""Runs the retail job by DuckDB, by Polars and by Subak as shipped, and prints one table.

Subak runs the DAG dags/retail_retention.yaml by `subak standalone`: csv.read, aggregate, csv.write and,
which the others do not do, the load into PostgreSQL. Its seconds are those that the run recorded, from the
hand-over of the first task to the end of the last. Those of the others are from the query's start to the
written file, inside a process that has loaded its libraries; the whole process stands beside. Memory is the
largest resident set of the process, in Subak's case of server and worker together.

All results must be equal, in the files and in the table. Fails if Subak misses its limits.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

REAL = "online-retail-dataset.csv"
# On generated rows so many times DuckDB's seconds, on the real file so many seconds more; and megabytes.
MOST_TIMES, MOST_SECONDS_MORE, MOST_MEGABYTES = 1.2, 0.3, 1024

DUCKDB = """
import duckdb, sys, time
began = time.monotonic()
duckdb.sql('SET enable_progress_bar = false')
duckdb.sql('''
    COPY (
        SELECT year(InvoiceDate) AS InvoiceYear, month(InvoiceDate) AS InvoiceMonth,
               count(DISTINCT CustomerID) AS unique_customers
        FROM read_csv(?, header = true, timestampformat = '%m/%d/%Y %H:%M', columns = {
            'InvoiceNo': 'VARCHAR', 'StockCode': 'VARCHAR', 'Description': 'VARCHAR', 'Quantity': 'INTEGER',
            'InvoiceDate': 'TIMESTAMP', 'UnitPrice': 'DOUBLE', 'CustomerID': 'BIGINT', 'Country': 'VARCHAR'})
        GROUP BY 1, 2 ORDER BY 1, 2
    ) TO ? (HEADER)
'''.replace('?', "'" + sys.argv[1] + "'", 1).replace('?', "'" + sys.argv[2] + "'", 1))
print(time.monotonic() - began)
"""

POLARS = """
import polars as pl, sys, time
began = time.monotonic()
(
    pl.scan_csv(sys.argv[1], schema={
        'InvoiceNo': pl.String, 'StockCode': pl.String, 'Description': pl.String, 'Quantity': pl.Int32,
        'InvoiceDate': pl.String, 'UnitPrice': pl.Float64, 'CustomerID': pl.Int64, 'Country': pl.String})
    .with_columns(pl.col('InvoiceDate').str.to_datetime('%m/%d/%Y %H:%M'))
    .group_by(pl.col('InvoiceDate').dt.year().alias('InvoiceYear'),
              pl.col('InvoiceDate').dt.month().alias('InvoiceMonth'))
    .agg(pl.col('CustomerID').drop_nulls().n_unique().alias('unique_customers'))
    .sort('InvoiceYear', 'InvoiceMonth')
    .collect(engine='streaming')
    .write_csv(sys.argv[2])
)
print(time.monotonic() - began)
"""


class Library:
    """A job in a Python process of its own, run anew each time."""

    def __init__(self, name, script):
        self.name, self.script = f"{name} {version(name.lower())}", script

    def run(self, file, output):
        """Returns seconds of the job and of the process, seconds of all cores together, megabytes."""
        read, write = os.pipe()
        said = [(os.POSIX_SPAWN_DUP2, write, 1)]
        command = [sys.executable, "-c", self.script, file, output]
        started = time.monotonic()
        child = os.posix_spawn(sys.executable, command, os.environ, file_actions=said)
        os.close(write)
        _, status, usage = os.wait4(child, 0)
        process = time.monotonic() - started
        with os.fdopen(read) as pipe:
            text = pipe.read()
        if status != 0:
            sys.exit(f"{self.name} failed with status {status}")
        return float(text), process, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


class Subak:
    """`subak standalone` in a folder of its own, with the project's DAG files."""

    name = "Subak"

    def __init__(self, binary, folder, inputs):
        # PostgreSQL runs as another user where this is root.
        os.chmod(folder, 0o755)
        self.binary, self.folder = os.path.abspath(binary), folder
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("SUBAK_")}
        # Paths of tasks lead only where the worker was told.
        self.env["SUBAK_FILES"] = ":".join([folder, *(os.path.dirname(os.path.abspath(i)) for i in inputs)])
        dags = os.path.abspath("dags")
        options = ["--listen", "127.0.0.1:0", "--log", "warn", "--data", f"{folder}/.data", "--dags", dags]
        self.process = subprocess.Popen(
            [self.binary, "standalone", *options], cwd=folder, env=self.env, stdout=subprocess.PIPE, text=True
        )
        for line in self.process.stdout:
            if line.startswith("  warehouse  "):
                self.psql = shlex.split(line.removeprefix("  warehouse  "))
            if line.startswith("  data "):
                return
        sys.exit("subak standalone did not start")

    def command(self, *arguments):
        """Returns what a command of `subak` prints."""
        done = subprocess.run(
            [self.binary, *arguments], cwd=self.folder, env=self.env, capture_output=True, text=True
        )
        if done.returncode != 0:
            sys.exit(f"subak {arguments[0]} {arguments[1]}: {done.stdout}{done.stderr}")
        return done.stdout

    def run(self, file, output):
        """As [`Library.run`]; seconds of the process: there is no process of this job alone."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        cores = self.cores()
        conf = json.dumps({"input": os.path.abspath(file), "output": output})
        self.command("runs", "trigger", "retail_retention", "--conf", conf, "--wait")
        run = json.loads(self.command("runs", "show", "retail_retention", "--json"))
        tasks = run["task_instances"]
        if any(task["state"] != "success" for task in tasks):
            sys.exit(f"subak: {tasks}")
        first = min(datetime.fromisoformat(task["start_date"]) for task in tasks)
        last = max(datetime.fromisoformat(task["end_date"]) for task in tasks)
        return (last - first).total_seconds(), None, self.cores() - cores, self.peak()

    def cores(self):
        """Seconds of all cores together so far."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def peak(self):
        """Megabytes of the largest resident set since it was set back."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024

    def table(self):
        """The loaded table as the lines of a CSV file."""
        query = "SELECT * FROM retail_retention ORDER BY 1, 2"
        return subprocess.run(
            [*self.psql, "-AtF,", "-c", query], env=self.env, check=True, capture_output=True, text=True
        ).stdout

    def stop(self):
        self.process.terminate()
        self.process.wait()


def measure(file, engines, output, runs):
    """Returns what each run of each engine took. Engines take turns, so that a busy minute hits all alike."""
    subprocess.run(["cat", file], stdout=subprocess.DEVNULL, check=True)
    taken = {engine: [] for engine in engines}
    results = {}
    for _ in range(runs):
        for engine in engines:
            taken[engine].append(engine.run(file, output))
            results[engine.name] = Path(output).read_text()
            if isinstance(engine, Subak):
                results["Subak's table"] = results[engine.name].split("\n")[0] + "\n" + engine.table()
    if len(set(results.values())) != 1:
        sys.exit(f"the results differ: {results}")
    return taken


def lines(file, taken):
    """Yields the table's lines for one file, and for Subak whether its limits are met."""
    size = Path(file).stat().st_size / 1e6
    duckdb = statistics.median(run[0] for engine, made in taken.items() for run in made if "DuckDB" in engine.name)
    for engine, made in taken.items():
        seconds, process, cores, megabytes = zip(*made)
        median = statistics.median(seconds)
        limit, meets = "", None
        if isinstance(engine, Subak):
            real = Path(file).name == REAL
            most = duckdb + MOST_SECONDS_MORE if real else duckdb * MOST_TIMES
            why = f"DuckDB + {MOST_SECONDS_MORE} s" if real else f"{MOST_TIMES} × DuckDB"
            meets = median <= most and max(megabytes) <= MOST_MEGABYTES
            limit = f"{most:.2f} s ({why}), {MOST_MEGABYTES:,} MB: {'met' if meets else 'MISSED'}"
        whole = f"{statistics.median(process):.2f}" if process[0] is not None else "–"
        yield (
            f"| {Path(file).name} ({size:,.0f} MB) | {engine.name} | {median:.2f} | {min(seconds):.2f} – "
            f"{max(seconds):.2f} | {whole} | {statistics.median(cores):.2f} | {max(megabytes):,.0f} | {limit} |"
        ), meets


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    parser.add_argument("--subak", required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--baseline")
    args = parser.parse_args()
    table = [
        f"| file | engine | seconds (median of {args.runs}) | range | whole process | CPU seconds | peak MB | limit |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    print("\n".join(table), flush=True)
    met = True
    with tempfile.TemporaryDirectory() as folder:
        subak = Subak(args.subak, folder, args.files)
        try:
            engines = [Library("DuckDB", DUCKDB), Library("Polars", POLARS), subak]
            for file in args.files:
                for line, meets in lines(file, measure(file, engines, f"{folder}/out.csv", args.runs)):
                    print(line, flush=True)
                    table.append(line)
                    met = met and meets is not False
        finally:
            subak.stop()
    if args.baseline:
        machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
        text = "\n".join(
            [
                "# Retail job: baseline",
                "",
                "Distinct customers a month, as shipped: `subak standalone` runs the whole DAG (CSV file to CSV file and",
                f"table), warm cache ({machine}). Made by `BASELINE=1 bench/retail/run.sh`; its columns are explained in",
                "`bench/retail/compare.py`.",
                "",
                *table,
                "",
            ]
        )
        Path(args.baseline).write_text(text)
    if not met:
        sys.exit("a limit is missed")


main()
