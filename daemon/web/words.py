"""Numbers, times and hostile text as the page writes them: the filters of its templates."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from daemon.model import Decision, Outcome, Summary
from daemon.text import clean

NONE = "–"
SAID = {
    Decision.KEEP: "kept",
    Decision.DISCARD: "discarded",
    Decision.REFUSED: "refused",
    Decision.CRASH: "crashed",
    Decision.TIMEOUT: "timed out",
    Decision.INVALID: "invalid",
}
PHASES = {
    "starting": "starting up",
    "training": "training",
    "scoring": "being scored",
    "proposing": "waiting for a proposal",
    "between": "between two experiments",
    "waiting": "waiting",
    "outage": "waiting for the service to come back",
}
_HIDDEN = "holdout"
MAX_REASON_CHARACTERS = 600


def bpb(score: float | None) -> str:
    """A score, to the millionth of a bit per byte."""
    return f"{score:.6f}" if score is not None and math.isfinite(score) else NONE


def gain(value: float | None) -> str:
    """Bits per byte with a sign; more is better."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:+.6f}".replace("-", "−")


def seconds(value: float | None) -> str:
    """A duration for people."""
    if value is None or not math.isfinite(value) or value < 0:
        return NONE
    if value < 60:
        return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def when(text: str | None) -> str:
    """A time of the ledger, in UTC, to the minute."""
    moment = _moment(text)
    return f"{moment:%Y-%m-%d %H:%M}" if moment else NONE


def between(begin: str | None, end: str | None) -> float | None:
    """Seconds from one time of the ledger to another."""
    first, last = _moment(begin), _moment(end)
    return (last - first).total_seconds() if first and last else None


def unix(moment: float) -> str:
    """A Unix second as the ledger writes times."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z"


def count(number: int) -> str:
    """With thin spaces between the thousands."""
    return f"{number:,}".replace(",", "\u202f")


def said(decision: Decision | None) -> str:
    return SAID[decision] if decision else "not decided"


def line(text: str, limit: int = 500) -> str:
    """A text of somebody else, on one line."""
    return clean(text, limit)


def lines(text: str, limit: int = 20_000) -> str:
    return clean(text, limit, lines=True)


def reason_of(end: Outcome | Summary | None) -> str:
    """Why it ended so. A judgement that rests on the hidden split keeps its reason to itself."""
    if end is None:
        return ""
    text = clean(end.reason, MAX_REASON_CHARACTERS)
    judged = end.decision in (Decision.KEEP, Decision.DISCARD)
    return "the reason rests on the hidden split, and is not shown" if judged and _HIDDEN in text.lower() else text


def linked(text: str) -> Markup:
    """A line of the notebook, its ``#12`` as links to the experiments."""
    parts = re.split(r"#(\d{1,7})(?!\w)", text)
    links = [Markup('<a href="/experiments/{0}">#{0}</a>').format(number) for number in parts[1::2]]
    return Markup("").join(piece for pair in zip(parts[::2], [*links, ""], strict=True) for piece in pair)


def sentence(text: str) -> str:
    """With a capital letter in front; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def number(value: object) -> str:
    """A figure out of a mapping that came from elsewhere; a dash for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return NONE
    return count(value) if isinstance(value, int) else f"{value:.6g}"


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


FILTERS: Mapping[str, Callable[..., Any]] = {
    "bpb": bpb,
    "gain": gain,
    "seconds": seconds,
    "when": when,
    "count": count,
    "said": said,
    "line": line,
    "lines": lines,
    "number": number,
    "why": reason_of,
    "sentence": sentence,
    "linked": linked,
}
