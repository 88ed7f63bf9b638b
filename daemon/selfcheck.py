"""The sandbox's self-check, asked for once per engine, image and configuration, before the first candidate runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from daemon.files import write_atomically
from daemon.lab import Lab
from daemon.model import UserError
from daemon.text import clean
from daemon.trial import TrialPlan
from sandbox import conformance
from sandbox.conformance import Report, Standing
from sandbox.docker_engine import Engine
from sandbox.interface import SandboxSpec

KEPT = "selfcheck.json"
_PLAN = TrialPlan(train_py=b"", run_id="selfcheck", seed=0, free_startup_seconds=None)


def ensure(lab: Lab, alone: Callable[[SandboxSpec], AbstractContextManager[None]]) -> Report | None:
    """The report that holds for this lab as it is: the kept one, or a new one. None for a sandbox without a wall.

    A new one is made inside ``alone``, which keeps other labs off the machine's cores.

    Raises:
        UserError: an assertion failed, so that no candidate may run.
        SandboxUnavailable: the engine could not run the check.
    """
    if lab.settings.sandbox.kind != "docker":
        return None
    lab.wall  # noqa: B018 - a missing or outdated image has a sentence of its own
    engine = Engine()
    spec = lab.spec(_PLAN)
    image = engine.image(spec.image)
    identity = conformance.key(engine.info(), image.id if image else "", spec)
    kept = lab.state / KEPT
    report = _kept(kept, identity)
    if report is None:
        with alone(spec):
            report = conformance.examine(engine, spec)
        if report.ok:
            write_atomically(kept, json.dumps({"key": identity, "report": report.to_json()}).encode(), mode=0o600)
    if not report.ok:
        failed = report.of(Standing.FAILED)
        first = failed[0]
        raise UserError(
            f"the sandbox does not hold here: {first.name} in the {first.role} container should be {first.expected} "
            f"and is {clean(first.seen, 200)} ({len(failed)} of {len(report.checks)} assertions failed); "
            "`autoresearch doctor --sandbox` shows them all, and no experiment runs until they pass"
        )
    return report


def again(lab: Lab) -> Report:
    """A new report, whatever is kept.

    Raises:
        SandboxUnavailable: the engine could not run the check.
    """
    lab.wall  # noqa: B018 - as above
    return conformance.examine(Engine(), lab.spec(_PLAN))


def _kept(path: Path, identity: str) -> Report | None:
    try:
        kept = json.loads(path.read_bytes())
        return Report.from_json(kept["report"]) if kept["key"] == identity else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none yet, or not ours to understand: it is made anew
