#!/usr/bin/env bash
# Measures the retail job (distinct customers a month, from a CSV file to a CSV file) by DuckDB, Polars and
# Subak's operators, each with the same typed columns: whole processes, warm cache, median of RUNS (5).
# ROWS (20,000,000) generated rows, and the real file if SUBAK_TEST_DATA (../shared/data) has it.
# BASELINE=1 writes the table into baseline.md.
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
subak=${SUBAK_RETAIL:-$CARGO_TARGET_DIR/debug/retail}
if [ -z "${SUBAK_RETAIL:-}" ]; then
    # The whole workspace: a part of it would build libraries with other features.
    cargo build --workspace --all-targets --locked --quiet
fi

generated=$work/retail-$rows.csv
[ -f "$generated" ] || "$subak" generate "$rows" "$generated"
files=("$generated")
if [ -f "$test_data/online-retail-dataset.csv.gz" ]; then
    real=$work/online-retail-dataset.csv
    [ -f "$real" ] || gunzip -c "$test_data/online-retail-dataset.csv.gz" >"$real"
    files=("$real" "$generated")
else
    echo "no online-retail-dataset.csv.gz in $test_data: the real file is left out" >&2
fi
exec "$work/venv/bin/python" bench/retail/compare.py --subak "$subak" --runs "${RUNS:-5}" \
    ${BASELINE:+--baseline bench/retail/baseline.md} "${files[@]}"
