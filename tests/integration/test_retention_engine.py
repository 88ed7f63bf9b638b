"""What the engine holds of ours and nobody uses, on a real engine; what is in use stays."""

from __future__ import annotations

import io
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import suppress

import docker
import docker.errors
import pytest

from sandbox.docker_engine import Engine
from sandbox.image import CONTENTS_LABEL
from sandbox.spec import LABEL, PROJECT

NAME = "autoresearch-test-retention"


@pytest.fixture
def api() -> Iterator[docker.APIClient]:
    client = docker.APIClient(version="auto")
    yield client
    client.close()


def a_tiny_image(api: docker.APIClient) -> str:
    """One of ours by its label; each takes the name from the one before, as a new build does."""
    content, mark = io.BytesIO(), uuid.uuid4().hex.encode()
    with tarfile.open(fileobj=content, mode="w") as tar:
        entry = tarfile.TarInfo("what")
        entry.size = len(mark)
        tar.addfile(entry, io.BytesIO(mark))
    api.import_image_from_data(content.getvalue(), repository=NAME, changes=[f"LABEL {CONTENTS_LABEL}=test"])
    return str(api.inspect_image(NAME)["Id"])


@pytest.fixture
def images(api: docker.APIClient) -> Iterator[tuple[str, str]]:
    """One that lost its name, and the one that has it."""
    pair = a_tiny_image(api), a_tiny_image(api)
    yield pair
    for image in pair:
        with suppress(docker.errors.ImageNotFound):
            api.remove_image(image, force=True)


def test_a_nameless_image_goes_when_nobody_uses_it(api: docker.APIClient, images: tuple[str, str]) -> None:
    engine, (nameless, named) = Engine(), images
    found = {image.id: image for image in engine.nameless_images(CONTENTS_LABEL)}
    assert named not in found
    assert found[nameless].labels == {CONTENTS_LABEL: "test"}
    assert found[nameless].created_at > 1e9
    container = api.create_container(nameless, command="none", labels={f"{LABEL}.test": "retention"})["Id"]
    try:
        assert not engine.remove_image(nameless), "a container stands on it"
    finally:
        api.remove_container(container, force=True)
    assert engine.remove_image(nameless)
    assert not engine.remove_image(nameless), "it is gone"
    assert engine.image(nameless) is None
    assert engine.image(named) is not None


def test_volumes_of_one_lab_that_no_container_has(api: docker.APIClient) -> None:
    lab, other = uuid.uuid4().hex[:8], uuid.uuid4().hex[:8]
    names = {}
    for kind, owner in (("free", lab), ("used", lab), ("other", other)):
        names[kind] = f"{NAME}-{kind}-{lab}"
        api.create_volume(names[kind], labels={f"{LABEL}.project": PROJECT, f"{LABEL}.lab": owner})
    host = api.create_host_config(binds=[f"{names['used']}:/out"])
    container = api.create_container("autoresearch-train:cpu", command="none", volumes=["/out"], host_config=host)["Id"]
    try:
        assert Engine().unused_volumes(lab) == [names["free"]]
    finally:
        api.remove_container(container, force=True)
        for name in names.values():
            api.remove_volume(name, force=True)
