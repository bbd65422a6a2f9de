#!/usr/bin/env bash
# Runs the tests that have counts with high ones, and says after each piece how far it is. Takes hours;
# Ctrl-C stops it at any moment. A failure shows its seed.
# usage: scripts/soak.sh [random|engine|kills|kafka|plans|broken]…
# SUBAK_RANDOM_DAGS (1,000,000) in memory, SUBAK_ENGINE_DAGS (100,000) on four servers, both from
# SUBAK_FIRST_SEED (0); SUBAK_KILLS (100) of each of worker, server and PostgreSQL, and three times as many
# of these and a broker while a topic is drained; plans on tables of SUBAK_PLAN_ROWS (1,000,000) rows;
# broken: as many kills of a build that writes the ledger after the commit of the rows, which must be found out.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh
export SUBAK_RANDOM_DAGS=${SUBAK_RANDOM_DAGS:-1000000}
export SUBAK_ENGINE_DAGS=${SUBAK_ENGINE_DAGS:-100000}
export SUBAK_KILLS=${SUBAK_KILLS:-100}
export SUBAK_PLAN_ROWS=${SUBAK_PLAN_ROWS:-1000000}

declare -A tests=(
    [random]=random::random_dags_in_memory_end_as_the_model_says
    [engine]=engine::random_dags_on_four_servers_end_as_the_model_says
    [kills]=kills::a_killed_
    [kafka]=kafka::kills::
    [plans]=plans::every_statement
)
names=("$@")
if [ ${#names[@]} -eq 0 ]; then names=(random engine kills kafka plans broken); fi

# What the kill test says when rows and ledger differ. Any other failure is none that was looked for.
differ='[0-9]+ rows, [0-9]+ ids, not|rows in the second table|the ledgers are at|offsets are there twice'
broken() {
    BREAK_LEDGER=1 cargo test --workspace --locked --features subak-cli/mutate --test it -- \
        --nocapture kafka::kills:: </dev/null 2>&1 | tee "$log" || true
    if ! grep -qE "$differ" "$log"; then
        echo "$SUBAK_KILLS kills have not found out a ledger that is written after the rows" >&2
        exit 1
    fi
}

step "check without default features"
cargo check --package subak-cli --no-default-features --locked
step "build"
cargo build --workspace --all-targets --locked
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for name in "${names[@]}"; do
    if [ "$name" = broken ]; then
        step "soak: $name"
        broken
        continue
    fi
    filter=${tests[$name]:?"there is no soak of that name"}
    step "soak: $name"
    kills=$SUBAK_KILLS
    if [ "$name" = kafka ]; then kills=$((3 * kills)); fi
    SUBAK_KILLS=$kills cargo test --workspace --locked --test it -- --nocapture "$filter" </dev/null 2>&1 |
        grep --line-buffered -v -E '^(running 0 tests|test result: ok\. 0 passed.*|     Running .*|)$' | tee "$log"
    if ! grep -q '^test result: ok\. [1-9]' "$log"; then
        echo "no test is named like $filter" >&2
        exit 1
    fi
done
step ""
