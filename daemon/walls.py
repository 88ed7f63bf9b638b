"""From the settings of a lab to the sandbox they ask for, checked to be there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.model import OurFault, UserError
from daemon.sections import SandboxSettings
from sandbox import image
from sandbox.docker_engine import Engine
from sandbox.docker_sandbox import DockerSandbox
from sandbox.interface import Sandbox
from sandbox.runtimes import resolved_runtime
from sandbox.unsafe_local import UnsafeLocalSandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Wall:
    """The sandbox that a lab asks for, and what of it belongs to the arena.

    ``engine_id`` is empty where nobody could tell what runs; ``containers_of`` counts those of any lab, by its id;
    ``id_of`` is the engine's number of a container by its name. Both may be asked by any thread.
    ``recheck`` raises OurFault when the image is gone, or no longer the one that it was.
    """

    sandbox: Sandbox
    name: str
    contents: str
    torch_version: str
    engine_id: str = ""
    containers_of: Callable[[str], int] = lambda _lab_id: 0
    id_of: Callable[[str], str | None] = lambda _name: None
    recheck: Callable[[], None] = lambda: None


def open_wall(box: SandboxSettings) -> Wall:
    """The sandbox of these settings. ``name`` says which runtime its containers really run under.

    Raises:
        UserError: the image is missing or out of date, or no interpreter is named.
        SandboxUnavailable: no engine answers, or it has no such runtime.
    """
    if box.kind == "unsafe-local":
        if not box.python:
            raise UserError("lab.toml: sandbox.python must name an interpreter with torch for unsafe-local")
        local = UnsafeLocalSandbox(Path(box.python))
        return Wall(sandbox=local, name=box.kind, contents=image.guest_fingerprint(), torch_version="local")
    engine = Engine()
    labels = find_image(engine, box.image)
    info, looking = engine.info(), Engine()  # a connection of its own, for one that looks while another works
    return Wall(
        sandbox=DockerSandbox(engine),
        name=f"docker {resolved_runtime(info, box.runtime or None)}",
        contents=labels[image.CONTENTS_LABEL],
        torch_version=labels.get(image.TORCH_LABEL, "unknown"),
        engine_id=str(info.get("ID", ""))[:100],
        containers_of=lambda lab_id: len(looking.ours(lab_id)[0]),
        id_of=looking.container_id,
        recheck=lambda: _recheck(engine, box.image, labels[image.CONTENTS_LABEL]),
    )


def _recheck(engine: Engine, reference: str, contents: str) -> None:
    found = engine.image(reference)
    if found is None:
        raise OurFault(f"the image {reference} is gone; {_build(reference)}")
    if found.labels.get(image.CONTENTS_LABEL) != contents:
        raise OurFault(f"the image {reference} has other contents than before; `autoresearch reload` begins with it")


def find_image(engine: Engine, reference: str) -> dict[str, str]:
    """The labels of the sandbox's image.

    Raises:
        UserError: there is none, or it was built from other sources than these.
    """
    found = engine.image(reference)
    command = _build(reference)
    if found is None or image.CONTENTS_LABEL not in found.labels:
        raise UserError(f"the engine has no sandbox image {reference}; {command}")
    if found.labels[image.CONTENTS_LABEL] != image.contents_fingerprint(variant=_variant(reference)):
        raise UserError(f"the image {reference} was built from other sources than this program's; {command}")
    return dict(found.labels)


def _variant(reference: str) -> image.Variant:
    return "cuda" if reference.endswith(":cuda") else "cpu"


def _build(reference: str) -> str:
    return f"build it with `autoresearch image build --variant {_variant(reference)}`"
