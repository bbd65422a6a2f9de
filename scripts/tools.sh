# Sourced by the other scripts: pinned tools in the user's cache folder, and retried network calls.

tools_folder=${XDG_CACHE_HOME:-$HOME/.cache}/subak/tools
tools=(typos==1.52.0 taplo==0.9.3)

# Runs a command up to three times: a registry may be away for a moment.
retry() {
    local wait
    for wait in 5 20 0; do
        "$@" && return
        [ "$wait" = 0 ] || { echo "failed, once more in $wait s: $*" >&2; sleep "$wait"; }
    done
    echo "failed three times: $*" >&2
    return 1
}

# Installs the tools, unless just these versions are there.
install_tools() {
    local stamp=$tools_folder/installed
    if [ "$(cat "$stamp" 2>/dev/null)" = "${tools[*]}" ]; then return; fi
    echo "installing ${tools[*]} into $tools_folder"
    rm -rf "$tools_folder"
    python3 -m venv "$tools_folder"
    retry "$tools_folder/bin/pip" install --quiet --disable-pip-version-check --no-deps "${tools[@]}"
    echo "${tools[*]}" >"$stamp"
}

# Clients of the REST API that the tests drive, in a virtual environment of their own.
clients_folder=${XDG_CACHE_HOME:-$HOME/.cache}/subak/clients
clients=(apache-airflow-client==3.3.2 apache-airflow-ctl==0.1.5 schemathesis==4.32.5)

# Installs the clients, unless just these versions are there.
install_clients() {
    local stamp=$clients_folder/installed
    if [ "$(cat "$stamp" 2>/dev/null)" = "${clients[*]}" ] && "$clients_folder/bin/python" -c ''; then
        return
    fi
    echo "installing ${clients[*]} into $clients_folder"
    rm -rf "$clients_folder"
    python3 -m venv "$clients_folder"
    retry "$clients_folder/bin/pip" install --quiet --disable-pip-version-check "${clients[@]}"
    echo "${clients[*]}" >"$stamp"
}

# Runs one of the tools.
tool() {
    local name=$1
    shift
    "$tools_folder/bin/$name" "$@"
}

# Says which step begins, and after the next one how long it took.
step_name='' step_start=0
step() {
    if [ -n "$step_name" ]; then echo "--- $step_name: $((SECONDS - step_start)) s"; fi
    step_name=$1 step_start=$SECONDS
    if [ -n "$1" ]; then echo "=== $1"; fi
}
