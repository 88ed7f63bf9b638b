"""A docker proxy as its own process, as an operator starts it, and a client that may send any bytes at all."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.docker_engine import Engine
from sandbox.interface import MiB, SandboxSpec

ENGINE_SOCKET = "/var/run/docker.sock"
API = "/v1.41"


def allow_text(spec: SandboxSpec, **most: int) -> str:
    limits = spec.limits
    caps = {
        "memory_mib": limits.memory_bytes // MiB,
        "output_mib": limits.output_bytes // MiB,
        "tmp_mib": limits.tmp_bytes // MiB,
        "cache_mib": limits.cache_bytes // MiB,
        "shm_mib": limits.shm_bytes // MiB,
        "container_seconds": 600,
        **most,
    }
    lines = [f"{name} = {value}" for name, value in caps.items()]
    return "\n".join(
        [
            f'images = ["{spec.image}"]',
            f"cpus = {sorted({*limits.cpus, *limits.idle_cpus})}",
            "[lab]",
            f'id = "{spec.lab_id}"',
            f'runs = "{spec.runs_dir}"',
            f'data = "{spec.data_dir}"',
            "[most]",
            *lines,
            "",
        ]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A running proxy."""

    socket: Path
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    def send(self, raw: bytes, *, seconds: float = 30.0) -> Answer:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(seconds)
            client.connect(str(self.socket))
            client.sendall(raw)
            answer = http.client.HTTPResponse(client)
            answer.begin()
            return Answer(status=answer.status, text=answer.read().decode("utf-8", "replace"))

    def call(self, method: str, target: str, body: object = None, **headers: str) -> Answer:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        fields = {"Host": "docker", "Content-Length": str(len(raw)), "Content-Type": "application/json", **headers}
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        return self.send(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + raw)


@contextmanager
def running(folder: Path, allow: str, engine: str = ENGINE_SOCKET) -> Iterator[Proxy]:
    file, listen, log = folder / "allow.toml", folder / "docker.sock", folder / "proxy.log"
    file.write_text(allow)
    command = [sys.executable, "-m", "sandbox.proxy", "--listen", f"unix:{listen}", "--engine", f"unix:{engine}"]
    with log.open("wb") as errors:
        process = subprocess.Popen([*command, "--allow", str(file)], stderr=errors)
    try:
        deadline = time.monotonic() + 20
        while b"serving" not in log.read_bytes():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield Proxy(socket=listen, log=log, process=process)
    finally:
        process.terminate()
        assert process.wait(20) == 0


def engine_through(proxy: Proxy, monkeypatch: Any) -> Engine:
    monkeypatch.setenv("DOCKER_HOST", proxy.host)
    return Engine()
