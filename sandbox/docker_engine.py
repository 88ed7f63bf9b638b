"""The only speaker of the Docker API (Engine 1.41 and newer; rootless Docker and Podman through DOCKER_HOST).

Thin: one method an API call, errors turned into :class:`SandboxUnavailable` with a sentence that helps.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.utils
import requests
from docker.utils.socket import frames_iter

from sandbox.faultpoints import reach
from sandbox.interface import SandboxUnavailable
from sandbox.runner import State
from sandbox.spec import LABEL, PROJECT, Body

CALL_SECONDS = 20
STDERR = 2


@contextmanager
def _speaking(doing: str) -> Iterator[None]:
    """Turn every way in which the engine can fail into one exception with one sentence."""
    try:
        yield
    except docker.errors.APIError as error:
        raise SandboxUnavailable(f"the Docker engine refused to {doing}: {error.explanation or error}") from error
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        raise SandboxUnavailable(
            f"no Docker engine answered while trying to {doing}; start it (sudo systemctl start docker, or "
            f"`make setup` where there is no systemd) or set DOCKER_HOST ({_short(error)})"
        ) from error


def _short(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][:160] if str(error).strip() else type(error).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image as the engine has it."""

    id: str
    labels: Mapping[str, str]
    size_bytes: int
    created_at: float = 0.0  # seconds since 1970


class Engine:
    """A connection to one Docker engine. Each method may raise :class:`SandboxUnavailable`."""

    def __init__(self) -> None:
        with _speaking("connect"):
            self._api = self._client(CALL_SECONDS)

    @staticmethod
    def _client(timeout: int | None) -> docker.APIClient:
        return docker.APIClient(version="auto", timeout=timeout, **docker.utils.kwargs_from_env())

    def info(self) -> dict[str, Any]:
        """What the engine says of itself, with the versions of its parts under ``Components``."""
        with _speaking("describe itself"):
            parts = self._api.version(api_version=False).get("Components") or []
            components = {part.get("Name"): part.get("Version") for part in parts}
            return {**self._api.info(), "ApiVersion": self._api.api_version, "Components": components}

    # Containers and volumes

    def create_volume(self, body: Body) -> None:
        with _speaking("create a volume"):
            self._api.create_volume(body["Name"], body["Driver"], body["DriverOpts"], body["Labels"])
        reach("volume.created")

    def create(self, name: str, body: Body) -> Container:
        """Create a container from the engine's own request body; nothing runs yet."""
        with _speaking("create a container"):
            answer = self._api.create_container_from_config(body, name)
        reach("container.created")
        return Container(self._api, self._client, answer["Id"])

    def remove_volume(self, name: str) -> None:
        with _speaking("remove a volume"), suppress(docker.errors.NotFound):
            self._api.remove_volume(name, force=True)
        reach("volume.removed")

    def ours(self, lab_id: str | None = None) -> tuple[list[str], list[str]]:
        """Names of all containers and volumes that carry this project's label (and the lab's)."""
        wanted = [f"{LABEL}.project={PROJECT}"] + ([f"{LABEL}.lab={lab_id}"] if lab_id else [])
        with _speaking("list containers and volumes"):
            containers = self._api.containers(all=True, filters={"label": wanted})
            volumes = self._api.volumes(filters={"label": wanted}).get("Volumes") or []
        return [c["Names"][0].lstrip("/") for c in containers], [v["Name"] for v in volumes]

    def unused_volumes(self, lab_id: str) -> list[str]:
        """Names of the lab's volumes that no container has, running or not."""
        wanted = [f"{LABEL}.project={PROJECT}", f"{LABEL}.lab={lab_id}"]
        with _speaking("list volumes"):
            found = self._api.volumes(filters={"label": wanted, "dangling": True}).get("Volumes") or []
        return [volume["Name"] for volume in found]

    def container_id(self, name: str) -> str | None:
        """The engine's own number of a container; None when there is none of that name."""
        with _speaking("look at a container"):
            try:
                return str(self._api.inspect_container(name)["Id"])
            except docker.errors.NotFound:
                return None

    def remove(self, container: str) -> None:
        with _speaking("remove a container"), suppress(docker.errors.NotFound):
            self._api.remove_container(container, v=True, force=True)
        reach("container.removed")

    # Images

    def image(self, reference: str) -> Image | None:
        """The image, or None when the engine has none of that name."""
        with _speaking("look for an image"):
            try:
                found = self._api.inspect_image(reference)
            except docker.errors.ImageNotFound:
                return None
        labels = (found.get("Config") or {}).get("Labels") or {}
        return Image(id=found["Id"], labels=labels, size_bytes=found["Size"])

    def nameless_images(self, label: str) -> list[Image]:
        """Images with this label that no name leads to any more: what a newer build of the same name left."""
        with _speaking("list images"):
            found = self._api.images(filters={"dangling": True, "label": label})
        return [
            Image(id=one["Id"], labels=one["Labels"] or {}, size_bytes=one["Size"], created_at=float(one["Created"]))
            for one in found
        ]

    def remove_image(self, image_id: str) -> bool:
        """Remove an image unless a container or another image stands on it; says whether it did."""
        with _speaking("remove an image"):
            try:
                self._api.remove_image(image_id, force=False)
            except docker.errors.APIError as error:
                if error.status_code in (404, 409):
                    return False
                raise
        return True

    def pull(self, reference: str) -> bool:
        """Try to pull; False when no registry offers it."""
        client = self._client(60)
        try:
            for line in client.pull(reference, stream=True, decode=True):
                if "error" in line:
                    return False
        except (docker.errors.APIError, requests.exceptions.RequestException):
            return False
        return self.image(reference) is not None

    def import_image(self, archive: Path, repository: str, tag: str) -> None:
        with _speaking("import a base image"):
            client = self._client(600)
            client.import_image_from_file(str(archive), repository=repository, tag=tag)

    def build(
        self,
        context: Path,
        tag: str,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        dockerfile: str,
    ) -> Iterator[str]:
        """Build an image from a tar, without network; yields the engine's progress lines.

        Raises:
            SandboxUnavailable: a step failed; the message carries the step's own words.
        """
        with _speaking("build the image"), context.open("rb") as archive:
            stream = self._client(3600).build(
                fileobj=archive, custom_context=True, dockerfile=dockerfile, tag=tag, rm=True, forcerm=True,
                buildargs=dict(arguments), labels=dict(labels), network_mode="none", decode=True,
            )  # fmt: skip
            for line in stream:
                if "error" in line:
                    raise SandboxUnavailable(f"the image could not be built: {line['error'].strip()}")
                if text := re.sub(r"\x1b\[[0-9;]*m", "", line.get("stream", "")).strip():
                    yield text


class Container:
    """One container, created and not yet started: a :class:`sandbox.runner.Runner`."""

    def __init__(
        self, api: docker.APIClient, connect: Callable[[int | None], docker.APIClient], container_id: str
    ) -> None:
        self._api = api
        self._connect = connect
        self.id = container_id
        self._socket: Any = None
        self.drained = threading.Event()

    def start(self, on_output: Callable[[bytes, bool], None], on_end: Callable[[float], None]) -> float:
        """Start it and watch it from two threads; see :class:`sandbox.runner.Runner`.

        A stream that nobody drains makes kill and inspect hang, so the thread never stops reading before the
        container does.
        """
        with _speaking("start a container"):
            self._socket = self._connect(CALL_SECONDS).attach_socket(self.id, {"stdout": 1, "stderr": 1, "stream": 1})
            _wait_forever(self._socket)
            self._thread(self._drain, on_output)
            reach("container.attached")
            self._api.start(self.id)
        started_at = time.monotonic()
        reach("container.started")
        self._thread(self._wait, on_end)
        return started_at

    @staticmethod
    def _thread(target: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=target, args=arguments, daemon=True, name=target.__name__).start()

    def _drain(self, on_output: Callable[[bytes, bool], None]) -> None:
        try:
            for stream, chunk in frames_iter(self._socket, tty=False):
                on_output(chunk, stream == STDERR)
        except (OSError, ValueError):
            return  # the socket is closed under us when the container is discarded
        finally:
            self.drained.set()

    def _wait(self, on_end: Callable[[float], None]) -> None:
        with suppress(docker.errors.DockerException, requests.exceptions.RequestException, OSError):
            self._connect(CALL_SECONDS).wait(self.id, timeout=None)
        # An engine that died ends the wait as well; whoever listens asks for the state next, and fails there.
        on_end(time.monotonic())

    def kill(self) -> None:
        """SIGKILL to everything in it. One that has ended by itself is left as it is."""
        try:
            self._api.kill(self.id)
            reach("container.killed")
        except docker.errors.APIError:
            return  # not running any more, or the engine will say so when asked for the state
        except requests.exceptions.RequestException:
            return  # slow with thousands of processes: the caller waits for the end, not for this answer

    def use_cpus(self, cpuset: str) -> None:
        with _speaking("move a container to other cores"):
            self._api.update_container(self.id, cpuset_cpus=cpuset)

    def record(self) -> dict[str, Any]:
        """What the engine has noted of the request: of some fields it alone knows what became of them."""
        with _speaking("inspect a container"):
            return dict(self._api.inspect_container(self.id)["HostConfig"])

    def state(self) -> State:
        with _speaking("inspect a container"):
            state = self._api.inspect_container(self.id)["State"]
        return State(
            running=bool(state["Running"]),
            exit_code=int(state["ExitCode"]),
            oom_killed=bool(state["OOMKilled"]),
        )

    def close(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()


def _wait_forever(stream: Any) -> None:
    """docker-py gives an attached socket the client's timeout; a quiet candidate is not a broken one."""
    raw = getattr(stream, "_sock", stream)
    if isinstance(raw, socket.socket):
        raw.settimeout(None)
