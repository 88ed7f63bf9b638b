#!/usr/bin/env bash
# Writes the lock files again: every package with its version and the hashes of its files, and no index.
# Needs uv and an index; downloads metadata only (torch's own file is hashed where pip finds it).
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

pytorch_index=https://download.pytorch.org/whl/cpu
uv=$(find_uv) || die "uv is missing: run \`make setup\` first"
common=(pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate
    --custom-compile-command "make lock")
image=(--python-version 3.11 --python-platform x86_64-manylinux_2_28)

# torch's CPU build is on no default index: where pip is configured to find it, else on PyTorch's own.
# uv does not read pip's configuration, so its find-links are handed over; --no-emit-find-links keeps them out.
lock_cpu() {
    local links
    links=$(.venv/bin/python -m pip config get global.find-links 2>/dev/null || true)
    UV_FIND_LINKS=${PIP_FIND_LINKS:-$links} \
        "$uv" "${common[@]}" "${image[@]}" sandbox/requirements/cpu.in -o "$1" 2>/dev/null && return
    "$uv" "${common[@]}" "${image[@]}" --index "$pytorch_index" --index-strategy unsafe-best-match \
        sandbox/requirements/cpu.in -o "$1"
}

lock_cpu sandbox/requirements/cpu.lock
"$uv" "${common[@]}" "${image[@]}" sandbox/requirements/cuda.in -o sandbox/requirements/cuda.lock
"$uv" "${common[@]}" "${image[@]}" sandbox/requirements/installer.in -o sandbox/requirements/installer.lock
"$uv" "${common[@]}" --universal --python-version 3.11 scripts/tools.in -o scripts/tools.lock
"$uv" "${common[@]}" --universal --python-version 3.11 --extra dev pyproject.toml -o requirements.lock
# What the daemon itself needs, for its image: the same versions, without the tools.
"$uv" "${common[@]}" --universal --python-version 3.11 -c requirements.lock pyproject.toml -o daemon/requirements.lock
mkdir -p build
# Beside torch in .venv-train; the versions that both name are those of the image.
grep -v '^torch==' sandbox/requirements/cpu.lock | grep -E '^[a-z].*==' | sed 's/ .*//' >build/cpu-versions.txt
"$uv" "${common[@]}" --universal --python-version 3.11 -c build/cpu-versions.txt \
    sandbox/requirements/train-env.in -o sandbox/requirements/train-env.lock
say "locks written: look at \`git diff\` before committing"
