"""The docker proxy's making anew of create bodies: every spec comes back as it was, and the allow file's caps hold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from specs import LIMITS, TIMES, a_spec

from sandbox import spec as bodies
from sandbox.interface import Errand, Limits, MiB, SandboxSpec, Slot
from sandbox.proxy import bodies as door
from sandbox.proxy.allow import Allow, BadAllowFile, load
from sandbox.proxy.refusal import Refused
from sandbox.proxy.strict_json import canonical
from sandbox.rundir import RunDir

MOST = {
    "memory_mib": 8192, "output_mib": 512, "tmp_mib": 256, "cache_mib": 1024, "shm_mib": 256, "container_seconds": 9000,
    "pids": 1024, "slots": 4,
}  # fmt: skip
PLACES = {"id": "0123abcd", "runs": "/lab-root/runs", "data": "/lab-root/data"}
ALLOW = Allow.model_validate(
    {
        "lab": PLACES,
        "most": MOST,
        "images": ["autoresearch-train:cpu", "autoresearch-train:cuda"],
        "cpus": [0, 1, 2, 3, 4, 5],
        "gpus": ["GPU-1234", "nvidia.com/gpu=0"],
        "runtimes": ["runsc"],
    }
)
SPECS = [
    a_spec(),
    a_spec(image="autoresearch-train:cuda", profile="gpu", gpu="GPU-1234", runtime="runsc", slot=Slot(number=2)),
    a_spec(gpu="nvidia.com/gpu=0", apparmor="docker-default"),
    a_spec(times=replace(TIMES, train_seconds=299.123456, startup_seconds=0.1)),
    a_spec(times=replace(TIMES, train_seconds=0.1, startup_seconds=60.25, score_seconds=7200)),
    a_spec(limits=replace(LIMITS, cpus=(1, 2, 3), idle_cpus=(0,))),
    a_spec(limits=replace(LIMITS, cpus=(0,), idle_cpus=(0,))),
    a_spec(limits=replace(LIMITS, cpus=(0, 1, 2), idle_cpus=(1, 2, 3, 4))),
    a_spec(run_id="trial-0a1b2c3d", confirm_rows=2000, seed=0),
    a_spec(keep=True),
]


def both(spec: SandboxSpec) -> list[tuple[str, dict[str, Any]]]:
    run = RunDir(root=spec.runs_dir / spec.run_id)
    made = [("train", bodies.train_body(spec, run)), ("referee", bodies.referee_body(spec, run))]
    return made + [(errand.value, bodies.errand_body(spec, run, errand)) for errand in Errand]


def through(spec: SandboxSpec, role: str, body: dict[str, Any]) -> dict[str, Any]:
    sent = {key: value for key, value in json.loads(json.dumps(body)).items() if value is not None}
    return door.container(sent, bodies.container_name(spec, role), ALLOW).body


@pytest.mark.parametrize("spec", SPECS, ids=range(len(SPECS)))
def test_every_body_of_the_spec_comes_back_as_it_was(spec: SandboxSpec) -> None:
    for role, body in both(spec):
        wanted = {key: value for key, value in body.items() if value is not None}
        assert canonical(through(spec, role, body)) == canonical(wanted)
    volume = bodies.volume_body(spec)
    assert door.volume(volume, ALLOW).body == volume


@given(
    train=st.floats(min_value=0.01, max_value=3000), startup=st.floats(min_value=0.01, max_value=3000),
    cpus=st.sets(st.integers(0, 5), min_size=1), idle=st.sets(st.integers(0, 5), min_size=1),
    memory=st.integers(1, 8192 * MiB), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_whatever_the_settings_are(
    train: float, startup: float, cpus: set[int], idle: set[int], memory: int, seed: int
) -> None:
    limits = Limits(cpus=tuple(sorted(cpus)), idle_cpus=tuple(sorted(idle)), memory_bytes=memory)
    times = replace(TIMES, train_seconds=train, startup_seconds=startup)
    spec = a_spec(limits=limits, times=times, seed=seed)
    for role, body in both(spec):
        wanted = {key: value for key, value in body.items() if value is not None}
        assert canonical(through(spec, role, body)) == canonical(wanted)


def test_the_self_check_sees_its_own_folders_and_never_the_data() -> None:
    skeleton = Path("/lab-root/runs/selfcheck-0a1b2c3d-data")
    spec = a_spec(run_id="selfcheck-0a1b2c3d", data_dir=skeleton)
    (_, train), (_, referee), *errands = both(spec)
    referee["Cmd"] = [*referee["Cmd"][:3], bodies.PYTHON, "-P", "/gate/probe.py"]
    through(spec, "train", train)
    through(spec, "referee", referee)
    for role, body in errands:
        with pytest.raises(Refused):
            through(spec, role, body)
    for role, body in both(replace(spec, data_dir=Path("/lab-root/data"))):
        with pytest.raises(Refused):
            through(spec, role, body)
    with pytest.raises(Refused):  # and an experiment's referee is the referee
        body = both(a_spec())[1][1]
        through(a_spec(), "referee", {**body, "Cmd": referee["Cmd"]})


def _with_split(body: dict[str, Any], split: str) -> dict[str, Any]:
    text = json.dumps(body["HostConfig"]["Mounts"]).replace("/val", f"/{split}").replace("/holdout", f"/{split}")
    words = [split if word in ("val", "holdout") else word for word in body["Cmd"]]
    return {**body, "Cmd": words, "HostConfig": {**body["HostConfig"], "Mounts": json.loads(text)}}


@pytest.mark.parametrize("split", ["val", "holdout", "train", "common", "../../home"])
def test_a_trial_scores_validation_and_the_holdouts_run_the_holdout_and_nothing_else(split: str) -> None:
    named = dict(both(a_spec()))
    for role, own in (("referee", "val"), ("holdout", "holdout")):
        if split != own:
            with pytest.raises(Refused):
                through(a_spec(), role, _with_split(named[role], split))


KEEPS = {
    "more than the output may have": ("--keep-mib", "100000"),
    "into another place": ("--keep", "/out"),
}


@pytest.mark.parametrize("what", KEEPS)
def test_what_is_kept_is_kept_as_the_sandbox_does_it(what: str) -> None:
    body = dict(both(a_spec(keep=True)))["referee"]
    name, value = KEEPS[what]
    words = list(body["Cmd"])
    words[words.index(name) + 1] = value
    with pytest.raises(Refused):
        through(a_spec(keep=True), "referee", {**body, "Cmd": words})


@pytest.mark.parametrize("target", ["/keep", "/sealed", "/gate"])
@pytest.mark.parametrize(
    "source", ["/", "/lab-root", "/lab-root/runs", "/lab-root/runs/00008-0-kept", "/lab-root/data"]
)
def test_no_other_folder_is_ever_mounted_there(source: str, target: str) -> None:
    for role, body in both(a_spec(keep=True)):
        mounts = [{**m, "Source": source} if m["Target"] == target else m for m in body["HostConfig"]["Mounts"]]
        if mounts != body["HostConfig"]["Mounts"]:
            with pytest.raises(Refused):
                through(a_spec(keep=True), role, {**body, "HostConfig": {**body["HostConfig"], "Mounts": mounts}})


BEYOND = {
    "memory": a_spec(limits=replace(LIMITS, memory_bytes=8193 * MiB)),
    "output": a_spec(limits=replace(LIMITS, output_bytes=513 * MiB)),
    "tmp": a_spec(limits=replace(LIMITS, tmp_bytes=257 * MiB)),
    "cache": a_spec(limits=replace(LIMITS, cache_bytes=1025 * MiB)),
    "shm": a_spec(limits=replace(LIMITS, shm_bytes=257 * MiB)),
    "pids": a_spec(limits=replace(LIMITS, pids=1025)),
    "no pids": a_spec(limits=replace(LIMITS, pids=0)),
    "open files": a_spec(limits=replace(LIMITS, open_files=4097)),
    "inodes": a_spec(limits=replace(LIMITS, inodes=8193)),
    "seconds": a_spec(times=replace(TIMES, train_seconds=9000)),
    "cores": a_spec(limits=replace(LIMITS, cpus=(6,), idle_cpus=(6,))),
    "slot": a_spec(slot=Slot(number=4)),
    "a slot below the first": a_spec(slot=Slot(number=-1)),
    "image": a_spec(image="autoresearch-train:other"),
    "runtime": a_spec(runtime="runc-with-all-rights"),
    "gpu": a_spec(gpu="GPU-9999"),
    "apparmor": a_spec(apparmor="unconfined"),
    "profile": a_spec(profile="cpu\nLD_PRELOAD=/lab/x.so"),
    "a run's name": a_spec(run_id="../../etc"),
    "a long name": a_spec(run_id="a" * 65),
    "another lab": a_spec(lab_id="ffffffff"),
    "other runs": a_spec(runs_dir=Path("/etc")),
    "other data": a_spec(data_dir=Path("/home")),
}


@pytest.mark.parametrize("what", BEYOND)
def test_what_goes_beyond_the_allow_file_is_refused(what: str) -> None:
    roles = both(BEYOND[what])
    if what == "profile":  # a referee is not told the profile
        roles = roles[:1]
    if what == "seconds":  # what has no part in training is not told how long it takes
        roles = roles[:2]
    if what in ("other data", "other runs"):
        roles = [(role, body) for role, body in roles if role != "benchmark"]  # it sees no folder at all
    for role, body in roles:
        with pytest.raises(Refused):
            through(BEYOND[what], role, body)


def test_a_volume_beyond_the_allow_file_is_refused() -> None:
    for what in ("output", "another lab", "slot", "a run's name"):
        with pytest.raises(Refused):
            door.volume(bodies.volume_body(BEYOND[what]), ALLOW)


def test_every_field_of_every_body_is_looked_at() -> None:
    """Each leaf changed, each key left out and one added, at every depth: none of it passes."""
    for role, body in both(SPECS[1]):
        sent = {key: value for key, value in body.items() if value is not None}
        for variant in _variants(sent):
            with pytest.raises(Refused):
                through(SPECS[1], role, variant)


def _variants(value: Any) -> Any:
    if isinstance(value, dict):
        yield {**value, "Surplus": 1}
        for key, inner in value.items():
            yield {name: other for name, other in value.items() if name != key}
            yield from ({**value, key: changed} for changed in _variants(inner))
    elif isinstance(value, list):
        yield [*value, "surplus"]
        for index, inner in enumerate(value):
            yield value[:index] + value[index + 1 :]
            yield from ([*value[:index], changed, *value[index + 1 :]] for changed in _variants(inner))
    else:
        yield {"str": f"{value}x", "bool": not value, "int": -1, "NoneType": "x"}[type(value).__name__]


FILES = {
    "an unknown key": 'colour = "red"\n',
    "a root": 'images = ["a"]\ncpus = [0]\n[lab]\nid = "0123abcd"\nruns = "/"\ndata = "/d"\n[most]\n',
    "a path that climbs": 'images = ["a"]\ncpus = [0]\n[lab]\nid = "0123abcd"\nruns = "/a/../b"\ndata = "/d"\n[most]\n',
    "no images": "images = []\n",
    "no TOML": "images",
    "no text": "\udcff",
}


@pytest.mark.parametrize("what", FILES)
def test_a_wrong_allow_file_is_refused(what: str, tmp_path: Path) -> None:
    path = tmp_path / "allow.toml"
    path.write_bytes(FILES[what].encode("utf-8", "surrogateescape"))
    with pytest.raises(BadAllowFile, match=r"allow\.toml"):
        load(path)
    with pytest.raises(BadAllowFile, match="cannot be read"):
        load(tmp_path / "none")
