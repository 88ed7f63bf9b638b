#!/usr/bin/env bash
# Every measurement in bench/, one after another; leave the machine alone meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

export OMP_WAIT_POLICY=PASSIVE
.venv/bin/python prepare.py --sample
for script in bench/*.py; do
    case $script in
        */common.py) continue ;;
        */baseline.py) arguments=(--python .venv-train/bin/python --cores 0) ;;
        *) arguments=() ;;
    esac
    say "$script"
    .venv/bin/python "$script" "${arguments[@]}"
done
