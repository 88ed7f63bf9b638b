"""What the measurements share: a lab of the cpu profile, its spec, and honest summaries."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from daemon.lab import Lab, init
from daemon.research import run_prepare

REPOSITORY = Path(__file__).resolve().parent.parent
TRAIN_PYTHON = REPOSITORY / ".venv-train" / "bin" / "python"


@contextmanager
def a_lab() -> Iterator[Lab]:
    """A fresh lab with the sample prepared, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="autoresearch-bench-") as folder:
        directory = Path(folder) / "lab"
        init(directory, "cpu", "bench")
        lab = Lab(directory)
        if run_prepare(lab, ["--sample"]) != 0:
            sys.exit("the sample could not be prepared")
        yield lab


def bare(lab: Lab, train_py: Path, cpus: Sequence[int], seconds: float, seed: int = 1337) -> str:
    """``python train.py`` by hand, evaluating itself, on the given cores; returns what it printed."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONPATH": str(lab.directory),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": str(len(cpus)),
        "OMP_WAIT_POLICY": "PASSIVE",
        "AUTORESEARCH_PROFILE": "cpu",
        "AUTORESEARCH_DATA": str(lab.data_dir),
        "AUTORESEARCH_TRAIN_SECONDS": f"{seconds:g}",
        "AUTORESEARCH_SEED": str(seed),
    }
    return subprocess.run(
        [str(TRAIN_PYTHON), str(train_py)],
        env=environment, check=True, capture_output=True, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
    ).stdout  # fmt: skip


def value_of(printed: str, name: str) -> float:
    """The number that a run printed for ``name`` in its closing lines."""
    lines = [line for line in printed.splitlines() if line.startswith(f"{name}:")]
    return float(lines[-1].split(":", 1)[1])


def spread(values: Sequence[float], unit: str = "") -> str:
    """Median, minimum and maximum in one phrase."""
    middle = statistics.median(values)
    return f"median {middle:.3f}{unit} (min {min(values):.3f}, max {max(values):.3f}, n={len(values)})"


def machine() -> str:
    """One line about where the figures come from."""
    load = os.getloadavg()[0]
    return f"{platform.machine()}, {os.cpu_count()} cores, load {load:.2f}, Python {platform.python_version()}"
