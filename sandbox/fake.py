"""A scripted sandbox: the loop and its tests run without an engine, a clock or torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sandbox.interface import Errand, RunResult, RunStatus, SandboxSpec
from sandbox.rundir import RunDir


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeRun:
    """What one trial is to look like: a failing status, or a score. An ``error`` is raised instead of training."""

    val_bpb: float | None = None
    status: RunStatus = RunStatus.OK
    reason: str = ""
    log: str = ""
    error: Exception | None = None
    while_training: Callable[[], object] | None = None


@dataclass(slots=True)
class FakeSandbox:
    """Answers each trial by ``script(spec)`` and remembers what it was asked."""

    script: Callable[[SandboxSpec], FakeRun]
    name: str = "fake"
    asked: list[SandboxSpec] = field(default_factory=list)
    reaped: int = 0
    answers: dict[Errand, dict[str, object]] = field(default_factory=dict)
    errands: list[tuple[Errand, SandboxSpec]] = field(default_factory=list)

    @contextmanager
    def session(self, spec: SandboxSpec) -> Iterator[FakeSession]:
        self.asked.append(spec)
        yield FakeSession(run=self.script(spec), spec=spec)

    def errand(self, spec: SandboxSpec, errand: Errand, *, cancel: Callable[[], bool]) -> RunResult:
        """Answers with what ``answers`` has for it."""
        del cancel
        self.errands.append((errand, spec))
        line = json.dumps({"version": 1, "referee_sha256": "0" * 64, **self.answers[errand]})
        return FakeSession(run=FakeRun(), spec=spec).result(RunStatus.OK, line)

    def reap(self, lab_id: str) -> Sequence[str]:
        del lab_id
        self.reaped += 1
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeSession:
    """See :class:`sandbox.interface.Session`."""

    run: FakeRun
    spec: SandboxSpec

    def train(self, *, on_release: Callable[[float], None], cancel: Callable[[], bool]) -> RunResult:
        del cancel
        if self.run.error is not None:
            raise self.run.error
        on_release(1.0)
        if self.run.while_training is not None:
            self.run.while_training()
        return self.result(self.run.status, self.run.log)

    def log_so_far(self) -> str:
        return self.run.log

    def score(self, *, cancel: Callable[[], bool]) -> RunResult:
        del cancel
        verdict: dict[str, object] = {"version": 1, "referee_sha256": "0" * 64}
        if self.run.val_bpb is None:
            verdict |= {"status": "invalid", "reason": self.run.reason or "no sealed model"}
        else:
            verdict |= SCORED | {"val_bpb": self.run.val_bpb, **self._kept(self.run.val_bpb)}
            verdict["audit"] = AUDIT | {"corrected_bpb": self.run.val_bpb}
        return self.result(RunStatus.OK, json.dumps(verdict))

    def _kept(self, val_bpb: float) -> dict[str, object]:
        """As the referee does it: a small sealed model, put where it was asked for, by the same rule."""
        below = self.spec.confirm_below
        if not self.spec.keep or (below is not None and val_bpb >= below):
            return {}
        parts = {"model.safetensors": f"weights for {val_bpb}".encode(), "model.json": b"{}"}
        kept = RunDir(root=self.spec.runs_dir / self.spec.run_id).kept
        kept.mkdir(parents=True, exist_ok=True)
        for name, content in parts.items():
            (kept / name).write_bytes(content)
        graph, weights = (hashlib.sha256(parts[name]) for name in ("model.json", "model.safetensors"))
        return {
            "sealed_sha256": hashlib.sha256(graph.digest() + weights.digest()).hexdigest(),
            "kept": {
                "graph_sha256": graph.hexdigest(),
                "weights_sha256": weights.hexdigest(),
                "bytes": sum(map(len, parts.values())),
            },
        }

    def result(self, status: RunStatus, log: str) -> RunResult:
        return RunResult(
            status=status,
            reason=self.run.reason,
            exit_code=0 if status is RunStatus.OK else 1,
            log=log,
            log_bytes=len(log),
            startup_seconds=0.5,
            wall_seconds=1.0,
        )


SCORED: dict[str, object] = {
    "status": "ok",
    "tokens": 1000,
    "bytes": 4000,
    "rows": 10,
    "load_seconds": 0.1,
    "audit_seconds": 0.1,
    "score_seconds": 0.1,
    "confirm_seconds": 0.0,
    "sealed_sha256": "0" * 64,
    "kept": None,
    "nodes": 100,
    "parameters": 1000,
    "device": "cpu",
}
AUDIT: dict[str, object] = {
    "level": "normal",
    "rows": 10,
    "cuts": 10,
    "moved": 0,
    "allowed": 0,
    "prefix_cells": 100,
    "prefix_moved": 0,
    "corrected_error_bpb": 0.0,
    "slack_bpb": 0.0,
    "fraction": 0.01,
    "escape_probability": 0.9,
    "caught_fraction": 0.26,
    "max_abs_nats": 0.0,
    "mean_abs_nats": 0.0,
    "mean_signed_nats": 0.0,
    "power": "scripted",
}
