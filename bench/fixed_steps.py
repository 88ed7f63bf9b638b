"""Trains a train.py for a number of steps that is fixed beforehand, and scores it: no container, no clock.

The score depends on the file and the seed, not on how busy the machine is, so every file is trained once and its score
kept in a folder. Measures nothing by itself: bench/proposers.py stands on it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from common import REPOSITORY, TRAIN_PYTHON, value_of

from daemon.proposers.literals import read_space

PROFILE = "cpu"
TRAIN_SEED = 1337
SEQ_LEN, VOCABULARY = 256, 2048  # of the cpu profile
LEAST_STEPS, MOST_TIMES = 4, 8
TRIAL_SECONDS = 600.0  # a trial that takes longer counts as failed


@dataclass(slots=True)
class Trainer:
    """Runs files, each once, on as many cores as it was given; failures are values."""

    options: argparse.Namespace
    baseline_price: float
    cores: SimpleQueue[int] = field(default_factory=SimpleQueue)
    lock: threading.Lock = field(default_factory=threading.Lock)
    runs: dict[str, Future[float | None]] = field(default_factory=dict)
    asked: int = 0

    def score(self, train_py: bytes, seed: int = TRAIN_SEED) -> float | None:
        steps = self._steps(train_py)
        key = hashlib.sha256(f"{self.options.arena} {steps} {seed} ".encode() + train_py).hexdigest()
        with self.lock:
            self.asked += 1
            mine = key not in self.runs
            run = self.runs.setdefault(key, Future())
        if mine:
            try:
                run.set_result(self._kept(key, train_py, steps, seed))
            except BaseException as error:
                run.set_exception(error)
                raise
        return run.result()

    def _steps(self, train_py: bytes) -> int:
        if self.options.equal == "steps":
            return int(self.options.steps)
        steps = round(self.options.steps * self.baseline_price / price(train_py))
        return min(max(steps, LEAST_STEPS), MOST_TIMES * self.options.steps)

    def _kept(self, key: str, train_py: bytes, steps: int, seed: int) -> float | None:
        path = self.options.cache / f"{key}.json"
        if path.is_file():
            kept: float | None = json.loads(path.read_text())
            return kept
        score = self._train(train_py, steps, seed)
        path.write_text(json.dumps(score))
        return score

    def _train(self, train_py: bytes, steps: int, seed: int) -> float | None:
        core = self.cores.get()
        with tempfile.TemporaryDirectory(prefix="autoresearch-bench-") as folder:
            file = Path(folder) / "train.py"
            file.write_bytes(train_py)
            try:
                printed = _run(file, self.options.data, core, steps, seed)
                score = value_of(printed, "val_bpb")
            except (subprocess.SubprocessError, IndexError):
                return None
            finally:
                self.cores.put(core)
        return score if math.isfinite(score) else None


def _run(file: Path, data: Path, core: int, steps: int, seed: int) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",  # more would change the order of sums, and so the score
        "AUTORESEARCH_PROFILE": PROFILE,
        "AUTORESEARCH_DATA": str(data),
        "AUTORESEARCH_SEED": str(seed),
        "AUTORESEARCH_MAX_STEPS": str(steps),
    }
    return subprocess.run(
        [str(TRAIN_PYTHON), str(file)], env=environment, check=True, capture_output=True, text=True,
        timeout=TRIAL_SECONDS, preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    ).stdout  # fmt: skip


def price(train_py: bytes) -> float:
    """Multiplications of one optimiser step, by the literals: forward, backward, and Muon's orthogonalisation."""
    v = {p.name: p.value for p in read_space(train_py, PROFILE, strict=False)}
    depth, width, ratio = (int(v[name]) for name in ("DEPTH", "WIDTH", "MLP_RATIO"))
    weights = depth * (4 + 2 * ratio) * width**2 + width * VOCABULARY
    tokens = int(v["TOTAL_BATCH_SIZE"]) * (6 * weights + 12 * depth * width * SEQ_LEN)
    muon = depth * 5 * (4 * (2 * width**3 + 2 * width**3) + 2 * 2 * width**3 * (2 * ratio + 1))
    return float(tokens + muon)


def prepare(options: argparse.Namespace) -> None:
    """The data, and what a kept score depends on besides the file."""
    options.cache.mkdir(parents=True, exist_ok=True)
    options.data = options.data or options.cache / "data"
    environment = {**os.environ, "AUTORESEARCH_PROFILE": PROFILE, "AUTORESEARCH_DATA": str(options.data)}
    if not (options.data / "manifest.json").is_file():
        subprocess.run([sys.executable, str(REPOSITORY / "prepare.py"), "--sample"], env=environment, check=True)
    torch = subprocess.run(
        [str(TRAIN_PYTHON), "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True, check=True
    )
    parts = [(REPOSITORY / "prepare.py").read_bytes(), (options.data / "manifest.json").read_bytes()]
    options.arena = hashlib.sha256(b"".join(parts) + torch.stdout.encode()).hexdigest()
