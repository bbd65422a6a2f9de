#!/usr/bin/env bash
# Runs one of the pinned tools.
# usage: scripts/tool.sh NAME [ARGUMENT…]
set -euo pipefail
source "$(dirname "$0")/tools.sh"
tool "$@"
