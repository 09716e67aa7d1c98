#!/bin/sh
# Installs Debian packages where it may: as root, or through a sudo that asks for no password; never with NO_APT=1.
# Exit 0: they are installed. Otherwise it prints the line that installs them, and exits 1.
set -eu

if [ "${NO_APT:-}" != 1 ] && command -v apt-get >/dev/null; then
    if [ "$(id -u)" = 0 ]; then
        sudo=
    elif sudo -n true 2>/dev/null; then
        sudo="sudo -n"
    else
        sudo=no
    fi
    if [ "$sudo" != no ]; then
        echo "Installing by apt (NO_APT=1 forbids it): $*"
        # shellcheck disable=SC2086  # empty or two words, on purpose
        if $sudo apt-get update -qq &&
            $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; then
            exit 0
        fi
    fi
fi
echo "Not installed: $*. To install: sudo apt install $*" >&2
exit 1
