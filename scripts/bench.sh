#!/usr/bin/env bash
# Runs every benchmark: each folder of bench/ with a run.sh has its own, with its baseline beside it.
# usage: scripts/bench.sh [NAME…]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh

cargo build --workspace --all-targets --locked
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    for script in bench/*/run.sh; do names+=("$(basename "$(dirname "$script")")"); done
fi
for name in "${names[@]}"; do
    step "bench/$name"
    bash "bench/$name/run.sh"
done
step ""
