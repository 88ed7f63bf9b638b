"""The self-check: small programs try the wall from inside containers made by the very bodies of a trial.

What was requested is not what is enforced: an engine without AppArmor takes any profile's name in silence. So the
effects are looked at, once for each engine, image and configuration, before any candidate runs.
"""

from __future__ import annotations

import hashlib
import json
import queue
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sandbox import assertions as tables
from sandbox import rundir
from sandbox import spec as bodies
from sandbox.docker_engine import Container, Engine
from sandbox.interface import MiB, SandboxSpec, SandboxUnavailable
from sandbox.probe import program
from sandbox.runtimes import fitted, is_gvisor, resolved_runtime
from sandbox.session import DRAIN_SECONDS, Watched
from sandbox.supervise import Happening

ROLES = ("train", "referee")
PROBE_SECONDS = 60.0
MEMORY_BYTES = 192 * MiB
LOG_BYTES = 256 * 1024
GVISOR_PIDS = 192
GVISOR_SECONDS = 240.0  # by ptrace, each call costs a hundred times as much
SELF_CHECK = "selfcheck"


class Standing(StrEnum):
    """What came out of one assertion."""

    ENFORCED = "enforced"
    FAILED = "failed"
    ABSENT = "not enforced here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One assertion and what was seen."""

    role: str
    name: str
    standing: Standing
    expected: str
    seen: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the self-check found. ``kernel`` is what the programs inside run on."""

    runtime: str
    kernel: str
    seconds: float
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether candidates may run: something was checked, nothing failed. What is absent people must judge."""
        return bool(self.checks) and not self.of(Standing.FAILED)

    def of(self, standing: Standing) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.standing is standing)

    def to_json(self) -> str:
        return _REPORT.dump_json(self).decode()

    @staticmethod
    def from_json(text: str | bytes) -> Report:
        """The report that :meth:`to_json` wrote.

        Raises:
            ValueError: the text is not one.
        """
        return _REPORT.validate_json(text)


_REPORT = TypeAdapter(Report)


class _Fact(BaseModel):
    """One line of the probe. It comes from inside, so it is bounded and nothing more than text."""

    model_config = ConfigDict(extra="forbid", strict=True)
    fact: str = Field(max_length=200)
    seen: str = Field(max_length=2000)


def key(info: Mapping[str, Any], image_id: str, spec: SandboxSpec) -> str:
    """The identity under which a report may be kept: engine, kernel, image, configuration, and the check itself."""
    spec = fitted(spec, info)
    run = rundir.RunDir(root=Path("/"))
    parts = {
        "engine": {name: info.get(name) for name in _ENGINE},
        "runtime": resolved_runtime(info, spec.runtime),
        "image": image_id,
        "bodies": [_configuration(bodies.train_body(spec, run)), _configuration(bodies.referee_body(spec, run))],
        "volume": bodies.volume_body(spec)["DriverOpts"],
        "check": [program("train", 0).decode(), _sources()],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


_ENGINE = (
    "ID", "ServerVersion", "ApiVersion", "KernelVersion", "OperatingSystem", "Architecture", "CgroupVersion",
    "CgroupDriver", "SecurityOptions", "Runtimes", "DefaultRuntime", "RuncCommit", "ContainerdCommit",
    "Components", "SwapLimit",
)  # fmt: skip


def _configuration(body: bodies.Body) -> str:
    return str(body["Labels"][f"{bodies.LABEL}.config"])


def _sources() -> list[str]:
    folder = Path(tables.__file__).parent
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.py"))]


def examine(engine: Engine, spec: SandboxSpec, roles: Sequence[str] = ROLES) -> Report:
    """Look at the wall from inside, in the containers that ``spec`` asks for, with limits small enough to be met.

    Raises:
        SandboxUnavailable: the engine refused a container, or one never came to an end.
    """
    started_at = time.monotonic()
    info = engine.info()
    spec = _small(fitted(spec, info))
    if is_gvisor(info, resolved_runtime(info, spec.runtime)):
        # The limit holds gVisor's own threads as well, and with 48 of them it never starts.
        spec = replace(spec, limits=replace(spec.limits, pids=max(GVISOR_PIDS, spec.limits.pids)))
    with ExitStack() as undo:
        facts = _facts(engine, spec, roles, undo)
    return Report(
        runtime=resolved_runtime(info, spec.runtime),
        kernel=facts[roles[0]].get("kernel", "unknown")[:80],
        seconds=round(time.monotonic() - started_at, 2),
        checks=tuple(_judged(spec, facts, info)),
    )


def _small(spec: SandboxSpec) -> SandboxSpec:
    """The same request with limits that are reached in a moment."""
    limits = replace(
        spec.limits, memory_bytes=MEMORY_BYTES, output_bytes=8 * MiB, tmp_bytes=6 * MiB, cache_bytes=16 * MiB,
        shm_bytes=6 * MiB, inodes=300, pids=48, open_files=256, log_bytes=LOG_BYTES,
    )  # fmt: skip
    run_id = f"{SELF_CHECK}-{uuid.uuid4().hex[:8]}"
    return replace(spec, run_id=run_id, train_py=program("train", MEMORY_BYTES), prepare_py=b"", limits=limits)


def _facts(engine: Engine, spec: SandboxSpec, roles: Sequence[str], undo: ExitStack) -> dict[str, dict[str, str]]:
    spec = replace(spec, data_dir=_skeleton(spec, undo))
    run = rundir.create(spec)
    undo.callback(run.remove)
    undo.callback(_quietly, engine.remove_volume, bodies.volume_name(spec))
    engine.create_volume(bodies.volume_body(spec))
    probes = {role: _Probe(engine, spec, role, run, undo) for role in roles}
    if "referee" in probes:
        (run.gate / "probe.py").write_bytes(program("referee", MEMORY_BYTES))
        probes["referee"].start()  # it holds the volume, as in a trial
    if "train" in probes:
        probes["train"].start()
        probes["train"].wait()
    run.open_gate()
    return {role: probe.facts() for role, probe in probes.items()}


def _skeleton(spec: SandboxSpec, undo: ExitStack) -> Path:
    """Folders like those of the data, with nothing of worth in them."""
    folder = spec.runs_dir / f"{spec.run_id}-data"
    undo.callback(shutil.rmtree, folder, True)
    for name in ("common", "train", "val", "holdout"):
        (folder / name).mkdir(parents=True)
        (folder / name / "tokens").write_text("none")
    return folder


def _quietly(remove: Callable[[str], None], name: str) -> None:
    with suppress(SandboxUnavailable):
        remove(name)


class _Probe:
    """The probe in the container of one role."""

    def __init__(self, engine: Engine, spec: SandboxSpec, role: str, run: rundir.RunDir, undo: ExitStack) -> None:
        self.body = bodies.train_body(spec, run) if role == "train" else bodies.referee_body(spec, run)
        if role == "referee":
            self.body["Cmd"] = [*self.body["Cmd"][:3], bodies.PYTHON, "-P", "/gate/probe.py"]
        name = bodies.container_name(spec, role)
        undo.callback(_quietly, engine.remove, name)
        self._container: Container = engine.create(name, self.body)
        undo.callback(self._container.close)
        self._record = self._container.record()
        self._seconds = PROBE_SECONDS if spec.limits.pids < GVISOR_PIDS else GVISOR_SECONDS
        self._watched = Watched(runner=self._container, log_limit_bytes=LOG_BYTES)
        self._ended = False

    def start(self) -> None:
        self._watched.start()

    def wait(self) -> None:
        """Until it has ended. One that hangs or says too much is killed; what it has not told counts as failed."""
        if self._ended:
            return
        with suppress(queue.Empty):
            if self._watched.mailbox.get(timeout=self._seconds).what is Happening.ENDED:
                self._ended = True
        if not self._ended:
            self._container.kill()
            self._ended = True
        self._watched.runner.drained.wait(DRAIN_SECONDS)

    def facts(self) -> dict[str, str]:
        self.wait()
        told = {f"record {name}": json.dumps(value, sort_keys=True) for name, value in self._record.items()}
        for line in self._watched.text().splitlines():
            with suppress(ValidationError):
                fact = _Fact.model_validate_json(line)
                told[fact.fact] = fact.seen
        if "most memory" not in told and self._container.state().exit_code == 137:
            told["most memory"] = "the container was killed"
        return told


def _judged(spec: SandboxSpec, facts: Mapping[str, dict[str, str]], info: Mapping[str, Any]) -> Iterator[Check]:
    run = rundir.RunDir(root=Path("/"))
    selinux = any(str(option).startswith("name=selinux") for option in info.get("SecurityOptions") or [])
    swap = bool(info.get("SwapLimit"))
    for role, seen in facts.items():
        own_kernel = seen.get("kernel", "") not in ("", info.get("KernelVersion"))
        body = bodies.train_body(spec, run) if role == "train" else bodies.referee_body(spec, run)
        table = list(tables.assertions(role, spec, body, selinux=selinux, accounts_swap=swap))
        if role == "referee" and "train" in facts:
            table += tables.between(facts["train"])
        yield from (_check(role, assertion, seen, own_kernel) for assertion in table if assertion.applies(seen))


def _check(role: str, assertion: tables.Assertion, facts: tables.Facts, own_kernel: bool) -> Check:
    seen = assertion.seen(facts)
    if seen is not None and assertion.holds(seen):
        standing = Standing.ENFORCED
    elif assertion.layer is tables.Layer.OPTIONAL or (assertion.layer is tables.Layer.HOST_KERNEL and own_kernel):
        standing = Standing.ABSENT
    else:
        standing = Standing.FAILED
    return Check(
        role=role,
        name=assertion.name,
        standing=standing,
        expected=assertion.expected,
        seen="the probe did not say" if seen is None else seen[:300],
        why=assertion.why,
    )
