#!/usr/bin/env bash
# Format, lint, types and import rules.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

say "ruff"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
say "mypy"
.venv/bin/mypy
say "import-linter"
.venv/bin/lint-imports
say "the seccomp profile is what its list makes"
.venv/bin/python scripts/seccomp.py --check
say "the table of metrics is what the registry holds"
.venv/bin/python scripts/metrics.py --check
say "the dashboard is what its source makes"
.venv/bin/python scripts/dashboard.py --check
