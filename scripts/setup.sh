#!/usr/bin/env bash
# Everything that `autoresearch` needs on this machine: environment, engine, image. Run it as often as you like.
#   scripts/setup.sh           the daemon's environment in .venv, a Docker engine, the CPU image
#   scripts/setup.sh --train   also .venv-train: torch, to run train.py by hand and to test the guest
#   scripts/setup.sh --env     .venv alone
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

mkdir -p build/stamps
exec 9>build/.lock
if ! flock --nonblock 9; then
    say "another setup is at work in this directory: waiting for it"
    flock 9
fi

is_done() { [ "$(cat "build/stamps/$1" 2>/dev/null)" = "$2" ]; }
mark_done() { printf '%s\n' "$2" >"build/stamps/$1"; }
fingerprint() { cat "$@" | sha256sum | cut -d' ' -f1; }

need_python() {
    find_python "$@" && return
    local version
    version=$(python3 --version 2>/dev/null || echo "no python3 on PATH")
    die "Python 3.11 or newer is needed ($version): install one, for example with \`apt-get install python3.11 python3.11-venv\`"
}

# A fresh virtual environment that has pip, with whatever Debian splits off into python3.N-venv.
make_venv() {
    local python=$1 directory=$2
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        apt_install "$("$python" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')"
    fi
    "$python" -m venv --clear "$directory" || die "\`$python -m venv $directory\` failed"
}

# uv where the user has it, else from PyPI by hash; without it pip does the work, slower.
uv=
choose_installer() {
    uv=$(find_uv) && return
    say "installing uv (from PyPI)"
    make_venv "$1" build/tools
    build/tools/bin/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: \
        --require-hashes -r scripts/tools.lock >build/uv.log 2>&1 || say "uv cannot be had here: using pip"
    uv=$(find_uv) || uv=
}

new_environment() { # PYTHON DIRECTORY
    if [ -n "$uv" ]; then
        "$uv" venv --quiet --clear --python "$1" "$2"
    else
        make_venv "$1" "$2"
    fi
}

# Outside the project's directory: uv would read our [tool.uv] constraints as requirements without hashes.
install() { # DIRECTORY OPTION...
    local python=$PWD/$1/bin/python
    shift
    if [ -n "$uv" ]; then
        case $uv in /*) ;; *) uv=$PWD/$uv ;; esac
        "$uv" --directory / pip install --quiet --compile-bytecode --python "$python" "$@"
    else
        "$python" -m pip install --quiet --disable-pip-version-check "$@"
    fi
}

python_of() { "$1/bin/python" -c 'import sys; print(sys.version)' 2>/dev/null; }

setup_daemon() {
    local python wanted
    wanted="$(fingerprint requirements.lock pyproject.toml) $(python_of .venv || true)"
    if is_done venv "$wanted"; then return; fi
    python=$(need_python python3 python3.13 python3.12 python3.11) || exit 1
    command -v git >/dev/null || apt_install git
    choose_installer "$python"
    say "the daemon's environment: .venv"
    is_new_enough .venv/bin/python || new_environment "$python" .venv
    install .venv --require-hashes -r "$PWD/requirements.lock" || die "the packages of requirements.lock could not be installed"
    install .venv --no-deps --no-build-isolation --editable "$PWD" || die "the project could not be installed into .venv"
    mark_done venv "$(fingerprint requirements.lock pyproject.toml) $(python_of .venv)"
}

setup_image() {
    .venv/bin/autoresearch image check --variant cpu >/dev/null 2>&1 && return
    say "the CPU image (five minutes the first time)"
    need_debootstrap
    .venv/bin/autoresearch image build --variant cpu
}

# Only where no registry offers the base and none was made yet.
need_debootstrap() {
    PATH=$PATH:/usr/sbin command -v debootstrap >/dev/null && return
    .venv/bin/python -c 'import sys; from sandbox import base; sys.exit(not base.registry_answers())' && return
    apt_install debootstrap debian-archive-keyring
}

# The image's wheels; there already where this machine built the image.
fetch_wheels() {
    .venv/bin/python - <<'PY'
import sys

from sandbox import image

try:
    image.download_wheelhouse("cpu", image.wheelhouse_directory("cpu"))
except image.ImageError as error:
    sys.exit(f"setup: {error}")
PY
}

# torch comes from the image's own wheels; where Python is not 3.11 the same release is fetched for it.
setup_train() {
    local python wanted
    wanted="$(fingerprint sandbox/requirements/*.lock) $(python_of .venv-train || true)"
    if is_done venv-train "$wanted"; then return; fi
    python=$(need_python python3.11 python3 python3.13 python3.12) || exit 1
    choose_installer "$python"
    say "torch for this machine: .venv-train"
    is_new_enough .venv-train/bin/python || new_environment "$python" .venv-train
    fetch_wheels
    if .venv-train/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
        install .venv-train --no-index --find-links "$PWD/build/wheelhouse-cpu" --require-hashes \
            -r "$PWD/sandbox/requirements/cpu.lock" || die "torch could not be installed into .venv-train"
    else
        say "Python is not 3.11: fetching torch for it, by version and not by hash"
        install .venv-train --extra-index-url https://download.pytorch.org/whl/cpu \
            "$(grep -o '^torch==[^ ]*' sandbox/requirements/cpu.lock)" || die "torch could not be installed into .venv-train"
    fi
    install .venv-train --require-hashes -r "$PWD/sandbox/requirements/train-env.lock" ||
        die "the packages of train-env.lock could not be installed"
    mark_done venv-train "$(fingerprint sandbox/requirements/*.lock) $(python_of .venv-train)"
}

[ "$(uname -s)" = Linux ] || die "Linux is needed: the sandbox is made of its namespaces and cgroups"
setup_daemon
if [ "${1:-}" = --env ]; then exit; fi
scripts/engine.sh
setup_image
if [ "${1:-}" = --train ]; then setup_train; fi
