#!/usr/bin/env bash
# Measures the engine: separate server, worker and PostgreSQL processes, fsync on, shipped defaults. Fails
# if a figure misses what it must. QUICK=1 measures little, to see that it works; BASELINE=1 writes the table
# into baseline.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$HOME/.cache/subak/target}
# The whole workspace: a part of it would build libraries with other features.
cargo build --workspace --all-targets --locked --quiet

baseline=/dev/null
if [ -n "${BASELINE:-}" ]; then baseline=bench/engine/baseline.md; fi
cores=$(nproc)
load=$(cut -d' ' -f1 /proc/loadavg)
{
    printf '# Engine: baseline\n\n'
    printf 'Made by `BASELINE=1 bench/engine/run.sh` on %s cores, %s; load before it: %s.\n\n' \
        "$cores" "$(uname -m)" "$load"
} >"$baseline"
"$CARGO_TARGET_DIR/debug/engine" --binary "$CARGO_TARGET_DIR/debug/subak" ${QUICK:+--quick} | tee -a "$baseline"
