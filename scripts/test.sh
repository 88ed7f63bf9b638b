#!/usr/bin/env bash
# Every tier, in the order of what fails fastest; a tier whose tool is missing fails. Arguments go to the daemon's pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

# Spinning torch threads starve each other on small machines; see docs/log.md.
export OMP_WAIT_POLICY=PASSIVE

docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || apt_install docker-compose
scripts/daemon_image.sh
scripts/lint.sh
scripts/prometheus.sh
scripts/chromium.sh
guest() {
    say "the guest's tests, with torch"
    OMP_NUM_THREADS=1 .venv-train/bin/python -m pytest tests/guest
}

if (($# == 0)); then
    # Neither needs the engine: two processes of one thread each, side by side where there are two cores.
    guest_log=$(mktemp)
    guest >"$guest_log" 2>&1 &
    say "the daemon's tests without the engine"
    ok=0
    .venv/bin/python -m pytest tests/unit tests/architecture || ok=$?
    wait $! || ok=$?
    cat "$guest_log"
    rm -f "$guest_log"
    ((ok == 0)) || exit "$ok"
    say "the daemon's tests with the engine"
    exec .venv/bin/python -m pytest tests/integration tests/e2e tests/honest tests/adversarial
fi
guest
say "the daemon's tests: $*"
.venv/bin/python -m pytest tests/unit tests/architecture tests/integration tests/e2e tests/honest tests/adversarial "$@"
