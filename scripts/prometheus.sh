#!/usr/bin/env bash
# Prometheus and promtool for the tests: those on PATH, else Debian's, unpacked into build/prometheus. Unpacked and not
# installed, for the package starts a server that listens on every address.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

target=build/prometheus
is_there() { PATH=$PWD/$target/usr/bin:$PATH command -v prometheus promtool >/dev/null; }

unpack() {
    mkdir -p "$target"
    (cd "$target" && apt-get -qq download prometheus && dpkg-deb -x prometheus_*.deb .) >build/apt.log 2>&1
}

is_there && exit
command -v apt-get >/dev/null || die "this is not Debian or Ubuntu: put prometheus and promtool on PATH and run make again"
say "fetching Debian's Prometheus for the tests"
unpack || { as_root apt-get -qq update >/dev/null && unpack; } ||
    die "apt-get could not fetch prometheus: $(tail -n 1 build/apt.log) (all of it in build/apt.log)"
is_there || die "Debian's package of Prometheus holds no prometheus or no promtool"
