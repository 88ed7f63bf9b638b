"""The host's folder of one run: the approved bytes, the empty data folder, the gate; and the release.

``runs_dir`` must be on the filesystem of the data: the release is a hard link per file, visible inside the
container within milliseconds and free of copying.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from sandbox.faultpoints import reach
from sandbox.interface import MAX_TRAIN_PY_BYTES, SandboxSpec, SandboxUnavailable

INDEX = "index.json"
BUDGET = "budget.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDir:
    """The paths of one run on the host."""

    root: Path

    @property
    def lab(self) -> Path:
        return self.root / "lab"

    @property
    def train(self) -> Path:
        return self.root / "train"

    @property
    def gate(self) -> Path:
        return self.root / "gate"

    @property
    def sealed(self) -> Path:
        """A kept model, for the holdout alone."""
        return self.root / "sealed"

    @property
    def kept(self) -> Path:
        """Where the referee puts what is kept. Beside the run's folder: it outlives it until somebody takes it."""
        return self.root.with_name(f"{self.root.name}-kept")

    def release(self, data_dir: Path, granted_seconds: float) -> None:
        """Hand over the training tokens: every file linked, the budget written, the index last.

        Raises:
            SandboxUnavailable: a file could not be linked.
        """
        source = data_dir / "train"
        try:
            for entry in sorted(os.scandir(source), key=lambda e: e.name):
                if entry.name != INDEX and entry.is_file(follow_symlinks=False):
                    os.link(entry.path, self.train / entry.name, follow_symlinks=False)
            _write(self.train / BUDGET, json.dumps({"train_seconds": granted_seconds}).encode())
            os.link(source / INDEX, self.train / INDEX, follow_symlinks=False)
            reach("data.released")
        except OSError as error:
            raise SandboxUnavailable(
                f"the training data could not be released ({error.strerror}: {error.filename}); the data and the "
                "runs must lie on one filesystem: run `autoresearch doctor`"
            ) from error

    def open_gate(self, confirm_below: float | None = None) -> None:
        """Let the referee begin; what scores below ``confirm_below`` is audited a second time."""
        if confirm_below is not None:
            _write(self.gate / "confirm", repr(confirm_below).encode())
        _write(self.gate / "open", b"")
        reach("gate.opened")

    def remove(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        reach("run.removed")


def create(spec: SandboxSpec) -> RunDir:
    """Lay out the folder of one run and check that the bytes on disk are the approved ones.

    Raises:
        SandboxUnavailable: the folder could not be written.
        ValueError: ``train_py`` is larger than any policy may allow.
    """
    if len(spec.train_py) > MAX_TRAIN_PY_BYTES:
        raise ValueError(f"train.py has {len(spec.train_py)} bytes; the sandbox takes {MAX_TRAIN_PY_BYTES} at most")
    run = RunDir(root=spec.runs_dir / spec.run_id)
    try:
        for folder in (run.lab, run.train, run.gate):
            folder.mkdir(parents=True)
            folder.chmod(0o755)
        if spec.keep:
            run.kept.mkdir()
            run.kept.chmod(0o777)  # the referee's uid is not ours; the lab's state, above it, is closed to all others
        for name, content in (("train.py", spec.train_py), ("prepare.py", spec.prepare_py)):
            _write(run.lab / name, content)
            _check(run.lab / name, content)
    except OSError as error:
        raise SandboxUnavailable(f"cannot write {run.root} ({error.strerror}): is the disk full?") from error
    reach("run.made")
    return run


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o644)


def _check(path: Path, content: bytes) -> None:
    if hashlib.sha256(path.read_bytes()).digest() != hashlib.sha256(content).digest():
        raise SandboxUnavailable(f"{path} does not hold the bytes that were approved; the disk is not to be trusted")
