#!/usr/bin/env bash
# Builds Subak, starts it with everything it needs, runs retail_retention on a generated file and the
# pipeline of users on a broker and an API of this machine, and serves until Ctrl-C. EXIT=1 ends after
# retail_retention, by its result, without broker and users. KAFKA_BOOTSTRAP names a broker that runs.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${SUBAK_DATA:-.data}

cargo build --workspace --locked
if [ "${EXIT:-0}" = 1 ]; then exec "$CARGO_TARGET_DIR/debug/subak" demo --exit; fi

mkdir -p "$data"
kafka_port=
stop() {
    kill "${api:-}" 2>/dev/null || true
    if [ -n "$mock" ]; then kill "$mock" 2>/dev/null || true; fi
    if [ -n "$kafka_port" ]; then scripts/kafka.sh stop "$kafka_port" "$data/kafka"; fi
}
trap stop EXIT
# Ctrl-C reaches Subak by itself.
trap : INT
trap 'kill "${demo:-}" 2>/dev/null || true' TERM

mock=
if [ -z "${KAFKA_BOOTSTRAP:-}" ] && ! { command -v java && command -v mvn; } >/dev/null; then
    # Without Java or Maven there is no broker: what stands in for it says so wherever it is seen.
    rm -f "$data/mock-kafka"
    "$CARGO_TARGET_DIR/debug/subak" mock-kafka >"$data/mock-kafka" < <(tail -f /dev/null --pid=$$) &
    mock=$!
    until read -r KAFKA_BOOTSTRAP 2>/dev/null <"$data/mock-kafka"; do
        kill -0 "$mock"
        sleep 0.1
    done
elif [ -z "${KAFKA_BOOTSTRAP:-}" ]; then
    while kafka_port=$((20000 + RANDOM % 10000)); do
        (: <"/dev/tcp/127.0.0.1/$kafka_port") 2>/dev/null || break
    done
    scripts/kafka.sh start "$kafka_port" "$data/kafka"
    KAFKA_BOOTSTRAP=127.0.0.1:$kafka_port
fi
# It ends with its input, which is this script's.
coproc API { exec python3 scripts/users_api.py --bad 0.03; }
api=$API_PID
read -r users_api <&"${API[0]}"
export SUBAK_CONN_KAFKA_MAIN="{\"conn_type\": \"kafka\", \"host\": \"$KAFKA_BOOTSTRAP\"}"
export SUBAK_CONN_USERS_API="{\"conn_type\": \"http\", \"host\": \"$users_api\"}"
"$CARGO_TARGET_DIR/debug/subak" demo --users &
demo=$!
status=0
wait "$demo" || status=$?
# A signal ends the first wait, and Subak a moment later.
while kill -0 "$demo" 2>/dev/null; do wait "$demo" && status=0 || status=$?; done
exit "$status"
