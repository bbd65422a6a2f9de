#!/usr/bin/env bash
# A real Kafka broker, alone (KRaft), on loopback, for tests and demos.
# usage: scripts/kafka.sh start PORT DIR   starts it and returns once it serves; its pid is in DIR/kafka.pid
#        scripts/kafka.sh stop PORT DIR    ends it; what it holds stays in DIR
#        scripts/kafka.sh fetch            downloads what it needs, nothing else
# A DIR that has been served before is served again, also after a kill. KAFKA_HEAP (512m) limits its heap.
# KAFKA_PROPERTIES names a file of further settings, such as TLS and SASL of the listener BROKER; KAFKA_SCRAM
# adds a user while DIR is formatted: SCRAM-SHA-512=[name=ann,password=…]. KAFKA_JAVA has options for Java,
# KAFKA_SIGNAL the signal that ends it (TERM): KILL where nothing of DIR is wanted any more.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh

home=scripts/kafka
cache=${XDG_CACHE_HOME:-$HOME/.cache}/subak/kafka
started="Kafka Server started"
longest=120

need() {
    command -v "$1" >/dev/null || {
        echo "missing: $1, which Kafka needs; install it with: apt-get install $2" >&2
        exit 1
    }
}

# The class path, resolved once for each pom.
class_path() {
    local list
    list=$cache/$(sha256sum "$home/pom.xml" | cut -c1-16).classpath
    # The artifacts lie in Maven's own folder, which may have been emptied since.
    if [ ! -s "$list" ] || [ ! -e "$(cut -d: -f1 "$list")" ]; then
        need java openjdk-17-jre-headless
        need mvn maven
        mkdir -p "$cache"
        retry mvn --quiet --batch-mode --file "$home/pom.xml" dependency:build-classpath \
            "-Dmdep.outputFile=$list.$$" >&2
        mv "$list.$$" "$list"
    fi
    cat "$list"
}

# Becomes the class's process.
run_class() {
    # shellcheck disable=SC2086 # one option or several
    exec java "-Xmx${KAFKA_HEAP:-512m}" -Xms64m -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError ${KAFKA_JAVA:-} \
        "-Dlog4j2.configurationFile=$PWD/$home/log4j2.properties" -cp "$classes" "$@"
}

free_port() {
    local port
    while port=$((20000 + RANDOM % 10000)); do
        (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# The controller's port is taken anew each time: another process may have the last one by now.
configure() {
    local port=$1 dir=$2 controller
    controller=$(free_port)
    cat >"$dir/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=BROKER://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
log.dirs=$dir/data
# One broker: nothing has a second copy.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# A group of one need not wait for others.
group.initial.rebalance.delay.ms=0
# A killed broker is let in again only after its former session.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
# What can be compacted is so at once, not after 15 seconds.
log.cleaner.backoff.ms=100
auto.create.topics.enable=false
message.max.bytes=4194304
END
    # Of two settings of a name the later one counts.
    [ -z "${KAFKA_PROPERTIES:-}" ] || cat "$KAFKA_PROPERTIES" >>"$dir/server.properties"
}

# Sixteen random bytes as Kafka writes them, which would take a Java of its own to say; none begins with `-`.
random_uuid() {
    local id
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')
    echo "${id/#-/A}"
}

format() {
    local dir=$1 users=()
    [ -z "${KAFKA_SCRAM:-}" ] || users=(--add-scram "$KAFKA_SCRAM")
    (run_class kafka.tools.StorageTool format --config "$dir/server.properties" "${users[@]}" \
        --cluster-id "$(random_uuid)") >"$dir/format.log" 2>&1 || {
        cat "$dir/format.log" >&2
        exit 1
    }
}

# Whether the process of that number is still this broker: a number may be given again.
running() {
    [ -s "$1/kafka.pid" ] && ps -o args= -p "$(<"$1/kafka.pid")" | grep -qF "$1/server.properties"
}

start() {
    local port=$1 dir=$2 pid
    if running "$dir"; then
        echo "a broker serves $dir already, as process $(<"$dir/kafka.pid")" >&2
        exit 1
    fi
    need java openjdk-17-jre-headless
    classes=$(class_path)
    mkdir -p "$dir"
    configure "$port" "$dir"
    [ -e "$dir/data/meta.properties" ] || format "$dir"
    : >"$dir/kafka.log"
    # In a session of its own: an interrupt of the terminal is for its caller, who then stops it.
    (run_class kafka.Kafka "$dir/server.properties") >>"$dir/kafka.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$dir/kafka.pid"
    # `tail` ends with the broker, `grep` at its word.
    if ! timeout "$longest" grep -q -m1 "$started" < <(tail -n +1 -F --pid="$pid" "$dir/kafka.log" 2>/dev/null); then
        echo "the broker on port $port did not start; its last words ($dir/kafka.log):" >&2
        tail -n 20 "$dir/kafka.log" >&2
        kill -9 "$pid" 2>/dev/null || true
        exit 1
    fi
}

stop() {
    local dir=$1 pid
    running "$dir" || return 0
    pid=$(<"$dir/kafka.pid")
    kill "-${KAFKA_SIGNAL:-TERM}" "$pid"
    timeout 30 tail -f --pid="$pid" /dev/null || kill -9 "$pid" 2>/dev/null || true
    rm -f "$dir/kafka.pid"
}

usage() {
    sed -n '3,5s/^# //p' "$0" >&2
    exit 2
}

case ${1:-} in
start | stop)
    [ $# -eq 3 ] || usage
    mkdir -p "$3"
    dir=$(cd "$3" && pwd)
    if [ "$1" = start ]; then start "$2" "$dir"; else stop "$dir"; fi
    ;;
fetch) class_path >/dev/null ;;
*) usage ;;
esac
