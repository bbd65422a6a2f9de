#!/usr/bin/env bash
# Builds Subak, starts it with everything it needs, runs retail_retention on a generated file and
# serves until Ctrl-C; EXIT=1 ends after the run, by its result.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --workspace --locked
options=()
if [ "${EXIT:-0}" = 1 ]; then options+=(--exit); fi
exec "$CARGO_TARGET_DIR/debug/subak" demo "${options[@]}"
