#!/usr/bin/env bash
# Makes sure that a Docker engine answers: installs and starts Debian's where DOCKER_HOST names none.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

wait_seconds=90
log=/var/log/autoresearch-dockerd.log

# 0: it answers. 3: it is there, and not for this user. 4: none.
ping_engine() {
    .venv/bin/python - <<'PY'
import sys

import docker
import requests

try:
    docker.APIClient(version="auto", timeout=15, **docker.utils.kwargs_from_env()).ping()
except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
    sys.exit(3 if "Permission denied" in str(error) else 4)
PY
}

# Ends the script unless there is no engine at all.
settle() {
    local answer=0
    ping_engine || answer=$?
    case $answer in
        0) exit 0 ;;
        3) die "the Docker engine does not answer $(id -un): run \`sudo usermod -aG docker $(id -un)\`, log in again (or \`newgrp docker\`), and repeat; members of that group are as good as root" ;;
        4) ;;
        *) die "the environment cannot speak to Docker; remove .venv and repeat" ;;
    esac
}

start_engine() {
    if [ -d /run/systemd/system ]; then
        as_root systemctl enable --now docker >/dev/null 2>&1 || true # judged by whether it answers
        return
    fi
    pidof dockerd >/dev/null && return # starting, perhaps
    if ! mountpoint -q /sys/fs/cgroup; then
        apt_install cgroupfs-mount
        as_root cgroupfs-mount
    fi
    # Without the lock's descriptor: an engine that held it would lock every later setup out.
    as_root setsid sh -c "exec dockerd >>$log 2>&1" </dev/null >/dev/null 2>&1 9>&- &
}

wait_for_engine() {
    local deadline=$((SECONDS + wait_seconds))
    while [ "$SECONDS" -lt "$deadline" ]; do
        settle
        sleep 1
    done
    local where="journalctl -u docker"
    [ -d /run/systemd/system ] || where="$log: $(as_root tail -n 1 "$log" 2>/dev/null || true)"
    die "the Docker engine did not answer within $wait_seconds s; see $where"
}

settle
[ -z "${DOCKER_HOST:-}" ] || die "no engine answers at DOCKER_HOST=$DOCKER_HOST; start it, or unset DOCKER_HOST to have one installed here"
PATH=$PATH:/usr/sbin:/sbin
command -v dockerd >/dev/null || apt_install docker.io ca-certificates
say "starting the Docker engine"
start_engine
wait_for_engine
