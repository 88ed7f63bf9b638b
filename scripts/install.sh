#!/usr/bin/env bash
# Puts the program on this machine for everybody, or takes it away. It asks nothing, and may be run as often as you like.
#   scripts/install.sh               the program, its unit, user and folders
#   scripts/install.sh --uninstall   takes away what the former made; labs and their data stay
#   PREFIX    where the program lives; /opt/autoresearchd without it
#   DESTDIR   a folder that stands for /, to make a package from: no user is made, and nothing outside is touched
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

prefix=${PREFIX:-/opt/autoresearchd}
root=${DESTDIR:-}
root=${root%/}
home=$root$prefix
made=$home/made-by-install # what we made outside of it, one path a line, and "user" where we made that
data=/var/lib/autoresearchd
unit=/etc/systemd/system/autoresearchd@.service
sysusers=/etc/sysusers.d/autoresearchd.conf
tmpfiles=/etc/tmpfiles.d/autoresearchd.conf
link=/usr/local/bin/autoresearch

refuse() {
    printf 'install: %s\n' "$*" >&2
    exit 1
}

has_systemd() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

running_units() {
    if has_systemd; then
        systemctl list-units --plain --no-legend --state=active,activating,deactivating,reloading 'autoresearchd@*' |
            cut -d' ' -f1
    fi
}

refuse_while_running() {
    local units
    units=$(running_units | tr '\n' ' ')
    [ -z "$units" ] || refuse "these are running: stop them first, with \`systemctl stop $units\`"
}

look_first() {
    [[ $prefix =~ ^/[A-Za-z0-9._+/-]+$ ]] || refuse "PREFIX must be an absolute path of plain letters, not '$prefix'"
    [ -z "$root" ] || [ "${root#/}" != "$root" ] || refuse "DESTDIR must be an absolute path, not '$root'"
    [ -n "$root" ] || [ "$(id -u)" = 0 ] || refuse "this is for root: sudo make ${1:-install}"
}

look_for_others() {
    if [ -e "$home" ] && [ ! -e "$made" ] && [ -n "$(ls -A "$home")" ]; then
        refuse "$home is there and was not made by make install: choose another PREFIX"
    fi
    if [ -e "$root$link" ] || [ -L "$root$link" ]; then
        [ "$(readlink "$root$link")" = "$prefix/.venv/bin/autoresearch" ] ||
            refuse "$root$link is there and was not made by make install: move it away"
    fi
}

note() { grep -qxF "$1" "$made" || printf '%s\n' "$1" >>"$made"; }

# Of a path and its parents those that are not there, the outermost first.
missing() {
    [ "$1" = / ] || [ -d "$root$1" ] || {
        missing "$(dirname "$1")"
        printf '%s\n' "$1"
    }
}

# A folder and its parents; those that were not there go again with uninstall.
folder() { # PATH MODE
    [ -d "$root$1" ] && return
    case $1 in /*/*) folder "$(dirname "$1")" 0755 ;; esac
    install -d -m "$2" "$root$1"
    note "$1"
}

file() { # SOURCE PATH
    folder "$(dirname "$2")" 0755
    install -m 0644 "$1" "$root$2"
    note "$2"
}

sources() {
    find daemon sandbox policies data/sample tests/adversarial/attacks -type f -not -path '*/__pycache__/*' -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum
    sha256sum prepare.py train.py program.md Dockerfile.train pyproject.toml
}

is_up_to_date() { [ "$(cat "$home/.venv/installed" 2>/dev/null)" = "$wanted" ] && [ -x "$home/.venv/bin/autoresearch" ]; }

# One that the service can reach: its unit sees no home directories.
system_python() {
    local candidate real
    for candidate in /usr/bin/python3 /usr/bin/python3.{14,13,12,11} /usr/local/bin/python3; do
        real=$(readlink -f "$candidate" || true)
        case $real in /home/* | /root/* | '') continue ;; esac
        if is_new_enough "$real" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    refuse "Python 3.11 or newer is needed outside of home directories: install it, for example with \`apt-get install python3\`"
}

environment() {
    local python wheel uv
    refuse_while_running
    python=$(system_python) || exit 1
    [ -x .venv/bin/python ] || scripts/setup.sh --env
    say "the program and its libraries, with $python: $home/.venv (a minute or two)"
    rm -rf build/install "$home/.venv"
    mkdir -p build/install
    .venv/bin/python -m hatchling build --target wheel --directory build/install >build/install/log 2>&1 ||
        refuse "our own wheel could not be built; why is in build/install/log"
    wheel=$(echo "$PWD"/build/install/autoresearchd-*.whl)
    "$python" -m venv --without-pip "$home/.venv"
    if uv=$(find_uv); then
        case $uv in /*) ;; *) uv=$PWD/$uv ;; esac
        set -- "$uv" --directory / pip install --quiet --link-mode "${UV_LINK_MODE:-copy}" --python "$home/.venv/bin/python"
    else
        set -- "$PWD/.venv/bin/python" -m pip --python "$home/.venv/bin/python" install --quiet --no-compile \
            --disable-pip-version-check --root-user-action=ignore
    fi
    "$@" --no-deps --only-binary :all: --require-hashes -r "$PWD/daemon/requirements.lock" >>build/install/log 2>&1 ||
        refuse "the libraries of daemon/requirements.lock could not be installed; why is in build/install/log"
    "$@" --no-deps "$wheel" >>build/install/log 2>&1 || refuse "our wheel could not be installed; why is in build/install/log"
    settle
    printf '%s\n' "$wanted" >"$home/.venv/installed"
}

# As if it had been made where it will lie: no path of DESTDIR or of this folder stays in it.
settle() {
    rm -f "$home"/.venv/lib/python3*/site-packages/autoresearchd-*.dist-info/direct_url.json
    if [ -n "$root" ]; then
        grep -rlIF "$home" "$home/.venv/bin" "$home/.venv/pyvenv.cfg" | xargs -r sed -i "s|$home|$prefix|g"
    fi
    "$home/.venv/bin/python" -m compileall -q -j 0 ${root:+-s "$root"} ${root:+-p /} "$home/.venv/lib" >/dev/null || true
    chmod -R u+rwX,go+rX,go-w "$home/.venv"
}

papers() {
    rm -rf "$home/docs" "$home/deploy"
    cp -R docs deploy "$home/"
    cp LICENSE README.md "$home/"
    chmod -R u+rwX,go+rX,go-w "$home/docs" "$home/deploy" "$home/LICENSE" "$home/README.md"
    sed "s|/opt/autoresearchd|$prefix|g" deploy/systemd/autoresearchd@.service >"$home/deploy/systemd/unit"
    file "$home/deploy/systemd/unit" "$unit"
    rm "$home/deploy/systemd/unit"
    file deploy/systemd/autoresearchd.sysusers "$sysusers"
    file deploy/systemd/autoresearchd.tmpfiles "$tmpfiles"
    folder "$(dirname "$link")" 0755
    ln -sfn "$prefix/.venv/bin/autoresearch" "$root$link"
    note "$link"
}

user_and_folders() {
    if ! id autoresearchd >/dev/null 2>&1; then
        if command -v systemd-sysusers >/dev/null; then
            systemd-sysusers autoresearchd.conf
        else
            getent group docker >/dev/null || groupadd --system docker
            useradd --system --user-group --home-dir "$data" --shell /usr/sbin/nologin --groups docker autoresearchd
        fi
        note user
    fi
    if command -v systemd-tmpfiles >/dev/null; then
        systemd-tmpfiles --create autoresearchd.conf
    else
        install -d -m 0750 -o autoresearchd -g autoresearchd "$data"
        install -d -m 0700 /etc/autoresearchd
        install -d -m 0755 /run/autoresearchd
        install -d -m 1770 -g autoresearchd /run/autoresearchd/queue
    fi
    if has_systemd; then systemctl daemon-reload; fi
}

put() {
    look_first install
    look_for_others
    wanted="$(sources | sha256sum | cut -d' ' -f1) $(sha256sum <daemon/requirements.lock | cut -d' ' -f1) $prefix"
    local new path
    new=$(missing "$(dirname "$prefix")")
    install -d -m 0755 "$home"
    touch "$made"
    for path in $new; do note "$path"; done
    if is_up_to_date; then say "the program is up to date: $home"; else environment; fi
    papers
    say "installed: $root$link, $root$unit, $root$sysusers, $root$tmpfiles"
    if [ -n "$root" ]; then
        say "next, on the machine it is for: systemd-sysusers, systemd-tmpfiles --create, systemctl daemon-reload"
        return
    fi
    user_and_folders
    say "user autoresearchd, labs in $data, keys in /etc/autoresearchd, the line for this machine in /run/autoresearchd/queue"
    say "next: autoresearch image build, then a lab as $prefix/docs/operations.md says under \"Installing\""
}

take_away() {
    local path noted
    look_first uninstall
    if [ ! -e "$made" ]; then
        say "nothing of make install is at $home"
        return
    fi
    refuse_while_running
    rm -f "$root"/etc/systemd/system/*.wants/autoresearchd@*.service
    # What we made, the last first: files go, folders where nothing else has come in.
    tac "$made" | while read -r path; do
        case $path in
            /*) if [ -d "$root$path" ] && [ ! -L "$root$path" ]; then keep_others "$path"; else rm -f "$root$path"; fi ;;
        esac
    done
    if [ -z "$root" ]; then
        rm -rf /run/autoresearchd
        rmdir --ignore-fail-on-non-empty /etc/autoresearchd "$data" 2>/dev/null || true
        if grep -qx user "$made" && [ ! -e "$data" ]; then userdel autoresearchd || true; fi
        if has_systemd; then systemctl daemon-reload; fi
    fi
    noted=$(cat "$made")
    rm -rf "$home"
    path=$(dirname "$prefix")
    while grep -qxF "$path" <<<"$noted"; do
        keep_others "$path"
        path=$(dirname "$path")
    done
    say "taken away: $home and what belonged to it"
    if [ -e "$root$data" ]; then say "left: $root$data with its labs and its user; delete them by hand if you mean it"; fi
}

keep_others() { rmdir --ignore-fail-on-non-empty "$root$1" 2>/dev/null || true; }

case ${1:-} in
    '') put ;;
    --uninstall) take_away ;;
    *) refuse "what is '$1'? There is only --uninstall" ;;
esac
