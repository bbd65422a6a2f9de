#!/usr/bin/env bash
# Builds the workspace and runs every test. The last line sums up the test binaries.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh

# The one build of all tests has faults that are off until a test asks for one: a build of its own for
# those tests takes longer than they do. What is shipped has none.
faults=(--features subak-testkit/mutate,subak-cli/mutate)
step "build"
cargo build --workspace --all-targets --locked "${faults[@]}"
step "tests"
# Most of a test is waiting for servers: twice as many as there are cores keep these busy.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
# A test that hangs fails the run instead of holding it up. No documentation has tests: rustdoc would look
# through every crate for them.
timeout --kill-after=30 40m \
    cargo test --workspace --lib --bins --tests --locked "${faults[@]}" --no-fail-fast </dev/null 2>&1 |
    tee "$log" || status=$?
step ""

read -r passed failed skipped < <(awk '
    /^test result: / { for (i = 1; i < NF; i++) {
        if ($(i + 1) == "passed;") passed += $i
        if ($(i + 1) == "failed;") failed += $i
        if ($(i + 1) == "ignored;") skipped += $i
    } }
    END { print passed + 0, failed + 0, skipped + 0 }' "$log")
if [ "$status" -ne 0 ]; then
    grep -E '^(test .* FAILED|error: .*test failed|    [a-z_:]+$)' "$log" | sort -u | head -50 || true
fi
echo "$passed passed, $failed failed, $skipped skipped"
if [ "$passed" -eq 0 ]; then
    echo "no test has run" >&2
    exit 1
fi
exit "$status"
