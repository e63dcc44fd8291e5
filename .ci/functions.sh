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

# A user who owns nothing, has no name and no groups: a number that neither Debian nor systemd hands out.
plain_user=61001

as_plain_user() {
    # Through a shell: setpriv itself still has root's capabilities when it executes the command.
    # shellcheck disable=SC2016 # for the inner shell
    setpriv --reuid="$plain_user" --regid="$plain_user" --clear-groups -- sh -c 'exec "$@"' sh "$@"
}

# A Python that is new enough, can make virtual environments, and that everybody may run: root's own may lie in /root.
python_for_all() {
    local python
    for python in /usr/bin/python3 /usr/local/bin/python3 $(type -ap python3); do
        if (cd / && as_plain_user "$python" -c '
import ensurepip, sys, venv
sys.exit(sys.version_info < (3, 11))' 2>/dev/null); then
            echo "$python"
            return
        fi
    done
    return 1
}
