"""Building the sandbox image: base, wheels, context, build, and a look at what came out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from daemon.model import UserError
from daemon.walls import find_image
from sandbox import base as bases
from sandbox import image
from sandbox.docker_engine import Engine
from sandbox.image import ImageError, Variant


def build(variant: Variant, base: str | None, *, force: bool) -> Iterator[str]:
    """Build the image of this variant unless it is there; yields lines of progress.

    Raises:
        UserError: a base or a wheel could not be had.
        SandboxUnavailable: no engine answers, or a step of the build failed.
    """
    engine = Engine()
    tag = image.image_tag(variant)
    found = engine.image(tag)
    if found and not force and found.labels.get(image.CONTENTS_LABEL) == image.contents_fingerprint(variant):
        yield f"{tag} is up to date"
        return
    try:
        yield from _build(engine, tag, variant, base)
    except ImageError as error:
        raise UserError(str(error)) from error
    find_image(engine, tag)
    built = engine.image(tag)
    yield f"{tag} is built ({built.size_bytes / 1024**2:.0f} MiB)" if built else f"{tag} is built"


def _build(engine: Engine, tag: str, variant: Variant, base: str | None) -> Iterator[str]:
    wheelhouse = image.wheelhouse_directory(variant)
    yield f"fetching the wheels into {wheelhouse}"
    image.download_wheelhouse(variant, wheelhouse)
    if base is None:
        yield "looking for a base image"
        base = _base(engine, variant)
    yield f"building {tag} on {base}"
    with tempfile.TemporaryDirectory(prefix="context-", dir=wheelhouse.parent) as folder:
        context = Path(folder) / "context.tar"
        image.write_context(variant, wheelhouse, context)
        arguments, labels = image.build_args(variant, base), image.labels(variant, base)
        for line in engine.build(context, tag, arguments, labels, image.DOCKERFILE):
            if line.startswith("Step "):
                yield line


def _base(engine: Engine, variant: Variant) -> str:
    """A base that the engine has: pulled where a registry answers, else made here once."""
    public, local = image.registry_base(variant), image.local_base(variant)
    for name in (public, local):
        if engine.image(name) is not None:
            return name
    if bases.registry_answers() and engine.pull(public):
        return public
    with tempfile.TemporaryDirectory(prefix="autoresearch-base-") as folder:
        archive = Path(folder) / "base.tar"
        bases.debootstrap_base(archive, variant)
        repository, _, version = local.partition(":")
        engine.import_image(archive, repository, version)
    return local
