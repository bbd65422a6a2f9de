#!/usr/bin/env bash
# Measures a topic into a table beside librdkafka, `psql \copy` and the same in Python: RECORDS (1,000,000)
# user records. BASELINE=1 writes the table into baseline.md. Fails if a limit is missed.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$HOME/.cache/subak/target}
work=${BENCH_DATA:-$HOME/.cache/subak/bench}
mkdir -p "$work"
if [ ! -x "$work/venv-kafka/bin/python" ]; then
    python3 -m venv "$work/venv-kafka"
    "$work/venv-kafka/bin/pip" --quiet install confluent-kafka psycopg2-binary
fi
# The whole workspace: a part of it would build libraries with other features.
cargo build --workspace --all-targets --locked --quiet
exec "$work/venv-kafka/bin/python" bench/kafka/compare.py --subak "$CARGO_TARGET_DIR/debug/subak" \
    --records "${RECORDS:-1000000}" ${BASELINE:+--baseline bench/kafka/baseline.md}
