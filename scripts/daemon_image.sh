#!/usr/bin/env bash
# Builds autoresearch-daemon:local: the wheels of daemon/requirements.lock by hash, our own wheel, and no network.
# BASE_IMAGE names a base with python3.11 and git; without it, python:3.11 where the engine has it or a registry
# answers, else Debian 12 made here by debootstrap.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

tag=${DAEMON_IMAGE:-autoresearch-daemon:local}
wheels=build/wheelhouse-daemon
context=build/daemon-context
python=.venv/bin/python
[ -x "$python" ] || die "there is no .venv: run \`make setup\` first"

fetch_wheels() {
    local platforms=()
    local glibc
    for glibc in _2_28 _2_27 _2_24 2014 _2_17 2010 _2_5 1; do platforms+=(--platform "manylinux${glibc}_x86_64"); done
    mkdir -p "$wheels"
    "$python" -m pip download --quiet --disable-pip-version-check --no-input --only-binary=:all: --no-deps \
        --require-hashes --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
        "${platforms[@]}" --platform any --find-links "$wheels" --dest "$wheels" -r daemon/requirements.lock \
        >"$wheels/download.log" 2>&1 ||
        die "the wheels of the daemon's image could not be downloaded; why is in $wheels/download.log"
}

make_context() {
    rm -rf "$context"
    mkdir -p "$context/wheels"
    cp "$wheels"/*.whl "$context/wheels/"
    cp daemon/requirements.lock daemon/Dockerfile "$context/"
    "$python" -m hatchling build --target wheel --directory "$context/wheels" >/dev/null 2>&1
}

has_image() { docker image inspect "$1" >/dev/null 2>&1; }

find_base() {
    local local_base=autoresearch-base:bookworm-git
    if [ -n "${BASE_IMAGE:-}" ]; then
        echo "$BASE_IMAGE"
    elif has_image python:3.11; then
        echo python:3.11
    elif has_image "$local_base"; then
        echo "$local_base"
    elif "$python" -c 'import sys; from sandbox.base import registry_answers as r; sys.exit(not r())' &&
        docker pull --quiet python:3.11 >/dev/null; then
        echo python:3.11
    else
        "$python" -c 'import sys; from pathlib import Path; from sandbox.base import debootstrap_base
debootstrap_base(Path(sys.argv[1]), extra=("git",))' build/daemon-base.tar
        docker import build/daemon-base.tar "$local_base" >/dev/null
        rm -f build/daemon-base.tar
        echo "$local_base"
    fi
}

say "fetching the daemon's wheels into $wheels"
fetch_wheels
make_context
base=$(find_base)
say "building $tag on $base"
DOCKER_BUILDKIT=0 docker build --quiet --network none --build-arg "BASE_IMAGE=$base" --tag "$tag" "$context" 2>&1 |
    grep -v -i 'deprecated\|buildx\|^$' || true
has_image "$tag" || die "$tag could not be built"
say "$tag is built ($(docker image inspect --format '{{.Size}}' "$tag" | awk '{ printf "%d MiB", $1 / 1048576 }'))"
