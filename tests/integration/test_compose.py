"""compose.yml as the tool reads it: who has the engine's socket, who has which rights, and that paths agree."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from specs import REPOSITORY

LAB = "/srv/labs/first"
SETTINGS = {
    "AUTORESEARCH_UID": "1234",
    "AUTORESEARCH_GID": "1235",
    "DOCKER_GID": "999",
    "AUTORESEARCH_LAB": LAB,
    "AUTORESEARCH_ALLOW": "/etc/autoresearch/first.toml",
}


def compose_tool() -> list[str]:
    """The plugin where it is there, else Debian's own program. One of them must be."""
    if shutil.which("docker"):
        done = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if done.returncode == 0:
            return ["docker", "compose"]
    assert shutil.which("docker-compose"), (
        "neither `docker compose` nor docker-compose is here: apt-get install docker-compose"
    )
    return ["docker-compose"]


def config(settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUTORESEARCH", "DOCKER_"))}
    command = [*compose_tool(), "--file", str(REPOSITORY / "compose.yml"), "config"]
    return subprocess.run(command, env=kept | settings, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    done = config(SETTINGS)
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout)["services"])


def _mounts(service: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Source, target and whether it is read-only, whichever way the tool prints them."""
    found = []
    for entry in service.get("volumes", []):
        if isinstance(entry, str):
            source, target, *mode = entry.split(":")
            found.append((source, target, mode == ["ro"]))
        else:
            found.append((str(entry.get("source", "")), entry["target"], bool(entry.get("read_only"))))
    return found


@pytest.mark.parametrize("missing", sorted(SETTINGS))
def test_a_missing_setting_is_named(missing: str) -> None:
    done = config({name: value for name, value in SETTINGS.items() if name != missing})
    assert done.returncode != 0
    assert missing in done.stderr


def test_only_the_proxy_has_the_engines_socket(services: dict[str, Any]) -> None:
    holders = {
        name for name, service in services.items() for source, _, _ in _mounts(service) if "docker.sock" in source
    }
    assert holders == {"proxy"}
    assert all(
        "docker.sock" not in str(service.get("environment", "")) or name == "daemon"
        for name, service in services.items()
    )
    assert services["daemon"]["environment"]["DOCKER_HOST"] == "unix:///run/autoresearch/docker.sock"


def test_every_service_is_held_tightly(services: dict[str, Any]) -> None:
    assert set(services) == {"proxy", "daemon", "prometheus", "grafana"}
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        for wide in ("privileged", "cap_add", "devices", "pid", "ipc", "userns_mode", "volumes_from"):
            assert wide not in service
        assert service.get("network_mode", "none") == "none"


def test_the_proxy_has_no_network_and_writes_nothing_but_its_socket(services: dict[str, Any]) -> None:
    proxy = services["proxy"]
    assert proxy["network_mode"] == "none"
    assert "networks" not in proxy
    writable = {target for _, target, read_only in _mounts(proxy) if not read_only}
    assert writable == {"/run/engine.sock", "/run/autoresearch"}
    assert proxy["user"] == "1234:1235"


def test_the_daemon_sees_the_lab_at_the_path_the_engine_sees(services: dict[str, Any]) -> None:
    daemon = _mounts(services["daemon"])
    assert (LAB, LAB, False) in daemon
    assert (LAB, LAB, True) in _mounts(services["proxy"])
    assert [read_only for _, target, read_only in daemon if target == "/run/autoresearch"] == [True]
    assert services["daemon"]["user"] == "1234:1235"
    assert "group_add" not in services["daemon"]


def test_images_of_others_are_pinned_and_pages_are_for_this_host_alone(services: dict[str, Any]) -> None:
    for name in ("prometheus", "grafana"):
        assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", services[name]["image"])
        assert all("127.0.0.1" in str(port) for port in services[name]["ports"])


def test_grafana_finds_its_dashboard_where_compose_puts_it(services: dict[str, Any]) -> None:
    mounts = {target: (Path(source), read_only) for source, target, read_only in _mounts(services["grafana"])}
    source, read_only = mounts["/etc/grafana/provisioning"]
    assert (source.resolve(), read_only) == (REPOSITORY / "deploy" / "grafana", True)
    provider = yaml.safe_load((source / "dashboards" / "autoresearch.yml").read_text())["providers"][0]
    folder = Path(provider["options"]["path"]).relative_to("/etc/grafana/provisioning")
    dashboards = [json.loads(file.read_text()) for file in (source / folder).glob("*.json")]
    assert [dashboard["uid"] for dashboard in dashboards] == ["autoresearch"]
    datasources = yaml.safe_load((source / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert [entry["type"] for entry in datasources] == ["prometheus"]


def test_the_daemons_image_locks_the_versions_that_are_tested() -> None:
    def pins(path: Path) -> set[str]:
        return set(re.findall(r"^[a-z0-9_.-]+==[^ ;\\]+", path.read_text(), re.MULTILINE))

    tested, shipped = pins(REPOSITORY / "requirements.lock"), pins(REPOSITORY / "daemon" / "requirements.lock")
    assert shipped <= tested
    assert not any(name.startswith(("pytest==", "mypy==", "ruff==")) for name in shipped)
