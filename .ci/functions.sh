# What the scripts beside this file share.
# shellcheck shell=bash
set -euo pipefail

step() { printf '\n== %s (%ss)\n' "$1" "$SECONDS" >&2; }

has() { command -v "$1" >/dev/null 2>&1; }

# Up to three times, for steps that depend on a network.
retry() {
    local pause
    for pause in 2 10; do
        if "$@"; then return 0; fi
        printf 'failed, once more in %s seconds: %s\n' "$pause" "$*" >&2
        sleep "$pause"
    done
    "$@"
}

# The output of a command only if it fails.
quietly() {
    local output
    output=$("$@" 2>&1) || {
        printf '%s\n' "$output" >&2
        return 1
    }
}
