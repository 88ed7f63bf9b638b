"""A real container's control group, found and read by the engine's number of it."""

from __future__ import annotations

import os
import subprocess
import time
import uuid

from daemon.telemetry_host import HostScope
from sandbox.docker_engine import Engine

BASE = "autoresearch-base:bookworm"


def test_what_a_container_uses_and_which_processes_are_its_own() -> None:
    name, core = f"autoresearch-telemetry-{uuid.uuid4().hex[:8]}", max(os.sched_getaffinity(0))
    scope = HostScope([core], lambda: engine.container_id(name))
    engine = Engine()
    first = scope.look()
    assert first is not None and first.own_seconds is None
    spin = ["docker", "run", "--detach", "--rm", f"--name={name}", "--network=none", f"--cpuset-cpus={core}", BASE]
    subprocess.run([*spin, "timeout", "60", "sh", "-c", "while :; do :; done"], check=True, capture_output=True)
    try:
        until = time.monotonic() + 30
        while True:
            look = scope.look()
            assert look is not None and time.monotonic() < until, "its work was never seen"
            if (look.own_seconds or 0) > 0.3:
                break
            time.sleep(0.1)
        assert look.busy_seconds - first.busy_seconds >= 0.2
        ours = scope.processes()
        assert ours and all(os.path.exists(f"/proc/{pid}") for pid in ours)
        assert os.getpid() not in ours
    finally:
        subprocess.run(["docker", "rm", "-f", name], check=True, capture_output=True)
    after = scope.look()
    assert after is not None and (after.own_seconds or 0) >= look.own_seconds, "it is remembered when it has gone"
    assert engine.container_id(name) is None
