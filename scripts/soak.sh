#!/usr/bin/env bash
# A long night in minutes: 500 short experiments under a seeded schedule of faults, then 40 in real containers.
set -euo pipefail
cd "$(dirname "$0")/.."

export OMP_WAIT_POLICY=PASSIVE
.venv/bin/python bench/soak.py --experiments 500 "$@"
.venv/bin/python bench/soak.py --experiments 40 --quiet 20 --sandbox docker "$@"
