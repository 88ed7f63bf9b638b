"""An experiment as one flat line, and that line as a row of the ``experiments`` table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from daemon.model import (
    MAX_HYPOTHESIS_CHARACTERS,
    MAX_LESSON_CHARACTERS,
    Decision,
    Experiment,
    Phase,
    Summary,
    TrialStatus,
)
from daemon.text import clean

COLUMNS = tuple(field.name for field in fields(Summary))
_VRAM = "peak_vram_mb"


def summarise(experiment: Experiment) -> Summary:
    """The line of an experiment; texts are cleaned, numbers that are not finite are left out."""
    trials, outcome, proposal = experiment.trials, experiment.outcome, experiment.proposal
    ran = (*trials, *experiment.rivals)
    again = experiment.rivals if experiment.champion is None else (*trials[1:], *experiment.rivals)
    claimed = (trials[-1].claimed or {}) if trials else {}
    return Summary(
        number=experiment.number,
        arena=experiment.arena,
        phase=experiment.phase,
        opened_at=experiment.opened_at,
        closed_at=experiment.closed_at,
        champion=experiment.champion,
        hypothesis=clean(experiment.hypothesis, MAX_HYPOTHESIS_CHARACTERS),
        proposer=clean(proposal.proposer, MAX_HYPOTHESIS_CHARACTERS) if proposal else "",
        decision=experiment.decision,
        reason=clean(outcome.reason, MAX_HYPOTHESIS_CHARACTERS) if outcome else "",
        status=trials[-1].status if trials else None,
        val_bpb=_finite(experiment.val_bpb),
        commit=experiment.commit,
        trials=len(trials),
        peak_vram_mb=_finite(claimed.get(_VRAM)),
        startup_seconds=_total(trial.startup_seconds for trial in trials),
        train_wall_seconds=_total(trial.train_wall_seconds for trial in ran),
        score_seconds=_total(trial.score_seconds for trial in ran),
        total_seconds=_total(trial.total_seconds for trial in ran),
        base_commit=experiment.base_commit,
        patch_sha256=proposal.patch.sha256 if proposal else "",
        fingerprint=experiment.verdict.fingerprint if experiment.verdict else "",
        ticket=proposal.ticket if proposal else "",
        lesson=clean(experiment.lesson, MAX_LESSON_CHARACTERS) if experiment.lesson else "",
        tokens=sum(usage.tokens for usage in experiment.usages),
        usd=_total(usage.usd or 0.0 for usage in experiment.usages),
        rivals=sum(rival.lent_by is None for rival in experiment.rivals),
        gain_bpb=_finite(experiment.gain_bpb),
        replicate_seconds=_total(trial.total_seconds for trial in again),
    )


def row_of(summary: Summary) -> tuple[object, ...]:
    """The values of :data:`COLUMNS`; words of an enumeration are texts already."""
    values = (getattr(summary, name) for name in COLUMNS)
    return tuple(str(value) if isinstance(value, str) else value for value in values)


def summary_of(row: Sequence[Any]) -> Summary:
    """The line that :func:`row_of` gave."""
    values = dict(zip(COLUMNS, row, strict=True))
    values["phase"] = Phase(values["phase"])
    values["decision"] = Decision(values["decision"]) if values["decision"] else None
    values["status"] = TrialStatus(values["status"]) if values["status"] else None
    return Summary(**values)


def _finite(number: float | None) -> float | None:
    return float(number) if number is not None and math.isfinite(number) else None


def _total(seconds: Iterable[float]) -> float:
    return _finite(float(sum(seconds))) or 0.0
