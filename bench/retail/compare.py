"""Runs the retail job by each engine in a process of its own and prints one table.

Seconds are the whole process's, median and range; CPU seconds are the median of user and system time;
memory is the largest resident set. All results
must be equal, else nothing is printed but the difference.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

DUCKDB = """
import duckdb, sys
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
"""

POLARS = """
import polars as pl, sys
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
"""


def measure(command):
    """Returns seconds, seconds of all cores together, and megabytes of one process."""
    started = time.monotonic()
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(child, 0)
    seconds = time.monotonic() - started
    if status != 0:
        sys.exit(f"{command[0]} failed with status {status}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def commands(subak, file, output):
    """Returns the command line of each engine."""
    python = sys.executable
    return {
        f"DuckDB {version('duckdb')}": [python, "-c", DUCKDB, file, output],
        f"Polars {version('polars')}": [python, "-c", POLARS, file, output],
        "Subak": [subak, "run", file, output],
    }


def table(files, subak, runs):
    """Yields the lines of the table."""
    yield "| file | engine | seconds (median of %d) | range | CPU seconds | peak MB |" % runs
    yield "|---|---|---:|---:|---:|---:|"
    for file in files:
        size = Path(file).stat().st_size / 1e6
        Path(file).read_bytes() if size < 100 else os.system(f"cat '{file}' >/dev/null")
        with tempfile.TemporaryDirectory() as folder:
            results = {}
            engines = commands(subak, file, f"{folder}/out.csv")
            taken = {engine: [] for engine in engines}
            # Engines take turns, so that a busy minute of the machine hits all alike.
            for _ in range(runs):
                for engine, command in engines.items():
                    taken[engine].append(measure(command))
                    results[engine] = Path(f"{folder}/out.csv").read_text()
            if len(set(results.values())) != 1:
                sys.exit(f"the results differ: {results}")
            for engine, measured in taken.items():
                seconds, cores, megabytes = zip(*measured)
                yield (
                    f"| {Path(file).name} ({size:,.0f} MB) | {engine} | {statistics.median(seconds):.2f} "
                    f"| {min(seconds):.2f} – {max(seconds):.2f} | {statistics.median(cores):.2f} "
                    f"| {max(megabytes):,.0f} |"
                )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    parser.add_argument("--subak", required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--baseline")
    args = parser.parse_args()
    lines = []
    for line in table(args.files, args.subak, args.runs):
        print(line, flush=True)
        lines.append(line)
    if args.baseline:
        machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
        text = "\n".join(
            [
                "# Retail job: baseline",
                "",
                "Distinct customers a month, CSV file to CSV file, the same typed columns; whole processes, warm",
                f"cache ({machine}). Made by `BASELINE=1 bench/retail/run.sh`.",
                "",
                *lines,
                "",
            ]
        )
        Path(args.baseline).write_text(text)


main()
