"""One experiment as one flat row of typed columns, for tables that other programs read."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from daemon.decide import audited_bpb
from daemon.ledger import Ledger, summarise
from daemon.model import MAX_HYPOTHESIS_CHARACTERS, MAX_LESSON_CHARACTERS, Arena, Experiment, TrialResult
from daemon.text import clean

Kind: TypeAlias = Literal["integer", "number", "time", "text"]
Row: TypeAlias = dict[str, Any]
MAX_WORD_CHARACTERS = 200

# Every column, in order. A column is never renamed or given another meaning; new ones come at the end.
COLUMNS: Final[Mapping[str, Kind]] = {
    "number": "integer",
    "arena": "text",
    "phase": "text",
    "decision": "text",
    "reason": "text",
    "hypothesis": "text",
    "proposer": "text",
    "champion": "integer",
    "opened_at": "time",
    "closed_at": "time",
    "base_commit": "text",
    "commit": "text",
    "patch_sha256": "text",
    "patch_bytes": "integer",
    "program_sha256": "text",
    "findings": "text",
    "trials": "integer",
    "trials_scored": "integer",
    "status": "text",
    "seed": "integer",
    "val_bpb": "number",
    "val_bpb_std": "number",
    "audited_bpb": "number",
    "scored_tokens": "integer",
    "scored_bytes": "integer",
    "parameters": "integer",
    "peak_vram_mb_claimed": "number",
    "startup_seconds": "number",
    "charged_seconds": "number",
    "train_wall_seconds": "number",
    "score_seconds": "number",
    "total_seconds": "number",
    "provider_tokens": "integer",
    "provider_usd": "number",
    "lesson": "text",
    "ticket": "text",
    "device": "text",
    "train_seconds": "number",
    "clock": "text",
    "sandbox": "text",
    "torch_version": "text",
    "prepare_sha256": "text",
    "manifest_sha256": "text",
    "image_contents": "text",
    "referee_sha256": "text",
    "ledger_head": "text",
    "rivals": "integer",
    "gain_bpb": "number",
    "replicate_seconds": "number",
}


def row_of(experiment: Experiment, arena: Arena, ledger_head: str | None) -> Row:
    """The values of :data:`COLUMNS`; None where there is none. Texts are cleaned, numbers are finite."""
    outcome, proposal, verdict = experiment.outcome, experiment.proposal, experiment.verdict
    row: Row = dict.fromkeys(COLUMNS)
    row |= {
        "number": experiment.number,
        "arena": experiment.arena,
        "phase": experiment.phase.value,
        "champion": experiment.champion,
        "opened_at": _time(experiment.opened_at),
        "closed_at": _time(experiment.closed_at),
        "base_commit": experiment.base_commit,
        "commit": experiment.commit,
        "program_sha256": experiment.program_sha256,
        "lesson": clean(experiment.lesson, MAX_LESSON_CHARACTERS) or None,
        "ledger_head": ledger_head,
    }
    if outcome:
        row |= {"decision": outcome.decision.value, "reason": clean(outcome.reason, MAX_HYPOTHESIS_CHARACTERS)}
    if proposal:
        row |= {
            "hypothesis": clean(proposal.hypothesis, MAX_HYPOTHESIS_CHARACTERS),
            "proposer": clean(proposal.proposer, MAX_WORD_CHARACTERS),
            "patch_sha256": proposal.patch.sha256,
            "patch_bytes": len(proposal.patch.train_py),
            "ticket": clean(proposal.ticket, MAX_WORD_CHARACTERS) or None,
        }
    if verdict and verdict.findings:
        row["findings"] = clean(" ".join(dict.fromkeys(finding.rule for finding in verdict.findings)), 500)
    usd = [usage.usd for usage in experiment.usages if usage.usd is not None]
    row |= {"provider_tokens": sum(usage.tokens for usage in experiment.usages), "provider_usd": _sum(usd)}
    return row | _of_trials(experiment) | _of_arena(arena)


def _of_trials(experiment: Experiment) -> Row:
    trials, line = (*experiment.trials, *experiment.rivals), summarise(experiment)
    scores = [
        trial.val_bpb for trial in experiment.counted if trial.val_bpb is not None and math.isfinite(trial.val_bpb)
    ]
    row: Row = {"trials": line.trials, "trials_scored": len(scores), "rivals": line.rivals}
    if not trials:
        return row
    last, seconds = experiment.trials[-1], _seconds_of(trials)
    row |= {
        "status": last.status.value,
        "seed": trials[0].seed,
        "val_bpb": _finite(experiment.val_bpb),
        "val_bpb_std": statistics.stdev(scores) if len(scores) > 1 else None,
        "audited_bpb": audited_bpb(experiment.counted),
        "gain_bpb": line.gain_bpb,
        "replicate_seconds": line.replicate_seconds,
        "peak_vram_mb_claimed": _finite((last.claimed or {}).get("peak_vram_mb")),
    }
    if score := last.score:
        parameters = score.audit.get("parameters")
        row |= {
            "scored_tokens": score.tokens,
            "scored_bytes": score.bytes,
            "parameters": parameters if isinstance(parameters, int) else None,
            "referee_sha256": score.referee_sha256,
        }
    return row | seconds


def _seconds_of(trials: Iterable[TrialResult]) -> Row:
    names = ("startup_seconds", "charged_seconds", "train_wall_seconds", "score_seconds", "total_seconds")
    return {name: _sum(getattr(trial, name) for trial in trials) for name in names}


def _of_arena(arena: Arena) -> Row:
    return {
        "device": clean(arena.device, MAX_WORD_CHARACTERS),
        "train_seconds": arena.train_seconds,
        "clock": arena.clock,
        "sandbox": clean(arena.sandbox, MAX_WORD_CHARACTERS),
        "torch_version": clean(arena.torch_version, MAX_WORD_CHARACTERS),
        "prepare_sha256": arena.prepare_sha256,
        "manifest_sha256": arena.manifest_sha256,
        "image_contents": arena.image_contents,
    }


def rows(ledger: Ledger) -> Iterable[Row]:
    """Every experiment, in order, one at a time."""
    arenas: dict[str, Arena] = {}
    for experiment in ledger.experiments():
        if experiment.arena not in arenas:
            arenas[experiment.arena] = ledger.arena(experiment.arena)
        head = ledger.decision_hash(experiment.number) if experiment.outcome else None
        yield row_of(experiment, arenas[experiment.arena], head)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _finite(number: float | None) -> float | None:
    return float(number) if number is not None and math.isfinite(number) else None


def _sum(numbers: Iterable[float]) -> float | None:
    return _finite(float(sum(numbers)))
