#!/usr/bin/env bash
# demo.sh LAB N: makes the lab unless it is there, runs N experiments in it, and shows what came out.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

lab=$1
experiments=$2
autoresearch=.venv/bin/autoresearch

if [ ! -e "$lab/lab.toml" ]; then
    say "a new lab in $lab"
    "$autoresearch" init "$lab" --profile cpu
fi
say "the sample text"
"$autoresearch" prepare --sample --lab "$lab"
say "$experiments experiments"
"$autoresearch" run --experiments "$experiments" --lab "$lab"
say "what came out"
"$autoresearch" status --lab "$lab"
"$autoresearch" plot --lab "$lab"
git -C "$lab" --no-pager log --oneline -n 20 "$(git -C "$lab" for-each-ref --count=1 --sort=-committerdate \
    --format='%(refname)' refs/heads/autoresearch/)"
