"""A spec to build on in tests: small, complete, and the same everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sandbox.interface import Limits, MiB, SandboxSpec, TimeRules

REPOSITORY = Path(__file__).resolve().parents[2]
TIMES = TimeRules(train_seconds=20, startup_seconds=60, free_startup_seconds=5, score_seconds=120)
LIMITS = Limits(cpus=(1,), idle_cpus=(0,), output_bytes=256 * MiB, cache_bytes=512 * MiB)


def a_spec(root: Path = Path("/lab-root"), **changes: Any) -> SandboxSpec:
    """A spec of the cpu profile whose data and runs lie under ``root``."""
    spec = SandboxSpec(
        run_id="00007-0",
        lab_id="0123abcd",
        train_py=b"print('hello')\n",
        prepare_py=b"# prepare\n",
        data_dir=root / "data",
        runs_dir=root / "runs",
        image="autoresearch-train:cpu",
        profile="cpu",
        seed=1337,
        seq_len=256,
        vocab_size=2048,
        audit_rows=400,
        times=TIMES,
        limits=LIMITS,
    )
    return replace(spec, **changes)
