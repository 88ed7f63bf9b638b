"""Train, then score: one ``train.py`` in, one :class:`TrialResult` out. No git, no ledger: it can travel."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from daemon.claimed import following
from daemon.model import OurFault, Score, TrialResult, TrialStatus
from daemon.text import clean
from sandbox.interface import RunResult, RunStatus, Sandbox, SandboxSpec, SandboxUnavailable, Session

LOG_TAIL_CHARACTERS = 8000
MAX_REFEREE_LINE = 4096
_CLAIM = re.compile(r"^([a-z][a-zA-Z_0-9]{1,39}):\s+(\S{1,40})$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Who is told of a trial's progress, and who may stop it."""

    on_phase: Callable[[str, float], None] = lambda _phase, _seconds: None
    on_log: Callable[[str], None] | None = None  # told the end of the log while it grows, by a thread of its own
    cancel: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPlan:
    """One trial as the loop thinks of it; the lab turns it into a sandbox's spec."""

    train_py: bytes
    run_id: str
    seed: int
    free_startup_seconds: float | None
    confirm_below: float | None = None  # bits per byte; what scores better is audited a second time


class NotComparable(Exception):  # noqa: N818 - says what the trial is, not that something broke
    """The host, not the program, made this trial unlike others; it is run again and judged by nobody."""


class Executor(Protocol):
    """Where trials run: here and one by one today, on other hosts tomorrow."""

    def run(self, spec: SandboxSpec, listener: Listener) -> TrialResult:
        """Raises OurFault, NotComparable, or Cancelled when the listener says so."""
        ...


class SerialExecutor:
    """Runs each trial here, at once."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def run(self, spec: SandboxSpec, listener: Listener) -> TrialResult:
        return run_trial(self._sandbox, spec, listener)


class _Audit(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    level: Literal["normal", "full"]
    rows: int = Field(ge=0)
    cuts: int = Field(ge=0)
    moved: int = Field(ge=0)
    allowed: int = Field(ge=0)
    prefix_cells: int = Field(ge=0)
    prefix_moved: int = Field(ge=0)
    max_abs_nats: float
    mean_abs_nats: float
    mean_signed_nats: float
    corrected_bpb: float = Field(gt=0, allow_inf_nan=False)
    corrected_error_bpb: float = Field(ge=0, allow_inf_nan=False)
    slack_bpb: float = Field(ge=0, allow_inf_nan=False)
    fraction: float = Field(ge=0, le=1)
    escape_probability: float = Field(ge=0, le=1)
    caught_fraction: float = Field(ge=0, le=1)
    power: str = Field(max_length=300)


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    graph_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(gt=0)


class _Scored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Literal[1]
    status: Literal["ok"]
    val_bpb: float = Field(gt=0, allow_inf_nan=False)
    tokens: int = Field(gt=0)
    bytes: int = Field(gt=0)
    rows: int = Field(gt=0)
    audit: _Audit
    load_seconds: float
    audit_seconds: float
    score_seconds: float
    confirm_seconds: float
    nodes: int
    parameters: int
    device: str
    sealed_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    kept: _Kept | None
    referee_sha256: str


class _NotScored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Literal[1]
    status: Literal["invalid", "fault"]
    reason: str = Field(max_length=500)
    referee_sha256: str


_ALSO_KEPT = {"load_seconds", "audit_seconds", "score_seconds", "confirm_seconds", "sealed_sha256"}
_Form = TypeVar("_Form")
_REFEREE_LINE: TypeAdapter[_Scored | _NotScored] = TypeAdapter(_Scored | _NotScored)


def run_trial(sandbox: Sandbox, spec: SandboxSpec, listener: Listener) -> TrialResult:
    """Train ``spec.train_py`` and score what it sealed.

    Raises:
        OurFault: the sandbox or the referee failed; the candidate is not judged.
        sandbox.interface.Cancelled: the listener asked to stop.
    """
    began = time.monotonic()
    try:
        with sandbox.session(spec) as session:
            result = _train_then_score(session, spec, listener)
    except SandboxUnavailable as error:
        raise OurFault(str(error)) from error
    return replace(result, total_seconds=time.monotonic() - began)


def _train_then_score(session: Session, spec: SandboxSpec, listener: Listener) -> TrialResult:
    listener.on_phase("starting", spec.times.startup_seconds)
    with following(session, listener.on_log):
        run = session.train(on_release=lambda granted: listener.on_phase("training", granted), cancel=listener.cancel)
    trained = _from_training(run, spec.seed)
    if trained.status is not TrialStatus.OK:
        return trained
    listener.on_phase("scoring", spec.times.score_seconds)
    scoring = session.score(cancel=listener.cancel)
    return replace(_with_score(trained, scoring), score_seconds=scoring.wall_seconds)


def _from_training(run: RunResult, seed: int) -> TrialResult:
    claimed = claims(run.log)
    return TrialResult(
        status=TrialStatus(run.status.value),
        reason=clean(run.reason, 300),
        seed=seed,
        claimed_bpb=claimed.get("val_bpb"),
        claimed=claimed,
        exit_code=run.exit_code,
        startup_seconds=run.startup_seconds,
        charged_seconds=run.charged_seconds,
        train_wall_seconds=run.wall_seconds,
        log_tail=clean(run.log[-LOG_TAIL_CHARACTERS:], LOG_TAIL_CHARACTERS, lines=True, tail=True),
    )


def claims(log: str) -> dict[str, float]:
    """The finite numbers that the log claims after its last ``---``: shown to people, believed by nobody."""
    _, rule, summary = log.rpartition("\n---\n")
    found: dict[str, float] = {}
    for name, text in _CLAIM.findall(summary if rule else "")[:40]:
        try:
            value = float(text)
        except ValueError:
            continue
        if math.isfinite(value):
            found[name] = value
    return found


def _with_score(trained: TrialResult, run: RunResult) -> TrialResult:
    if run.status in (RunStatus.TIMEOUT, RunStatus.OOM):
        what = "out of time" if run.status is RunStatus.TIMEOUT else "out of memory"
        return _invalid(trained, f"the referee ran {what} on this model; it costs far more to run than the baseline")
    line = _read_referee(run.log, ended=clean(run.reason, 200) or "exited with 0")
    if isinstance(line, _NotScored):
        if line.status == "fault":
            raise OurFault(f"the referee could not work: {clean(line.reason, 300)}")
        return _invalid(trained, clean(line.reason, 300))
    audit = line.audit.model_dump() | line.model_dump(include=_ALSO_KEPT)
    score = Score(
        val_bpb=line.val_bpb,
        corrected_bpb=line.audit.corrected_bpb,
        tokens=line.tokens,
        bytes=line.bytes,
        referee_sha256=line.referee_sha256,
        audit=audit | {"nodes": line.nodes, "parameters": line.parameters},
    )
    return replace(trained, score=score)


def _invalid(trained: TrialResult, reason: str) -> TrialResult:
    return replace(trained, status=TrialStatus.INVALID, reason=reason)


def read_line(log: str, form: TypeAdapter[_Form], whose: str, ended: str) -> _Form:
    """The one line that a run of the referee's image by itself answers with; bounded, strict. ``ended`` is cleaned.

    Raises:
        OurFault: it answered with more or less, or in another form.
    """
    lines = log.strip().splitlines()
    if len(lines) != 1 or len(lines[0]) > MAX_REFEREE_LINE:
        raise OurFault(f"{whose} answered with {len(lines)} lines, not one ({ended or 'it ended by itself'})")
    try:
        return form.validate_json(lines[0])
    except ValidationError as error:
        raise OurFault(f"{whose} did not answer in its form; the image and the daemon differ in version") from error


def _read_referee(log: str, ended: str) -> _Scored | _NotScored:
    """The one line that is parsed on the host; bounded, strict.

    Raises:
        OurFault: the referee did not answer with such a line. It is trusted code, so this is ours to mend.
    """
    lines = log.strip().splitlines()
    if len(lines) != 1 or len(lines[0]) > MAX_REFEREE_LINE:
        raise OurFault(f"the referee answered with {len(lines)} lines, not one (it {ended})")
    try:
        return _REFEREE_LINE.validate_json(lines[0])
    except ValidationError as error:
        raise OurFault("the referee's answer is not of its form; the image and the daemon differ in version") from error
