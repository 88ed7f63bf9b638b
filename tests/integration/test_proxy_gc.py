"""Tidying up through the docker proxy: a lab's own volumes and nameless images of ours go, and nothing else does."""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import docker
import docker.errors
import pytest
from fixtures import IMAGE
from proxied import API, Proxy, allow_text, engine_through, running
from test_retention_engine import api, images

from sandbox import spec as bodies
from sandbox.docker_engine import Engine
from sandbox.image import CONTENTS_LABEL, STAGE_LABEL
from sandbox.interface import SandboxSpec
from sandbox.spec import LABEL, PROJECT

__all__ = ["api", "images"]
MakeSpec = Callable[..., SandboxSpec]


@pytest.fixture
def spec(make_spec: MakeSpec) -> SandboxSpec:
    return make_spec("pass")


@pytest.fixture
def proxy(spec: SandboxSpec, tmp_path: Path) -> Iterator[Proxy]:
    with running(tmp_path, allow_text(spec)) as proxy:
        yield proxy


def test_what_gc_asks_for_goes_through(
    proxy: Proxy, spec: SandboxSpec, api: docker.APIClient, images: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nameless, named = images
    through = engine_through(proxy, monkeypatch)
    through.create_volume(bodies.volume_body(spec))
    assert through.unused_volumes(spec.lab_id) == [bodies.volume_name(spec)]
    through.remove_volume(bodies.volume_name(spec))
    assert through.unused_volumes(spec.lab_id) == []
    assert nameless in [one.id for one in through.nameless_images(CONTENTS_LABEL)]
    assert nameless not in [one.id for one in through.nameless_images(STAGE_LABEL)]
    assert through.remove_image(nameless)
    with pytest.raises(docker.errors.ImageNotFound):
        api.inspect_image(nameless)
    assert api.inspect_image(named)["Id"] == named
    assert not through.remove_image("sha256:" + "0" * 64), "what is gone already is gone"


def test_an_image_with_a_name_or_of_another_stays(
    proxy: Proxy, api: docker.APIClient, images: tuple[str, str], engine: Engine
) -> None:
    others = _a_strangers_image(api)
    try:
        for image in (images[1], api.inspect_image(IMAGE)["Id"], others):
            for query in ("", "?force=0&noprune=0", "?force=False&noprune=False"):
                answer = proxy.call("DELETE", f"{API}/images/{image}{query}")
                assert answer.status == 403, answer
                assert "no nameless leftover" in answer.text
            assert api.inspect_image(image)["Id"] == image
    finally:
        api.remove_image(others, force=True)


def _a_strangers_image(api: docker.APIClient) -> str:
    """Nameless, with a label that only looks like ours: its name went to the one after it."""
    name, first = f"autoresearch-test-stranger-{uuid.uuid4().hex[:8]}", ""
    for _ in range(2):
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            tar.addfile(tarfile.TarInfo(uuid.uuid4().hex))
        api.import_image_from_data(content.getvalue(), repository=name, changes=[f"LABEL {CONTENTS_LABEL}x=test"])
        first = first or str(api.inspect_image(name)["Id"])
    api.remove_image(name, force=True)
    return first


SHA = "sha256:" + "0" * 64
REFUSED = {
    "by name": f"/images/{IMAGE}",
    "by a short id": "/images/sha256:00000000",
    "by an id without its kind": "/images/" + "0" * 64,
    "with force": f"/images/{SHA}?force=1",
    "with force in words": f"/images/{SHA}?force=true",
    "keeping what it stands on": f"/images/{SHA}?noprune=1",
    "on another platform": f"/images/{SHA}?platforms=x",
    "a path behind it": f"/images/{SHA}/../../containers/x",
    "twice": f"/images/{SHA}?force=0&force=1",
}


@pytest.mark.parametrize("what", REFUSED)
def test_no_other_way_to_remove_an_image(proxy: Proxy, what: str) -> None:
    assert proxy.call("DELETE", API + REFUSED[what]).status in (400, 403)


OURS = f"{LABEL}.project={PROJECT}"
LISTS = {
    "all images": ("/images/json", None),
    "every nameless image": ("/images/json", {"dangling": ["true"]}),
    "our images with names": ("/images/json", {"label": [CONTENTS_LABEL]}),
    "of ours, named ones": ("/images/json", {"label": [CONTENTS_LABEL], "dangling": ["false"]}),
    "another label": ("/images/json", {"label": ["com.docker"], "dangling": ["true"]}),
    "one more filter": ("/images/json", {"label": [CONTENTS_LABEL], "dangling": ["true"], "reference": ["*"]}),
    "unused volumes of all": ("/volumes", {"dangling": ["true"]}),
    "unused volumes of all our labs": ("/volumes", {"label": [OURS], "dangling": ["true"]}),
    "unused volumes of another lab": ("/volumes", {"label": [OURS, f"{LABEL}.lab=ffffffff"], "dangling": ["true"]}),
    "used volumes": ("/volumes", {"label": [OURS, f"{LABEL}.lab=LAB"], "dangling": ["false"]}),
    "containers by that filter": ("/containers/json?all=1", {"label": [CONTENTS_LABEL], "dangling": ["true"]}),
}


@pytest.mark.parametrize("what", LISTS)
def test_no_other_list(proxy: Proxy, spec: SandboxSpec, what: str) -> None:
    path, filters = LISTS[what]
    if filters is not None:
        text = json.dumps(filters).replace("=LAB", f"={spec.lab_id}")
        path += f"{'&' if '?' in path else '?'}filters={quote(text)}"
    assert proxy.call("GET", API + path).status == 403
