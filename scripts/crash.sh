#!/usr/bin/env bash
# The daemon killed at every named place, each five times, with the real engine; then an engine stopped and killed under it.
# Arguments go to the sweep: --repeats 1, --points decided.after,git.recorded, --sandbox scripted.
set -euo pipefail
cd "$(dirname "$0")/.."

export OMP_WAIT_POLICY=PASSIVE
.venv/bin/python tests/crash/crash_points.py "$@"
.venv/bin/python -m pytest tests/crash
