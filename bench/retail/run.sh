#!/usr/bin/env bash
# Measures the retail job (distinct customers a month) by DuckDB, Polars and Subak as shipped: the DAG
# retail_retention by `subak standalone`, its load into PostgreSQL included. Warm cache, median of RUNS (5).
# ROWS (20,000,000) generated rows, and the real file if SUBAK_TEST_DATA (../shared/data) has it.
# BASELINE=1 writes the table into baseline.md. Fails if a limit is missed.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$HOME/.cache/subak/target}
rows=${ROWS:-20000000}
work=${BENCH_DATA:-$HOME/.cache/subak/bench}
test_data=${SUBAK_TEST_DATA:-../shared/data}
mkdir -p "$work"

if [ ! -x "$work/venv/bin/python" ]; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" --quiet install duckdb polars
fi
# The whole workspace: a part of it would build libraries with other features.
cargo build --workspace --all-targets --locked --quiet

generated=$work/retail-$rows.csv
[ -f "$generated" ] || "$CARGO_TARGET_DIR/debug/retail" "$rows" "$generated"
files=("$generated")
if [ -f "$test_data/online-retail-dataset.csv.gz" ]; then
    real=$work/online-retail-dataset.csv
    [ -f "$real" ] || gunzip -c "$test_data/online-retail-dataset.csv.gz" >"$real"
    files=("$real" "$generated")
else
    echo "no online-retail-dataset.csv.gz in $test_data: the real file is left out" >&2
fi
exec "$work/venv/bin/python" bench/retail/compare.py --subak "$CARGO_TARGET_DIR/debug/subak" --runs "${RUNS:-5}" \
    ${BASELINE:+--baseline bench/retail/baseline.md} "${files[@]}"
