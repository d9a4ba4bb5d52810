# Give every script the same way to an environment that is ready: POSIX sh, to be sourced.
#
#   root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
#   . "$root/scripts/lib/setup.sh"
#   ensure_environment run      # what the product needs: requirements.txt
#   ensure_environment dev      # and the tools of its tests: requirements-dev.txt
#
# Afterwards "$root/.venv/bin" holds python, moonmind, celery and the rest. Messages go to
# standard error. When nothing changed since the last time this costs a few milliseconds.

ensure_environment() {
    if environment_is_current "$1"; then
        return 0
    fi
    if ! setup_python=$(find_python); then
        echo "Python 3.11 or later is needed, and none was found on PATH. Install it, then start again." >&2
        exit 3
    fi
    "$setup_python" -I "$root/scripts/lib/environment.py" "$1" || exit 3
}

# The installed locks are kept in .venv, so that comparing them needs no tool that hashes.
environment_is_current() {
    setup_stamps="$root/.venv/installed"
    [ -x "$root/.venv/bin/python" ] &&
        [ -f "$setup_stamps/root" ] &&
        [ "$(cat "$setup_stamps/root")" = "$root" ] &&
        cmp -s "$root/requirements.txt" "$setup_stamps/requirements.txt" &&
        { [ "$1" = run ] || cmp -s "$root/requirements-dev.txt" "$setup_stamps/requirements-dev.txt"; }
}

find_python() {
    for setup_candidate in python3 python3.13 python3.12 python3.11; do
        if "$setup_candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$setup_candidate"
            return 0
        fi
    done
    return 1
}
