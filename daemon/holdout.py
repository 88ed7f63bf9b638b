"""The holdout: a kept sealed model scored on the split that no trial ever sees. For people, never for a proposer.

Nothing here counts or bounds the looks: whoever calls decides whether there is one left.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from daemon import models
from daemon.lab import Lab
from daemon.model import OurFault, UserError
from daemon.slots import alone
from daemon.text import clean
from daemon.trial import TrialPlan, read_line
from sandbox.interface import Errand, RunResult, RunStatus, SandboxSpec, SandboxUnavailable
from sandbox.rundir import RunDir


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldoutScore:
    """What the holdout says of one kept model. ``bpb`` (bits per byte) is None where the referee refused it.

    ``val_bpb`` is the score of the very same model on the validation split.
    """

    number: int
    sealed_sha256: str
    val_bpb: float
    bpb: float | None
    tokens: int
    bytes: int
    rows: int
    reason: str = ""

    @property
    def gap_bpb(self) -> float | None:
        """How much worse the model is on the holdout than on the validation split."""
        return None if self.bpb is None else self.bpb - self.val_bpb


class _Ok(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Literal[1]
    status: Literal["ok"]
    split: Literal["holdout"]
    holdout_bpb: float = Field(gt=0, allow_inf_nan=False)
    tokens: int = Field(gt=0)
    bytes: int = Field(gt=0)
    rows: int = Field(gt=0)
    cuts: int = Field(ge=0)
    sealed_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    referee_sha256: str


class _Not(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Literal[1]
    status: Literal["invalid", "fault"]
    reason: str = Field(max_length=500)
    referee_sha256: str


_LINE: TypeAdapter[_Ok | _Not] = TypeAdapter(_Ok | _Not)


def score_holdout(lab: Lab, number: int, *, cancel: Callable[[], bool] = lambda: False) -> HoldoutScore:
    """Score the kept model of experiment ``number`` on the holdout, in a container of its own. The lab is locked.

    Raises:
        UserError: no model of it is kept.
        OurFault: the sandbox failed, or the kept files are not what was judged; nothing is said of the model.
        sandbox.interface.Cancelled: ``cancel`` answered true.
    """
    kept = models.of_lab(lab.state).get(number)
    spec = errand_spec(lab, f"holdout-{number}-{uuid.uuid4().hex[:8]}")
    run = RunDir(root=spec.runs_dir / spec.run_id)
    try:
        _lay_out(kept, run.sealed)
        line = _answer(run_errand(lab, spec, Errand.HOLDOUT, cancel))
    finally:
        shutil.rmtree(run.root, ignore_errors=True)
    if isinstance(line, _Ok) and line.sealed_sha256 != kept.sealed_sha256:
        raise OurFault(f"the holdout's run read another model than the one kept of experiment {number}")
    return _score(kept, line)


def _score(kept: models.Kept, line: _Ok | _Not) -> HoldoutScore:
    ok = line if isinstance(line, _Ok) else None
    return HoldoutScore(
        number=kept.number,
        sealed_sha256=kept.sealed_sha256,
        val_bpb=kept.val_bpb,
        bpb=ok.holdout_bpb if ok else None,
        tokens=ok.tokens if ok else 0,
        bytes=ok.bytes if ok else 0,
        rows=ok.rows if ok else 0,
        reason="" if isinstance(line, _Ok) else clean(line.reason, 300),
    )


def _lay_out(kept: models.Kept, target: Path) -> None:
    """Copies, hashed on the way: the referee takes no file that has a second name, and the record is not its business.

    Raises:
        OurFault: they are not what was kept, or cannot be copied.
    """
    try:
        target.mkdir(parents=True)
        for folder in (target.parent, target):
            folder.chmod(0o755)
        pairs = ((models.GRAPH, kept.graph_sha256), (models.WEIGHTS, kept.weights_sha256))
        wrong = [n for n, sha256 in pairs if models.copied(kept.folder / n, target / n, kept.size_bytes)[0] != sha256]
    except (OSError, models.NotKept) as error:
        raise OurFault(f"the kept model of experiment {kept.number} cannot be read: {error}") from error
    if wrong:
        raise OurFault(f"the kept {wrong[0]} of experiment {kept.number} is spoilt; `autoresearch verify` says more")


def errand_spec(lab: Lab, run_id: str) -> SandboxSpec:
    """The spec of a run that trains nothing.

    Raises:
        OurFault: a data file has changed under us.
    """
    return lab.spec(TrialPlan(train_py=b"", run_id=run_id, seed=0, free_startup_seconds=None))


def run_errand(lab: Lab, spec: SandboxSpec, errand: Errand, cancel: Callable[[], bool]) -> RunResult:
    """Run it.

    Raises:
        OurFault: the sandbox failed.
    """
    try:
        with alone(lab, cancel)(spec):
            return lab.wall.sandbox.errand(spec, errand, cancel=cancel)
    except SandboxUnavailable as error:
        raise OurFault(str(error)) from error


def _answer(run: RunResult) -> _Ok | _Not:
    """The one line; what ended for another reason, or says something else, is ours to mend.

    Raises:
        OurFault: likewise.
    """
    if run.status in (RunStatus.TIMEOUT, RunStatus.OOM):
        raise OurFault(f"the holdout's run did not come to an end: {clean(run.reason, 200)}")
    line = read_line(run.log, _LINE, "the holdout's run", clean(run.reason, 200))
    if isinstance(line, _Not) and line.status == "fault":
        raise OurFault(f"the referee could not work: {clean(line.reason, 300)}")
    return line


def is_kept(lab: Lab, number: int) -> bool:
    """Could the holdout be asked about this experiment?"""
    try:
        models.of_lab(lab.state).get(number)
    except UserError:
        return False
    return True
