"""Attacks on the engine through the proxy, as a daemon that is no longer ours would make them. The engine is real.

The controls come first: the honest request passes by the same client, so that a refusal is the guard's and not chance.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from proxied import API, ENGINE_SOCKET, Proxy, allow_text, running
from proxy_bodies import CHANGES, TEXTS, VOLUMES, changed
from specs import LIMITS, a_spec

from sandbox import rundir
from sandbox import spec as bodies
from sandbox.docker_engine import Engine
from sandbox.interface import SandboxSpec

CREATE = f"{API}/containers/create?name="
REFUSED = (400, 403, 413)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> SandboxSpec:
    root = tmp_path_factory.mktemp("attacked")
    for name in ("common", "val", "holdout", "train"):
        (root / "data" / name).mkdir(parents=True)
    limits = replace(LIMITS, cpus=(0,), idle_cpus=(0,), pids=128)
    return a_spec(root, lab_id=uuid.uuid4().hex[:8], limits=limits)


@pytest.fixture(scope="module")
def train(spec: SandboxSpec) -> dict[str, object]:
    body = bodies.train_body(spec, rundir.create(spec))
    body.pop("Entrypoint")  # null, which the client leaves out
    return body


@pytest.fixture(scope="module")
def proxy(spec: SandboxSpec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running(tmp_path_factory.mktemp("proxy"), allow_text(spec)) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def volume(proxy: Proxy, spec: SandboxSpec, engine: Engine) -> Iterator[str]:
    answer = proxy.call("POST", f"{API}/volumes/create", bodies.volume_body(spec))
    assert answer.status == 201, answer
    yield bodies.volume_name(spec)
    engine.remove_volume(bodies.volume_name(spec))
    assert engine.ours(spec.lab_id) == ([], [])


@pytest.fixture(scope="module")
def foreign(engine: Engine, spec: SandboxSpec) -> Iterator[str]:
    """A running container of another lab."""
    name = f"autoresearch-foreign-{uuid.uuid4().hex[:8]}"
    label = f"{bodies.LABEL}.project={bodies.PROJECT}"
    command = [
        "docker",
        "run",
        "--detach",
        "--network=none",
        "--name",
        name,
        "--label",
        label,
        spec.image,
        "sleep",
        "600",
    ]
    subprocess.run(command, check=True, capture_output=True)
    yield name
    engine.remove(name)


@pytest.fixture
def own(proxy: Proxy, spec: SandboxSpec, train: object, volume: str, engine: Engine) -> Iterator[str]:
    """A container of the lab's, created through the proxy."""
    name = bodies.container_name(spec, "train")
    answer = proxy.call("POST", CREATE + name, train)
    assert answer.status == 201, answer
    yield name
    engine.remove(name)


def nothing_was_made(engine: Engine, spec: SandboxSpec) -> bool:
    return engine.ours(spec.lab_id) == ([], [bodies.volume_name(spec)])


def test_the_honest_request_passes(own: str, proxy: Proxy) -> None:
    answer = proxy.call("GET", f"{API}/containers/{own}/json")
    assert answer.status == 200
    assert answer.json()["HostConfig"]["CapDrop"] == ["ALL"]


@pytest.mark.parametrize("attack", CHANGES)
def test_a_changed_create_body_is_refused(
    attack: str, proxy: Proxy, spec: SandboxSpec, train: dict[str, object], volume: str, engine: Engine
) -> None:
    answer = proxy.call("POST", CREATE + bodies.container_name(spec, "train"), changed(train, CHANGES[attack]))
    assert answer.status in REFUSED, answer
    assert nothing_was_made(engine, spec)


@pytest.mark.parametrize("attack", TEXTS)
def test_a_body_that_two_readers_read_in_two_ways_is_refused(
    attack: str, proxy: Proxy, spec: SandboxSpec, train: dict[str, object], volume: str, engine: Engine
) -> None:
    honest = json.dumps(train).encode()
    text = TEXTS[attack](honest)
    assert text != honest
    answer = proxy.call("POST", CREATE + bodies.container_name(spec, "train"), text)
    assert answer.status in REFUSED, answer
    assert nothing_was_made(engine, spec)


@pytest.mark.parametrize("attack", VOLUMES)
def test_a_changed_volume_is_refused(attack: str, proxy: Proxy, spec: SandboxSpec, volume: str, engine: Engine) -> None:
    other = bodies.volume_body(replace(spec, run_id="00008-0"))
    assert proxy.call("POST", f"{API}/volumes/create", changed(other, VOLUMES[attack])).status in REFUSED
    assert nothing_was_made(engine, spec)


def test_a_link_in_the_place_of_a_folder_is_refused(
    proxy: Proxy, spec: SandboxSpec, train: dict[str, object], volume: str, engine: Engine, own: str
) -> None:
    """At the create, and at the start of a container that was created before the link was there."""
    folder = spec.runs_dir / spec.run_id / "lab"
    folder.rename(folder.with_name("aside"))
    folder.symlink_to("/etc")
    try:
        assert proxy.call("POST", f"{API}/containers/{own}/start").status == 403
        engine.remove(own)
        assert proxy.call("POST", CREATE + own, train).status == 403
    finally:
        folder.unlink()
        folder.with_name("aside").rename(folder)


def test_a_container_without_its_volume_is_refused(proxy: Proxy, spec: SandboxSpec, train: object) -> None:
    """The engine would make one by itself, on its disk and without a bound."""
    other = replace(spec, run_id="00009-0")
    body = bodies.train_body(other, rundir.create(other))
    body.pop("Entrypoint")
    assert proxy.call("POST", CREATE + bodies.container_name(other, "train"), body).status == 404


def test_a_volume_on_the_disk_under_our_name_and_labels_is_refused(
    proxy: Proxy, spec: SandboxSpec, engine: Engine
) -> None:
    other = replace(spec, run_id="00011-0")
    labels = [f"--label={name}={value}" for name, value in bodies.labels(other, "out").items()]
    command = ["docker", "volume", "create", *labels, bodies.volume_name(other)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        body = bodies.train_body(other, rundir.create(other))
        body.pop("Entrypoint")
        answer = proxy.call("POST", CREATE + bodies.container_name(other, "train"), body)
    finally:
        engine.remove_volume(bodies.volume_name(other))
    assert (answer.status, "no tmpfs" in answer.text) == (403, True)


@pytest.fixture
def plain_image(engine: Engine) -> Iterator[str]:
    """An image that this project did not build."""
    name = f"autoresearch-plain:{uuid.uuid4().hex[:8]}"
    subprocess.run(["docker", "import", "-", name], input=bytes(10240), check=True, capture_output=True)
    yield name
    subprocess.run(["docker", "rmi", name], check=True, capture_output=True)


@pytest.mark.parametrize("status", [403, 404])
def test_an_image_of_the_allow_file_must_be_there_and_be_ours(
    status: int, spec: SandboxSpec, plain_image: str, train: object, volume: str, tmp_path: Path
) -> None:
    image = plain_image if status == 403 else "none-of-that-name:x"
    other = replace(spec, image=image)
    body = bodies.train_body(other, rundir.RunDir(root=spec.runs_dir / spec.run_id))
    body.pop("Entrypoint")
    with running(tmp_path, allow_text(other)) as proxy:
        answer = proxy.call("POST", CREATE + bodies.container_name(other, "train"), body)
    assert answer.status == status
    assert "not built by this project" in answer.text or "No such image" in answer.text


def test_a_name_that_is_not_the_labels_is_refused(proxy: Proxy, train: object, volume: str) -> None:
    for name in ("somebody", "autoresearch-0-0-train", "", "a%2Fb", "a&name=b"):
        assert proxy.call("POST", CREATE + name, train).status in REFUSED
    assert proxy.call("POST", f"{API}/containers/create", train).status in REFUSED


FOREIGN = [
    ("GET", "/containers/{}/json"), ("POST", "/containers/{}/kill"), ("POST", "/containers/{}/start"),
    ("POST", "/containers/{}/wait"), ("DELETE", "/containers/{}?v=1&force=1"),
    ("POST", "/containers/{}/attach?stdout=1&stderr=1&stream=1"),
    ("GET", "/containers/{}/archive?path=/etc"), ("POST", "/containers/{}/update"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), FOREIGN)
def test_another_labs_container_is_out_of_reach(
    method: str, path: str, proxy: Proxy, foreign: str, engine: Engine
) -> None:
    body = {"CpusetCpus": "0"} if path.endswith("update") else None
    for name in (foreign, _id_of(foreign), _id_of(foreign)[:12]):
        assert proxy.call(method, API + path.format(name), body).status == 403
    assert _is_running(foreign)


def _id_of(name: str) -> str:
    command = ["docker", "inspect", "--format", "{{.Id}}", name]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _is_running(name: str) -> bool:
    command = ["docker", "inspect", "--format", "{{.State.Running}}", name]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "true"


def test_another_labs_volume_is_out_of_reach(proxy: Proxy, engine: Engine) -> None:
    name = f"foreign-{uuid.uuid4().hex[:8]}"
    subprocess.run(["docker", "volume", "create", name], check=True, capture_output=True)
    try:
        assert proxy.call("DELETE", f"{API}/volumes/{name}?force=1").status == 403
    finally:
        subprocess.run(["docker", "volume", "rm", name], check=True, capture_output=True)


def test_lists_show_the_labs_own_things_alone(proxy: Proxy, foreign: str, spec: SandboxSpec) -> None:
    project = f"{bodies.LABEL}.project={bodies.PROJECT}"
    for wanted in ({"label": [project]}, {}, {"label": [project, f"{bodies.LABEL}.lab=ffffffff"]}, {"id": ["a"]}):
        filters = json.dumps(wanted).replace(" ", "").replace('"', "%22")
        assert proxy.call("GET", f"{API}/containers/json?all=1&filters={filters}").status == 403
        assert proxy.call("GET", f"{API}/volumes?filters={filters}").status == 403
    assert proxy.call("GET", f"{API}/containers/json?all=1").status == 403


UPDATES = [
    {"CpusetCpus": "4095"}, {"CpusetCpus": "0", "Memory": 0}, {"Memory": 1 << 40}, {}, {"cpusetcpus": "0"},
    {"CpusetCpus": "0", "RestartPolicy": {"Name": "always"}}, {"CpusetCpus": 0}, {"CpusetCpus": "0-4095"},
    {"CpusetCpus": "0", "Devices": [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda"}]},
]  # fmt: skip


@pytest.mark.parametrize("update", UPDATES, ids=json.dumps)
def test_an_update_moves_to_allowed_cores_and_does_nothing_else(update: object, proxy: Proxy, own: str) -> None:
    assert proxy.call("POST", f"{API}/containers/{own}/update", {"CpusetCpus": "0"}).status == 200  # the control
    assert proxy.call("POST", f"{API}/containers/{own}/update", update).status in REFUSED


def test_there_may_be_only_so_many(
    spec: SandboxSpec, train: object, volume: str, own: str, tmp_path: Path, engine: Engine
) -> None:
    with running(tmp_path, allow_text(spec, containers=1)) as narrow:
        answer = narrow.call("POST", CREATE + bodies.container_name(spec, "train"), train)
        assert (answer.status, "permits 1" in answer.text) == (403, True)
        other = bodies.volume_body(replace(spec, run_id="00010-0"))
        assert narrow.call("POST", f"{API}/volumes/create", other).status == 403


def test_the_engine_itself_would_have_done_it() -> None:
    """A look at the other side: without the proxy the same kind of request is root on the host."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(ENGINE_SOCKET)
        body = json.dumps({"Image": "autoresearch-train:cpu", "HostConfig": {"binds": ["/:/host"]}}).encode()
        head = (
            f"POST /containers/create HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode() + body)
        answer = client.recv(65536)
        time.sleep(0.2)
    identity = answer.split(b'"Id":"')[1][:64].decode()
    command = ["docker", "inspect", "--format", "{{.HostConfig.Binds}}", identity]
    try:
        assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "[/:/host]"
    finally:
        subprocess.run(["docker", "rm", identity], check=True, capture_output=True)


def test_there_are_enough_attacks() -> None:
    assert len(CHANGES) + len(TEXTS) + len(VOLUMES) >= 100
