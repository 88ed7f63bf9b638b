"""What the referee keeps of a real trial, and what it then says of it on the holdout; and how fast this machine is."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import numpy as np
import pytest
from fixtures import IMAGE
from numpy.typing import NDArray
from proxied import allow_text, engine_through, running

from daemon import models
from daemon.benchmark import benchmark, measure
from daemon.holdout import score_holdout
from daemon.lab import Lab, init
from daemon.model import OurFault, TrialResult, TrialStatus, UserError
from daemon.models import KeepingExecutor
from daemon.trial import Listener, SerialExecutor
from daemon.walls import Wall
from sandbox import rundir
from sandbox import spec as bodies
from sandbox.docker_engine import Engine
from sandbox.docker_sandbox import DockerSandbox
from sandbox.interface import Errand, SandboxSpec

MakeSpec = Callable[..., SandboxSpec]
TINY = b"""
import torch
import prepare

class Bigram(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(2048, 8)
        self.head = torch.nn.Linear(8, 2048, bias=False)

    def forward(self, tokens):
        return self.head(self.embed(tokens))

torch.manual_seed(3)
model = Bigram()
prepare.preseal(model)
tokenizer = prepare.Tokenizer.from_directory()
next(prepare.make_dataloader(tokenizer, 4, 64, "train"))
prepare.evaluate_bpb(model, tokenizer)
"""


@pytest.fixture
def lab(tmp_path: Path, data_dir: Path, sandbox: DockerSandbox, lab_id: str, make_spec: MakeSpec) -> Lab:
    """A lab around the fixtures' data and limits, with a wall that is known to stand."""
    init(tmp_path / "lab", "cpu", "night")
    settings = tmp_path / "lab" / "lab.toml"
    text = settings.read_text().replace('dir = ".autoresearch/data"', f'dir = "{data_dir}"')
    settings.write_text(text.replace("autoresearch-train:cpu", IMAGE))
    lab = Lab(tmp_path / "lab")
    lab.id = lab_id
    lab.make_runs_dir()
    lab.__dict__["wall"] = Wall(sandbox=sandbox, name="docker runc", contents="-", torch_version="-")
    return lab


def tried(lab: Lab, make_spec: MakeSpec, sandbox: DockerSandbox, **changes: Any) -> TrialResult:
    spec = make_spec(TINY, run_id="00003-0", runs_dir=lab.runs_dir, train_seconds=6, **changes)
    result = KeepingExecutor(SerialExecutor(sandbox), models.of_lab(lab.state)).run(spec, Listener())
    assert result.status is TrialStatus.OK, (result.reason, result.log_tail)
    assert list(lab.runs_dir.iterdir()) == []
    return result


def weights_of(path: Path) -> dict[str, NDArray[np.float32]]:
    """The tensors of a safetensors file, by the format's own description."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    return {
        name: np.frombuffer(content, "<f4", math.prod(one["shape"]), 8 + length + one["data_offsets"][0]).reshape(
            one["shape"]
        )
        for name, one in header.items()
        if name != "__metadata__"
    }


def bpb_here(folder: Path, data: Path, split: str) -> float:
    """The same model, evaluated in this process by the familiar formula, without torch or the guest."""
    weights = weights_of(folder / "model.safetensors")
    rows = np.fromfile(data / split / "rows.bin", "<u2").reshape(-1, 257).astype(np.int64)
    lengths = np.fromfile(data / "common" / "token_bytes.bin", "<u2").astype(np.int64)
    table = weights["embed.weight"].astype(np.float64) @ weights["head.weight"].T.astype(np.float64)
    most = table.max(axis=1, keepdims=True)
    nats_of = (most + np.log(np.exp(table - most).sum(axis=1, keepdims=True))) - table
    before, after = rows[:, :-1], rows[:, 1:]
    counted = lengths[after] > 0
    return float(nats_of[before, after][counted].sum() / (math.log(2) * lengths[after].sum()))


def test_what_was_scored_is_kept_and_the_holdout_scores_that(
    lab: Lab, make_spec: MakeSpec, sandbox: DockerSandbox, data_dir: Path, watched: list[dict[str, Any]]
) -> None:
    result = tried(lab, make_spec, sandbox)
    kept = models.of_lab(lab.state).get(3)
    assert result.score is not None
    assert kept.sealed_sha256 == result.score.audit["sealed_sha256"]
    assert kept.val_bpb == result.val_bpb
    assert models.problem(kept) is None
    assert sorted(path.name for path in kept.folder.iterdir()) == ["model.json", "model.safetensors", "record.json"]
    assert result.val_bpb == pytest.approx(bpb_here(kept.folder, data_dir, "val"), abs=1e-5)
    found = score_holdout(lab, 3)
    assert found.bpb == pytest.approx(bpb_here(kept.folder, data_dir, "holdout"), abs=1e-5)
    assert found.gap_bpb == pytest.approx(found.bpb - found.val_bpb)
    assert found.bpb != pytest.approx(found.val_bpb, abs=1e-5)
    assert found.rows == (data_dir / "holdout" / "rows.bin").stat().st_size // (2 * 257)
    assert list(lab.runs_dir.iterdir()) == []
    mounted = {one["role"]: one["targets"] for one in watched}
    assert mounted == {
        "train": {"/lab", "/data/common", "/data/train", "/out"},
        "referee": {"/gate", "/data/common", "/data/val", "/out", "/keep"},
        "holdout": {"/sealed", "/data/common", "/data/holdout"},
    }
    _a_kept_model_that_somebody_changed(lab, kept)


def _a_kept_model_that_somebody_changed(lab: Lab, kept: models.Kept) -> None:
    weights = kept.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(OurFault, match=r"model\.safetensors of experiment 3 is spoilt"):
        score_holdout(lab, 3)
    weights.unlink()
    with pytest.raises(OurFault, match="cannot be read"):
        score_holdout(lab, 3)
    with pytest.raises(UserError, match="no sealed model of experiment 4 is kept"):
        score_holdout(lab, 4)
    assert list(lab.runs_dir.iterdir()) == []


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the engine says of the mounts of each container, asked after it was created."""
    seen: list[dict[str, Any]] = []
    create, api = Engine.create, docker.APIClient(version="auto")

    def creating(engine: Engine, name: str, body: bodies.Body) -> Any:
        container = create(engine, name, body)
        found = api.inspect_container(name)
        targets = {mount["Destination"] for mount in found["Mounts"]}
        seen.append({"role": found["Config"]["Labels"]["org.autoresearchd.role"], "targets": targets})
        return container

    monkeypatch.setattr(Engine, "create", creating)
    return seen


def test_what_could_not_be_used_is_not_kept(lab: Lab, make_spec: MakeSpec, sandbox: DockerSandbox) -> None:
    result = tried(lab, make_spec, sandbox, confirm_below=0.5)
    assert result.val_bpb is not None and result.val_bpb > 0.5
    assert models.of_lab(lab.state).numbers() == []


@pytest.fixture
def proxied_lab(
    lab: Lab, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Lab, Path]]:
    limits = lab.settings.limits()
    spec = replace(make_spec(TINY), runs_dir=lab.runs_dir, limits=limits, image=IMAGE)
    with running(tmp_path, allow_text(spec)) as proxy:
        through = DockerSandbox(engine_through(proxy, monkeypatch))
        lab.__dict__["wall"] = replace(lab.wall, sandbox=through)
        yield lab, proxy.log


def test_through_the_proxy_a_model_is_kept_and_scored_and_the_machine_measured(
    proxied_lab: tuple[Lab, Path], make_spec: MakeSpec, data_dir: Path
) -> None:
    lab, log = proxied_lab
    tried(lab, make_spec, lab.wall.sandbox, limits=lab.settings.limits())  # type: ignore[arg-type]
    assert score_holdout(lab, 3).bpb is not None
    assert benchmark(lab) > 1e8
    assert "refused" not in log.read_text()


def test_the_benchmark_says_how_fast_the_training_cores_are(lab: Lab) -> None:
    first, second = measure(lab), measure(lab)
    assert first.ops_per_second == pytest.approx(second.ops_per_second, rel=0.7)
    assert 1e8 < first.ops_per_second < 1e15
    assert 1e7 < first.bytes_per_second < 1e14
    assert first.seconds < 20


def test_what_is_kept_goes_nowhere_but_into_its_folder(
    make_spec: MakeSpec, sandbox: DockerSandbox, engine: Engine
) -> None:
    """From inside the referee's own body: the folder is the one writable place of the host, and files in it bounded."""
    spec = make_spec(TINY, keep=True)
    run = rundir.create(spec)
    (run.gate / "probe.py").write_text(
        "import os\n"
        "for place in ('/keep', '/gate', '/data/val', '/data/common', '/'):\n"
        "    try:\n"
        "        with open(f'{place}/x', 'wb') as file:\n"
        "            print(place, 'took', file.write(b'x'))\n"
        "    except OSError as error: print(place, error.strerror)\n"
        "try:\n"
        "    with open('/keep/big', 'wb') as file: file.truncate(33 << 20)\n"
        "except OSError as error: print('big', error.strerror)\n"
    )
    engine.create_volume(bodies.volume_body(spec))
    body = bodies.referee_body(spec, run)
    body["Cmd"] = [*body["Cmd"][:3], bodies.PYTHON, "-P", "/gate/probe.py"]
    try:
        said = _output_of(body, bodies.container_name(spec, "referee"))
    finally:
        engine.remove_volume(bodies.volume_name(spec))
    denied = "Read-only file system"
    assert said == [
        "/keep took 1", f"/gate {denied}", f"/data/val {denied}", f"/data/common {denied}", f"/ {denied}",
        "big File too large",
    ]  # fmt: skip
    assert (run.kept / "x").exists()
    assert (run.kept / "x").stat().st_uid == spec.slot.referee_uid


def _output_of(body: bodies.Body, name: str) -> list[str]:
    api = docker.APIClient(version="auto")
    identity = api.create_container_from_config(body, name)["Id"]
    try:
        api.start(identity)
        api.wait(identity, timeout=60)
        return str(api.logs(identity).decode()).splitlines()
    finally:
        api.remove_container(identity, force=True)


@pytest.mark.parametrize("errand", list(Errand))
def test_an_errand_that_lasts_too_long_is_killed(
    make_spec: MakeSpec, sandbox: DockerSandbox, monkeypatch: pytest.MonkeyPatch, errand: Errand
) -> None:
    spec = make_spec(TINY, score_seconds=1)
    run = rundir.RunDir(root=spec.runs_dir / spec.run_id)
    run.sealed.mkdir(parents=True)
    real = bodies.errand_body

    def sleeping(*given: Any) -> bodies.Body:
        body = real(*given)
        return {**body, "Cmd": [*body["Cmd"][:3], "/usr/bin/sleep", "60"]}

    monkeypatch.setattr(bodies, "errand_body", sleeping)
    result = sandbox.errand(spec, errand, cancel=lambda: False)
    assert result.status.value == "timeout"
    assert result.wall_seconds < 20
