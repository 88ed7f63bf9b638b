"""The bodies that the engine is sent, byte for byte. A change here is a change of the wall: read it as one.

After a deliberate change: ``UPDATE_GOLDEN=1 pytest tests/unit/test_spec.py``, then review the diff.
"""

from __future__ import annotations

import hashlib
import json
import os
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from specs import LIMITS, a_spec

from sandbox import seccomp
from sandbox import spec as bodies
from sandbox.interface import Errand, SandboxSpec, Slot
from sandbox.rundir import RunDir

GOLDEN = Path(__file__).parent / "golden"
RUN = RunDir(root=Path("/lab-root/runs/00007-0"))


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("train", bodies.train_body(a_spec(), RUN)),
        ("referee", bodies.referee_body(a_spec(), RUN)),
        ("volume", bodies.volume_body(a_spec())),
        ("train-gpu", bodies.train_body(a_spec(gpu="GPU-1234", runtime="runsc", slot=Slot(number=2)), RUN)),
        ("train-apparmor", bodies.train_body(a_spec(apparmor="docker-default"), RUN)),
        ("referee-keep", bodies.referee_body(a_spec(keep=True), RUN)),
        ("holdout", bodies.errand_body(a_spec(), RUN, Errand.HOLDOUT)),
        ("benchmark", bodies.errand_body(a_spec(), RUN, Errand.BENCHMARK)),
        ("train-cdi", bodies.train_body(a_spec(gpu="nvidia.com/gpu=0"), RUN)),
    ],
)
def test_bodies_are_the_golden_ones(name: str, body: dict[str, Any]) -> None:
    path = GOLDEN / f"{name}.json"
    text = json.dumps(readable(body), indent=2, sort_keys=True) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text


def readable(body: dict[str, Any]) -> dict[str, Any]:
    """The body with the text of the seccomp profile replaced by its hash; the text has a file of its own."""
    body = deepcopy(body)
    options = body.get("HostConfig", {}).get("SecurityOpt", [])
    for place, option in enumerate(options):
        if option.startswith("seccomp="):
            assert option == f"seccomp={seccomp.profile_text()}"
            options[place] = f"seccomp=sha256:{hashlib.sha256(option.encode()).hexdigest()}"
    return body


def test_both_containers_carry_the_profile_and_never_say_label_disable() -> None:
    for body in (bodies.train_body(a_spec(), RUN), bodies.referee_body(a_spec(), RUN)):
        options = body["HostConfig"]["SecurityOpt"]
        assert "no-new-privileges:true" in options
        assert json.loads(next(o for o in options if o.startswith("seccomp=")).partition("=")[2])["defaultAction"]
        assert not [option for option in options if option.startswith(("label", "apparmor", "systempaths"))]


def test_apparmor_is_asked_for_where_the_engine_has_it() -> None:
    options = bodies.train_body(a_spec(apparmor="docker-default"), RUN)["HostConfig"]["SecurityOpt"]
    assert "apparmor=docker-default" in options


def test_the_label_of_the_configuration_covers_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    before = bodies.train_body(a_spec(), RUN)["Labels"][f"{bodies.LABEL}.config"]
    monkeypatch.setattr("sandbox.seccomp.profile_text", lambda: "{}")
    assert bodies.train_body(a_spec(), RUN)["Labels"][f"{bodies.LABEL}.config"] != before


def containers(spec: SandboxSpec) -> list[dict[str, Any]]:
    errands = [bodies.errand_body(spec, RUN, errand) for errand in Errand]
    return [bodies.train_body(spec, RUN), bodies.referee_body(spec, RUN), *errands]


def all_bodies(spec: SandboxSpec) -> list[dict[str, Any]]:
    return [*containers(spec), bodies.volume_body(spec)]


def all_text(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [str(key) for key in value] + [text for item in value.values() for text in all_text(item)]
    if isinstance(value, list):
        return [text for item in value for text in all_text(item)]
    return [str(value)]


def test_nothing_a_proposer_wrote_reaches_a_body() -> None:
    hostile = a_spec(train_py=b"SENTINEL-7f3a", prepare_py=b"x")
    plain = a_spec(prepare_py=b"x")
    for body, other in zip(all_bodies(hostile), all_bodies(plain), strict=True):
        assert not [text for text in all_text(body) if "SENTINEL" in text]
        assert body == other


def test_the_train_container_never_sees_validation_or_holdout() -> None:
    targets = [m["Target"] for m in bodies.train_body(a_spec(), RUN)["HostConfig"]["Mounts"]]
    sources = [m["Source"] for m in bodies.train_body(a_spec(), RUN)["HostConfig"]["Mounts"]]
    assert sorted(targets) == ["/data/common", "/data/train", "/lab", "/out"]
    assert "/lab-root/data" not in sources
    assert not [source for source in sources if source.endswith(("/val", "/holdout", "/data/train"))]


def sources_of(body: dict[str, Any]) -> list[str]:
    return [str(mount["Source"]) for mount in body["HostConfig"]["Mounts"]]


def test_the_holdout_is_in_its_own_container_and_in_no_other() -> None:
    holdout = bodies.errand_body(a_spec(keep=True), RUN, Errand.HOLDOUT)
    assert [source for source in sources_of(holdout) if source.endswith("/holdout")] == ["/lab-root/data/holdout"]
    assert not [source for source in sources_of(holdout) if source.endswith(("/val", "/train", "-out", "/data"))]
    for keep in (False, True):
        train, referee, _, benchmark = containers(a_spec(keep=keep))
        for body in (train, referee, benchmark):
            assert not [text for text in all_text(body["HostConfig"]["Mounts"]) + body["Cmd"] if "holdout" in text]
        assert [source for source in sources_of(referee) if source.endswith("/val")] == ["/lab-root/data/val"]


def test_only_the_referee_writes_to_the_host_and_only_when_something_is_to_be_kept() -> None:
    for keep in (False, True):
        bodies_of = dict(zip(("train", "referee", "holdout", "benchmark"), containers(a_spec(keep=keep)), strict=True))
        writable = {
            (role, mount["Target"], mount["Source"])
            for role, body in bodies_of.items()
            for mount in body["HostConfig"]["Mounts"]
            if mount["Type"] == "bind" and not mount["ReadOnly"]
        }
        assert writable == ({("referee", "/keep", "/lab-root/runs/00007-0-kept")} if keep else set())


def test_every_other_bind_is_read_only_and_private() -> None:
    for body in containers(a_spec()):
        for mount in body["HostConfig"]["Mounts"]:
            if mount["Type"] == "bind":
                assert mount["ReadOnly"] is True
                assert mount["BindOptions"] == {"Propagation": "rprivate"}


def test_the_referee_only_reads_the_output_and_has_another_uid() -> None:
    train, referee = bodies.train_body(a_spec(), RUN), bodies.referee_body(a_spec(), RUN)
    out = [m for m in referee["HostConfig"]["Mounts"] if m["Target"] == "/out"]
    assert [m["ReadOnly"] for m in out] == [True]
    train_uid, train_gid = train["User"].split(":")
    referee_uid, referee_gid = referee["User"].split(":")
    assert train_uid != referee_uid
    assert train_gid == referee_gid
    assert "0" not in (train_uid, train_gid, referee_uid)


def test_slots_share_no_uid() -> None:
    slots = [Slot(number=n) for n in range(8)]
    uids = [uid for slot in slots for uid in (slot.trainer_uid, slot.referee_uid)]
    assert len(set(uids)) == len(uids)


def test_swap_is_off_and_the_output_is_bounded() -> None:
    config = bodies.train_body(a_spec(), RUN)["HostConfig"]
    assert config["Memory"] == config["MemorySwap"] == LIMITS.memory_bytes
    options = bodies.volume_body(a_spec())["DriverOpts"]["o"]
    for option in (f"size={LIMITS.output_bytes}", "nr_inodes=", "noexec", "nosuid", "nodev", "mode=0750"):
        assert option in options
