"""What the ledger writes down, as canonical JSON, and how it is read back: explicit, total, no reflection.

Floats that JSON lacks (a log may claim ``val_bpb: nan``) are written as ``{"float": "nan"}``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeAlias

from daemon.model import (
    Arena,
    Decision,
    Experiment,
    Lesson,
    Outcome,
    Patch,
    Phase,
    Proposal,
    Score,
    TrialResult,
    TrialStatus,
    Usage,
)
from daemon.phases import (
    Abandoned,
    Closed,
    Committed,
    Interrupted,
    Lent,
    Looked,
    Quarantined,
    TrialStarted,
    Value,
    Voided,
)
from policies.interface import PLAIN_TRAIN_PY, Finding, Named, Verdict

MAX_LOG_TAIL = 8_000  # characters
Json: TypeAlias = dict[str, Any]
ReadBlob: TypeAlias = Callable[[str], bytes]


def canonical(payload: object) -> str:
    """One text for one payload: sorted keys, no blanks, ASCII, no NaN literal."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def opened(experiment: Experiment) -> Json:
    """The payload of an ``opened`` event."""
    return {
        "arena": experiment.arena,
        "base_commit": experiment.base_commit,
        "champion": experiment.champion,
        "program_sha256": experiment.program_sha256,
    }


def read_opened(number: int, payload: Json, at: str) -> Experiment:
    return Experiment(
        number=number,
        arena=payload["arena"],
        base_commit=payload["base_commit"],
        champion=payload["champion"],
        program_sha256=payload["program_sha256"],
        phase=Phase.OPENED,
        opened_at=at,
    )


def encode(value: Value | Closed) -> tuple[str, Json]:
    """The kind and the payload of a value. A patch's bytes are not in it, only their sha256."""
    match value:
        case Usage():
            return "usage", asdict(value)
        case Lesson():
            return "lesson", {"text": value.text}
        case Proposal():
            return "proposed", _proposal(value)
        case Verdict():
            return "checked", _verdict(value)
        case TrialStarted():
            return "trial-started", {"seed": value.seed} | _of(value.of)
        case Lent():
            return "trial-lent", _trial(value.result) | {"lent_by": value.result.lent_by}
        case Voided():
            return "trial-voided", {"reason": value.reason}
        case TrialResult():
            return "trial-result", _trial(value)
        case Outcome():
            return "decided", {"decision": value.decision.value, "reason": value.reason}
        case Committed():
            return "committed", {"commit": value.commit}
        case Interrupted():
            return "interrupted", {"reason": value.reason}
        case Abandoned():
            return "abandoned", {"reason": value.reason}
        case Quarantined():
            return "quarantined", {"reason": value.reason}
        case Looked():
            return "holdout", {name: _number(number) for name, number in asdict(value).items()}
        case Closed():
            return "closed", {}


def decode(kind: str, payload: Json, blob: ReadBlob) -> Value | Closed:
    """The value that :func:`encode` wrote; ``blob`` gives the bytes of a sha256.

    Raises:
        KeyError, TypeError, ValueError: the payload is not one that was written by :func:`encode`.
    """
    match kind:
        case "usage":
            return Usage(**payload | {"requests": tuple(payload["requests"])})
        case "lesson":
            return Lesson(text=payload["text"])
        case "proposed":
            return _read_proposal(payload, blob)
        case "checked":
            return _read_verdict(payload)
        case "trial-started":
            return TrialStarted(seed=payload["seed"], of=payload.get("of"))
        case "trial-lent":
            return Lent(result=_read_trial(payload))
        case "trial-voided":
            return Voided(reason=payload["reason"])
        case "trial-result":
            return _read_trial(payload)
        case "decided":
            return Outcome(decision=Decision(payload["decision"]), reason=payload["reason"])
        case "committed":
            return Committed(commit=payload["commit"])
        case "interrupted":
            return Interrupted(reason=payload["reason"])
        case "abandoned":
            return Abandoned(reason=payload["reason"])
        case "quarantined":
            return Quarantined(reason=payload["reason"])
        case "holdout":
            return Looked(**_read_numbers(payload))
        case "closed":
            return Closed()
        case _:
            raise ValueError(f"unknown kind {kind!r}")


def arena(value: Arena) -> str:
    """An arena as canonical JSON: the text that its fingerprint is taken of."""
    return canonical(asdict(value))


def read_arena(content: str) -> Arena:
    return Arena(**json.loads(content))


def _proposal(value: Proposal) -> Json:
    payload: Json = {
        "base_commit": value.patch.base_commit,
        "hypothesis": value.hypothesis,
        "patch_bytes": len(value.patch.train_py),
        "patch_sha256": value.patch.sha256,
        "proposer": value.proposer,
    }
    if value.files != PLAIN_TRAIN_PY:  # else it is left out, as before there was such a thing
        payload["files"] = [asdict(named) for named in value.files]
    if value.ticket:
        payload["ticket"] = value.ticket
    return payload


def _read_proposal(payload: Json, blob: ReadBlob) -> Proposal:
    patch = Patch(train_py=blob(payload["patch_sha256"]), base_commit=payload["base_commit"])
    files = tuple(Named(**named) for named in payload["files"]) if "files" in payload else PLAIN_TRAIN_PY
    return Proposal(
        hypothesis=payload["hypothesis"],
        patch=patch,
        proposer=payload["proposer"],
        files=files,
        ticket=payload.get("ticket", ""),
    )


def _verdict(value: Verdict) -> Json:
    payload: Json = {"findings": [asdict(finding) for finding in value.findings], "rules": list(value.rules)}
    if value.fingerprint:  # left out where there is none, as before there was such a thing
        payload["fingerprint"] = value.fingerprint
    if value.saved_nodes:
        payload["saved_nodes"] = value.saved_nodes
    return payload


def _read_verdict(payload: Json) -> Verdict:
    findings = tuple(Finding(**finding) for finding in payload["findings"])
    return Verdict(
        rules=tuple(payload["rules"]),
        findings=findings,
        fingerprint=payload.get("fingerprint", ""),
        saved_nodes=payload.get("saved_nodes", 0),
    )


_PLAIN = ("reason", "seed", "exit_code", "log_tail")
_FLOATS = (
    "claimed_bpb",
    "startup_seconds",
    "charged_seconds",
    "train_wall_seconds",
    "score_seconds",
    "total_seconds",
)


def _trial(value: TrialResult) -> Json:
    payload: Json = {name: getattr(value, name) for name in _PLAIN}
    payload["log_tail"] = value.log_tail[-MAX_LOG_TAIL:]
    payload |= {name: _number(getattr(value, name)) for name in _FLOATS}
    payload["status"] = value.status.value
    payload["claimed"] = None if value.claimed is None else _numbers(value.claimed)
    payload["score"] = None if value.score is None else _score(value.score)
    return payload | _of(value.of)


def _of(champion: int | None) -> Json:
    """Left out for a candidate's own trial, as before there were others."""
    return {} if champion is None else {"of": champion}


def _read_trial(payload: Json) -> TrialResult:
    claimed, score = payload["claimed"], payload["score"]
    return TrialResult(
        status=TrialStatus(payload["status"]),
        score=None if score is None else _read_score(score),
        claimed=None if claimed is None else _read_numbers(claimed),
        of=payload.get("of"),
        lent_by=payload.get("lent_by"),
        **{name: payload[name] for name in _PLAIN},
        **{name: _read_number(payload[name]) for name in _FLOATS},
    )


def _score(value: Score) -> Json:
    return {
        "audit": _numbers(value.audit),
        "bytes": value.bytes,
        "corrected_bpb": _number(value.corrected_bpb),
        "referee_sha256": value.referee_sha256,
        "tokens": value.tokens,
        "val_bpb": _number(value.val_bpb),
    }


def _read_score(payload: Json) -> Score:
    return Score(
        audit=_read_numbers(payload["audit"]),
        bytes=payload["bytes"],
        corrected_bpb=_read_number(payload["corrected_bpb"]),
        referee_sha256=payload["referee_sha256"],
        tokens=payload["tokens"],
        val_bpb=_read_number(payload["val_bpb"]),
    )


def _number(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value


def _read_number(value: Any) -> Any:
    return float(value["float"]) if isinstance(value, dict) else value


def _numbers(values: Mapping[str, Any]) -> Json:
    return {name: _number(value) for name, value in values.items()}


def _read_numbers(payload: Json) -> dict[str, Any]:
    return {name: _read_number(value) for name, value in payload.items()}
