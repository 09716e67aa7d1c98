#!/bin/sh
# Makes .venv (VENV names another) with all that `make run` (argument: run) or `make test` (argument: test) needs of
# Python.
# A stamp tells for which Python, folder and pyproject.toml that was done: the next time takes no time.
# PYTHON names the Python to take; otherwise it is the first of python3, python3.14 .. python3.11 that will do.
set -eu
cd "$(dirname "$0")/.."

purpose=$1
venv=${VENV:-.venv}
oldest="3, 11"
candidates="python3 python3.14 python3.13 python3.12 python3.11"

describe() { # the version of a Python, and where we are: both are written into a venv
    echo "$("$1" -c 'import platform; print(platform.python_version())' 2>/dev/null || echo none) in $PWD"
}

ready() {
    [ -e "$venv/.ready-$1" ] && [ "$venv/.ready-$1" -nt pyproject.toml ] &&
        [ "$(cat "$venv/.ready-$1")" = "$(describe "${PYTHON:-$venv/bin/python}")" ]
}

new_enough() { "$1" -c "import sys; sys.exit(sys.version_info < ($oldest))" 2>/dev/null; }

can_make_venv() { "$1" -c "import ensurepip, venv" 2>/dev/null; }

pick_python() {
    if [ -n "${PYTHON:-}" ]; then
        echo "$PYTHON"
        return
    fi
    for check in can_make_venv true; do
        for candidate in $candidates; do
            if new_enough "$candidate" && $check "$candidate"; then
                echo "$candidate"
                return
            fi
        done
    done
    echo python3
}

make_venv() {
    python=$(pick_python)
    if ! new_enough "$python"; then
        found=$("$python" --version 2>&1) || found="$python can't be run"
        echo "Python 3.11 or newer is needed: $found. Name another one: make $purpose PYTHON=/path/to/python3.12" >&2
        exit 1
    fi
    if ! can_make_venv "$python"; then
        .ci/apt.sh python3-venv || exit 1
        if ! can_make_venv "$python"; then
            package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
            .ci/apt.sh "$package" || exit 1
        fi
    fi
    "$python" -m venv --clear "$venv"
}

# What was set up for the tests has everything to run, too.
if ready test || ready "$purpose"; then
    exit 0
fi
echo "Setting up Python packages in $venv, once ..."
if [ "$(cat "$venv"/.ready-* 2>/dev/null | head -n 1)" != "$(describe "${PYTHON:-$venv/bin/python}")" ]; then
    make_venv
fi
case $purpose in
    run) packages=. ;;
    test) packages=".[test]" ;;
esac
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$packages"; then
    echo "Not set up: pip, above, could not install the packages. It needs the network (behind a proxy: HTTPS_PROXY;" \
        "with a mirror: PIP_INDEX_URL). When that is mended: make $purpose" >&2
    exit 1
fi
"$venv/bin/python" -m compileall -q gateway # so that the first start is as quick as any other
describe "$venv/bin/python" >"$venv/.ready-$purpose"
