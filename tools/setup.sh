#!/bin/sh
# Makes a bare machine ready; called by the Makefile and .ci/run.
#
#   tools/setup.sh programs NAME…              programs that must be on the PATH
#   tools/setup.sh env DIR FILE… -- PIP-ARG…   a virtual environment, brought up to date only
#                                              when one of the FILEs has changed
#
# PYTHON chooses the interpreter of a new environment. CI=true makes a missing program
# an error; a person goes on without it, and the tests that need it say so and skip.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "setup: $*" >&2; }
die() { say "$*"; exit 1; }

may_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

# Runs a command quietly; if it fails, shows the end of what it said.
quietly() {
    log=$1; shift
    if ! "$@" >"$log" 2>&1 </dev/null; then
        tail -n 25 "$log" >&2
        return 1
    fi
}

apt_install() {
    say "installing $* with apt-get"
    export DEBIAN_FRONTEND=noninteractive
    # A fresh image has no package lists. One unreachable source among several makes
    # `update` fail although the others may do, so only the install decides.
    apt-get -qq update >/dev/null 2>&1 </dev/null || true
    log=$(mktemp)
    quietly "$log" apt-get -qq install -y --no-install-recommends "$@" || return 1
    rm -f "$log"
}

programs() {
    missing=
    for name in "$@"; do
        command -v "$name" >/dev/null && continue
        case $name in
            ssh-keygen) missing="$missing openssh-client" ;;
            sshd) missing="$missing openssh-server" ;;
            gpg) missing="$missing gnupg" ;;
            *) missing="$missing $name" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086 # a list of words
    if may_apt && apt_install $missing; then return 0; fi
    [ "${CI:-}" != true ] || die "missing:$missing"
    say "missing:$missing (on Debian or Ubuntu: sudo apt-get install$missing)"
}

python_version() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

environment() {
    dir=$1; shift
    files=
    while [ "$1" != -- ]; do files="$files $1"; shift; done
    shift

    python=${PYTHON:-python3}
    version=$(python_version "$python") || die "no $python here; choose one: make PYTHON=…"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "mlgit needs Python 3.10 or later and $python is $version; choose one: make PYTHON=…"

    # Scripts of an environment hold absolute paths, so a checkout that moved needs a new one.
    stamp=$dir/.mlgit-setup
    place="python $version in $PWD"
    # shellcheck disable=SC2086
    content=$(cat tools/setup.sh $files | cksum)
    if [ -d "$dir" ]; then
        if [ "$(python_version "$dir/bin/python")" != "$version" ] ||
            ! "$dir/bin/python" -m pip --version >/dev/null 2>&1 ||
            { [ -f "$stamp" ] && [ "$(sed -n 1p "$stamp")" != "$place" ]; }
        then
            say "rebuilding $dir"
            rm -rf "$dir"
        elif [ -f "$stamp" ] && [ "$(sed -n 2p "$stamp")" = "$content" ]; then
            return 0
        fi
    fi

    start=$(date +%s)
    if [ ! -d "$dir" ]; then
        # Debian and Ubuntu keep this part of Python in a package of its own.
        if ! "$python" -c 'import ensurepip' 2>/dev/null; then
            { may_apt && apt_install "python$version-venv"; } || die "$python cannot make virtual" \
                "environments; on Debian or Ubuntu: sudo apt-get install python$version-venv"
        fi
        say "making $dir with Python $version"
    fi
    log=$(mktemp)
    [ -d "$dir" ] || quietly "$log" "$python" -m venv "$dir" || {
        rm -rf "$dir"
        die "$python could not make it"
    }
    # Older ones do not know --group.
    quietly "$log" "$dir/bin/python" -m pip install --disable-pip-version-check 'pip>=25.1' ||
        die "pip could not be updated"
    say "installing packages into $dir (the first time takes a minute or more)"
    quietly "$log" "$dir/bin/python" -m pip install --disable-pip-version-check \
        --progress-bar off "$@" || die "pip install failed; all it said is in $log"
    rm -f "$log"
    printf '%s\n' "$place" "$content" >"$stamp"
    say "ready after $(($(date +%s) - start)) s"
}

verb=$1; shift
case $verb in
    programs) programs "$@" ;;
    env) environment "$@" ;;
    *) die "unknown verb $verb" ;;
esac
