# Shared by the scripts here; sourced, never run.

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# Root's rights, by sudo where we are not root.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this step needs root, and sudo is not installed: $*"
    fi
}

apt_install() {
    command -v apt-get >/dev/null ||
        die "this is not Debian or Ubuntu: install $* with your package manager and run make again"
    say "installing $* (apt-get)"
    mkdir -p build
    { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"; } \
        </dev/null >build/apt.log 2>&1 ||
        die "apt-get could not install $*: $(tail -n 1 build/apt.log) (all of it in build/apt.log)"
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# The first interpreter of the given names that runs and is 3.11 or newer.
find_python() {
    local name
    for name in "$@"; do
        if command -v "$name" >/dev/null && is_new_enough "$name"; then
            "$name" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    return 1
}

# uv as installed by the user, else the one that setup installed; its path on stdout.
find_uv() {
    local candidate
    for candidate in "$(command -v uv || true)" "$HOME/.local/bin/uv" build/tools/bin/uv; do
        if [ -n "$candidate" ] && "$candidate" --version >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    return 1
}
