#!/bin/sh
# `make pythons`: the unit tests on every Python from 3.11 that is installed, each with a venv of its own in build/.
# PYTHONS names them where they are not in the path: make pythons PYTHONS="/opt/python3.12/bin/python3 python3.13"
set -eu
cd "$(dirname "$0")/.."

version_of() { "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null; }

passed=
for python in ${PYTHONS:-python3.11 python3.12 python3.13 python3.14}; do
    if ! version=$(version_of "$python"); then
        if [ -n "${PYTHONS:-}" ]; then
            echo "$python can't be run; PYTHONS names interpreters, such as /usr/bin/python3.12" >&2
            exit 1
        fi
        continue
    fi
    echo "Python $version:"
    make --no-print-directory unit PYTHON="$python" VENV="build/python-$version"
    passed="$passed $version"
done
if [ -z "$passed" ]; then
    echo "No Python from 3.11 in the path; name some: make pythons PYTHONS=/path/to/python3.12" >&2
    exit 1
fi
echo "The unit tests pass on Python$passed."
