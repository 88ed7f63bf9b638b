"""compose.yml at work: from its container the daemon runs real experiments through the proxy, and gets no further."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from specs import REPOSITORY
from test_compose import compose_tool
from test_research_loop import autoresearch, shortened

from daemon.allowing import write
from sandbox.docker_engine import Engine

IMAGE = "autoresearch-daemon:local"
OWNER = 4711 if os.geteuid() == 0 else os.geteuid()  # never root inside
SOCKET = "/var/run/docker.sock"
Compose = Callable[..., subprocess.CompletedProcess[str]]
# Speaks to the engine from inside the daemon's container as an intruder there would.
INTRUDER = """
import http.client, os, socket
def ask(method, path, body=None):
    connection = http.client.HTTPConnection("docker")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect("/run/autoresearch/docker.sock")
    connection.request(method, "/v1.41" + path, body, {"Content-Type": "application/json"})
    return connection.getresponse().status
print(ask("GET", "/info"), ask("POST", "/containers/create?name=x", '{"Image":"x","HostConfig":{"Binds":["/:/h"]}}'))
print(os.path.exists("/var/run/docker.sock"), os.path.exists("/run/engine.sock"), os.getuid())
for path in ("/run/autoresearch/x", "/opt/x", "/etc/x"):
    try:
        open(path, "w")
    except OSError as error:
        print(error.errno)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("compose") / "lab"
    autoresearch("init", directory, "--profile", "cpu", "--tag", "night")
    shortened(directory, 4.0, rule='"greedy"')
    autoresearch("prepare", "--sample", "--lab", directory)
    return directory


@pytest.fixture(scope="module")
def compose(lab: Path) -> Iterator[Compose]:
    assert Engine().image(IMAGE), f"the engine has no {IMAGE}: make daemon-image"
    allow = lab.parent / "allow.toml"
    allow.write_text(write(lab))
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{OWNER}:{OWNER}", str(lab)], check=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUTORESEARCH", "DOCKER_"))}
    environment = kept | {
        "AUTORESEARCH_UID": str(OWNER),
        "AUTORESEARCH_GID": str(OWNER if os.geteuid() == 0 else os.getegid()),
        "DOCKER_GID": str(os.stat(SOCKET).st_gid),
        "AUTORESEARCH_LAB": str(lab),
        "AUTORESEARCH_ALLOW": str(allow),
    }
    project = f"autoresearch-test-{uuid.uuid4().hex[:8]}"
    base = [*compose_tool(), "--project-name", project, "--file", str(REPOSITORY / "compose.yml")]

    def run(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*base, *words], env=environment, input=stdin, capture_output=True, text=True, check=False
        )

    yield run
    run("down", "--volumes", "--timeout", "5")


@pytest.fixture(scope="module")
def ran(compose: Compose) -> subprocess.CompletedProcess[str]:
    done = compose("run", "--rm", "-T", "daemon", "run", "--experiments", "1")
    assert done.returncode == 0, done.stdout + done.stderr + compose("logs", "proxy").stdout
    return done


def test_a_baseline_and_an_experiment_run_from_the_daemons_container(
    ran: subprocess.CompletedProcess[str], compose: Compose
) -> None:
    told = compose("run", "--rm", "-T", "daemon", "status", "--json")
    rows = json.loads(told.stdout)["experiments"]
    assert [row["number"] for row in rows] == [0, 1]
    assert rows[0]["decision"] == "keep"
    assert 1.0 < rows[0]["val_bpb"] < 3.0


def test_the_proxy_refused_nothing_of_it(ran: subprocess.CompletedProcess[str], compose: Compose) -> None:
    log = compose("logs", "--no-color", "proxy").stdout
    assert "serving lab" in log
    assert "refused" not in log


def test_an_intruder_in_the_daemons_container_gets_no_further(
    ran: subprocess.CompletedProcess[str], compose: Compose
) -> None:
    done = compose("run", "--rm", "-T", "--entrypoint", "/opt/autoresearchd/bin/python -", "daemon", stdin=INTRUDER)
    assert done.stdout.splitlines()[:2] == ["200 403", f"False False {OWNER}"], done
    assert len(done.stdout.splitlines()) == 5
