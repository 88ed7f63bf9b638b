"""The seam of the sandbox: what a trial asks for, what it gets back, and who is to blame.

A crashed, greedy or lying candidate is a :class:`RunResult` with a status. A dead engine, a missing image or a
stalled host is :class:`SandboxUnavailable`: no candidate is judged by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

READY_MARKER = "@@autoresearch ready@@"
MAX_TRAIN_PY_BYTES = 64 * 1024
MiB = 1024 * 1024


class SandboxUnavailable(Exception):  # noqa: N818 - the word of the design
    """The sandbox could not do its part; the message says what is wrong and what mends it."""


class Cancelled(Exception):  # noqa: N818
    """The caller's ``cancel`` answered true; the run was killed and is not judged."""


class Errand(StrEnum):
    """A small run of the referee's image outside a trial; the value is the role of its container."""

    HOLDOUT = "holdout"  # scores a kept sealed model on the holdout
    BENCHMARK = "benchmark"  # measures the cores or the GPU that train


class RunStatus(StrEnum):
    """How one container ended."""

    OK = "ok"
    CRASH = "crash"
    TIMEOUT = "timeout"
    OOM = "oom"
    OUTPUT_LIMIT = "output-limit"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one container may use.

    ``cpus`` are the host cores that train; ``idle_cpus`` are where the referee waits meanwhile. It scores on both.
    """

    cpus: tuple[int, ...]
    idle_cpus: tuple[int, ...]
    memory_bytes: int = 4096 * MiB
    output_bytes: int = 512 * MiB
    tmp_bytes: int = 256 * MiB
    cache_bytes: int = 1024 * MiB
    shm_bytes: int = 256 * MiB
    log_bytes: int = 8 * MiB
    inodes: int = 8192
    pids: int = 256
    open_files: int = 4096

    @property
    def scoring_cpus(self) -> tuple[int, ...]:
        """Nothing else of the trial runs while the referee works, so it may have all its cores."""
        return tuple(sorted({*self.cpus, *self.idle_cpus}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One place where a trial runs, with the uids that no other slot uses.

    The trainer and the referee share ``gid`` and differ in uid, so that the referee reads what the trainer
    wrote and cannot be signalled by it.
    """

    number: int = 0

    @property
    def gid(self) -> int:
        return 64000 + 2 * self.number

    @property
    def trainer_uid(self) -> int:
        return 64000 + 2 * self.number

    @property
    def referee_uid(self) -> int:
        return 64001 + 2 * self.number


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRules:
    """The seconds of one trial. See docs/boundary.md, "The clock"."""

    train_seconds: float
    startup_seconds: float
    free_startup_seconds: float
    score_seconds: float
    starts_at: str = "release"  # or "container": the clock runs from the container's start


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """Everything one trial needs. Only ``train_py`` is hostile; it reaches the container as a read-only file."""

    run_id: str
    lab_id: str
    train_py: bytes
    prepare_py: bytes
    data_dir: Path
    runs_dir: Path
    image: str
    profile: str
    seed: int
    seq_len: int
    vocab_size: int
    audit_rows: int
    times: TimeRules
    limits: Limits
    slot: Slot = Slot()
    gpu: str | None = None
    runtime: str | None = None
    apparmor: str | None = None  # asked for only where the engine has it; see sandbox.runtimes
    confirm_rows: int = 0  # cuts of the second audit of what scores below confirm_below
    confirm_below: float | None = None
    keep: bool = False  # the referee copies what it judged well into RunDir.kept, which whoever asked takes away


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How one container ended. Seconds are the host's monotonic clock.

    ``startup_seconds`` runs from the container's start to the release of the data (or to the end, when it never
    asked); ``wall_seconds`` from the release to the end; ``charged_seconds`` is start-up taken off the budget;
    ``overrun_seconds`` is how long after its deadline a killed container was seen dead.
    """

    status: RunStatus
    reason: str
    exit_code: int | None
    log: str
    log_bytes: int
    startup_seconds: float
    wall_seconds: float
    charged_seconds: float = 0.0
    overrun_seconds: float | None = None


class Session(Protocol):
    """One trial in progress: its volume and containers live as long as the session is open."""

    def train(self, *, on_release: Callable[[float], None], cancel: Callable[[], bool]) -> RunResult:
        """Run ``train.py`` to its end; ``on_release`` is told the seconds granted when the clock starts.

        Raises:
            SandboxUnavailable: the engine failed, or the host overran the clock.
            Cancelled: ``cancel`` answered true.
        """
        ...

    def log_so_far(self) -> str:
        """The end of the training's log as it is now, 64 KiB at most and not yet cleaned. Any thread may ask."""
        ...

    def score(self, *, cancel: Callable[[], bool]) -> RunResult:
        """Open the referee's gate and wait for its one line, which is the ``log`` of the result.

        Raises:
            SandboxUnavailable: the engine failed.
            Cancelled: ``cancel`` answered true.
        """
        ...


class Sandbox(Protocol):
    """A place that runs trials behind a wall (or, for the unsafe one, without)."""

    @property
    def name(self) -> str: ...

    def session(self, spec: SandboxSpec) -> AbstractContextManager[Session]:
        """Open a trial; leaving the context removes every container, volume and file of it."""
        ...

    def errand(self, spec: SandboxSpec, errand: Errand, *, cancel: Callable[[], bool]) -> RunResult:
        """One run of the referee's image by itself; its one line is the ``log`` of the result.

        For the holdout the sealed model lies in ``RunDir.sealed`` of the spec's run, put there by the caller.

        Raises:
            SandboxUnavailable: the engine failed.
            Cancelled: ``cancel`` answered true.
        """
        ...

    def reap(self, lab_id: str) -> Sequence[str]:
        """Remove what an earlier, killed process left behind for this lab; return the names removed."""
        ...
