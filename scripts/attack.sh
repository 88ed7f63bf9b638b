#!/usr/bin/env bash
# Every attack of the corpus, held by the wall and let through by a broken one; then every honest program, trained and scored.
set -euo pipefail
cd "$(dirname "$0")/.."

export OMP_WAIT_POLICY=PASSIVE
.venv/bin/python -m pytest tests/adversarial --all-attacks "$@"
.venv/bin/python -m pytest tests/honest --all-honest "$@"
