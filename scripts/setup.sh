#!/usr/bin/env bash
# Installs what is missing for `run` or `test`: Debian packages as root or with sudo; elsewhere it
# says what to install. Tools of `test` go into a virtual environment in the user's cache folder.
# usage: scripts/setup.sh run|test
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh

what=${1:?usage: scripts/setup.sh run|test}

# Name of a command or file, and the Debian package that has it.
needed=("cc build-essential" "git git" "/usr/lib/postgresql/*/bin/initdb postgresql")
# librdkafka is built from its source.
needed+=("pkg-config pkg-config" "/usr/include/openssl/ssl.h libssl-dev" "/usr/include/zlib.h zlib1g-dev")
# Kafka, and the API of the user pipeline.
needed+=("python3 python3")
kafka=("java openjdk-17-jre-headless" "mvn maven")
if [ "$what" = test ]; then needed+=("${kafka[@]}"); fi
if [ "$what" = test ]; then
    needed+=("chromium chromium" "chromedriver chromium-driver")
    python3 -c 'import ensurepip' 2>/dev/null || needed+=("ensurepip-of-python3 python3-venv")
fi

present() {
    case $1 in
    /*) compgen -G "$1" >/dev/null || command -v "${1##*/}" >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

can_install() {
    command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }
}

# The demo goes on without them.
if [ "$what" = run ]; then
    for entry in "${kafka[@]}"; do
        read -r file package <<<"$entry"
        if present "$file"; then continue; fi
        if can_install; then
            needed+=("$entry")
        else
            echo "missing: $package; without it the demo's broker is librdkafka's mock cluster, in memory"
        fi
    done
fi

missing=()
for entry in "${needed[@]}"; do
    read -r file package <<<"$entry"
    present "$file" || missing+=("$package")
done

if [ ${#missing[@]} -gt 0 ]; then
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
    if ! command -v apt-get >/dev/null; then
        echo "missing: ${missing[*]} (names of Debian packages); install them with this system's package manager" >&2
        exit 1
    elif [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; then
        echo "missing: ${missing[*]}; install them with: sudo apt-get install ${missing[*]}" >&2
        exit 1
    fi
    echo "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    retry "${as_root[@]}" apt-get update -qq
    retry "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null
fi

rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if ! command -v cargo >/dev/null; then
    echo "missing: Rust $rust or later; https://rustup.rs has the line that installs it" >&2
    exit 1
fi
have=$(rustc --version | cut -d' ' -f2)
if [ "$(printf '%s\n%s\n' "$rust" "$have" | sort -V | head -1)" != "$rust" ]; then
    echo "Rust $have is too old: Subak needs $rust or later; update it with: rustup update stable" >&2
    exit 1
fi

retry cargo fetch --locked --quiet
if [ "$what" = test ]; then
    install_tools
    install_clients
fi
