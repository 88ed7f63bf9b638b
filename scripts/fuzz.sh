#!/usr/bin/env bash
# Fuzz the referee with N mutants of real sealed models, on one core; more arguments go on (--seed S --start I).
# The seed is printed: a run is taken up again from where it was, and a finding is named by seed and number.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE
count=20000
if [[ "${1:-}" =~ ^[0-9]+$ ]]; then
    count=$1
    shift
fi
exec nice .venv-train/bin/python tests/guest/fuzz_run.py "$count" "$@"
