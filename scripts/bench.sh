#!/usr/bin/env bash
# Every measurement in bench/, one after another; leave the machine alone meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

export OMP_WAIT_POLICY=PASSIVE
.venv/bin/python prepare.py --sample
for script in bench/*.py; do
    python=.venv/bin/python
    arguments=()
    case $script in
        */common.py | */fixed_steps.py | */soak.py) continue ;; # make soak runs the last
        */proposers.py) arguments=(--seeds 5 --proposals 12 --cores 0,1) ;;
        */baseline.py) arguments=(--python .venv-train/bin/python --cores 0) ;;
        */referee.py) python=.venv-train/bin/python ;;
    esac
    say "$script"
    "$python" "$script" "${arguments[@]}"
done
