#!/usr/bin/env bash
# A Chromium for the tests of the page: the one on PATH, else Debian's package.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

command -v chromium >/dev/null && exit
apt_install chromium fonts-dejavu-core
command -v chromium >/dev/null || die "the package chromium brought no program of that name: put one on PATH and run make again"
