#!/usr/bin/env bash
# Every check that runs no test of ours, the quick ones first.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh

step "layout of Rust files"
cargo fmt --all --check
step "layout of TOML files"
RUST_LOG=error tool taplo fmt --check
step "spelling"
tool typos
step "dependencies: arrows, bans, licences, sources"
python3 -B -m unittest discover --quiet --start-directory scripts
python3 -B scripts/check_dependencies.py
step "docker compose"
if docker compose version >/dev/null 2>&1; then
    docker compose config --quiet
else
    echo "skipped: no docker compose here"
fi
step "clippy"
cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
# Alone it is without its feature, as `--no-default-features` of the command builds it; no other crate
# asks for the feature. `make soak` builds all of that.
step "clippy without OpenTelemetry"
cargo clippy --package subak-trace --all-targets --locked --quiet -- -D warnings
step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
step ""
