"""The real engine, the real image, real data. What is missing here fails the run; nothing is skipped."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from specs import REPOSITORY, a_spec

from daemon.dataset import Dataset
from daemon.walls import find_image
from sandbox.docker_engine import Engine
from sandbox.docker_sandbox import DockerSandbox
from sandbox.interface import Limits, MiB, SandboxSpec, TimeRules

IMAGE = "autoresearch-train:cpu"


@pytest.fixture(scope="session")
def engine() -> Engine:
    engine = Engine()
    find_image(engine, IMAGE)  # fails when the image is missing or stale
    return engine


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, prepared as a user prepares it."""
    directory = tmp_path_factory.mktemp("prepared")
    environment = {**os.environ, "AUTORESEARCH_PROFILE": "cpu", "AUTORESEARCH_DATA": str(directory)}
    subprocess.run([sys.executable, str(REPOSITORY / "prepare.py"), "--sample"], env=environment, check=True)
    return directory


@pytest.fixture
def lab_id(engine: Engine) -> Iterator[str]:
    """A lab of its own for every test, and the proof that nothing of it is left behind."""
    identity = uuid.uuid4().hex[:8]
    yield identity
    assert engine.ours(identity) == ([], [])


@pytest.fixture
def sandbox(engine: Engine) -> DockerSandbox:
    return DockerSandbox(engine)


MakeSpec = Callable[..., SandboxSpec]


@pytest.fixture
def make_spec(lab_id: str, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeSpec:
    """Specs of small trials: short times and tight limits, so that each limit is met in seconds."""
    runs = tmp_path_factory.mktemp("runs")
    manifest = Dataset.open(data_dir, "cpu").manifest
    cores = sorted(os.sched_getaffinity(0))
    limits = Limits(
        cpus=tuple(cores[-1:]),
        idle_cpus=tuple(cores[:1]),
        memory_bytes=1024 * MiB,
        output_bytes=32 * MiB,
        tmp_bytes=32 * MiB,
        cache_bytes=32 * MiB,
        shm_bytes=32 * MiB,
        pids=128,
    )
    times = TimeRules(train_seconds=4, startup_seconds=40, free_startup_seconds=40, score_seconds=120)

    def make(train_py: str | bytes, **changes: object) -> SandboxSpec:
        spec = a_spec(
            run_id=uuid.uuid4().hex[:8],
            lab_id=lab_id,
            train_py=train_py.encode() if isinstance(train_py, str) else train_py,
            prepare_py=(REPOSITORY / "prepare.py").read_bytes(),
            data_dir=data_dir,
            runs_dir=runs,
            seq_len=manifest.max_seq_len,
            vocab_size=manifest.vocab_size,
            limits=limits,
            times=times,
        )
        times_given = {k: v for k, v in changes.items() if k.endswith("_seconds")}
        others = {k: v for k, v in changes.items() if k not in times_given}
        return replace(spec, times=replace(times, **times_given), **others)  # type: ignore[arg-type]

    return make
