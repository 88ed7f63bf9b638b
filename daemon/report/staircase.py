"""The staircase of the best as an SVG that stands inside a page: shapes tell the outcomes apart, not colours alone.

Presentation is by classes alone, so that a page may forbid style attributes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from daemon.model import Decision, Summary
from daemon.plot import steps, view
from daemon.text import clean

WIDTH, HEIGHT = 960, 420
LEFT, RIGHT, TOP, BOTTOM = 74, 14, 34, 44
_FAILED = {Decision.REFUSED, Decision.CRASH, Decision.TIMEOUT, Decision.INVALID}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """From experiments and scores to places in the picture; what is off the scale lies on its edge."""

    first: int
    last: int
    low: float
    high: float

    def x(self, number: float) -> float:
        span = max(1, self.last - self.first)
        return round(LEFT + 12 + (WIDTH - LEFT - RIGHT - 24) * (number - self.first) / span, 1)

    def y(self, score: float) -> float:
        share = (min(max(score, self.low), self.high) - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)


def staircase(rows: Sequence[Summary], before_bpb: float | None = None) -> str:
    """The picture. ``before_bpb`` is where the line begins, when there was a champion before."""
    decided = [row for row in rows if row.decision is not None]
    low, high = view(decided)
    if before_bpb is not None:
        high = max(high, before_bpb + 0.05 * (high - low))
    numbers = [row.number for row in decided] or [0]
    scale = Scale(first=min(numbers), last=max(numbers), low=low + 0.2 * (high - low), high=high)
    body = [*_axes(scale), *_line(decided, before_bpb, scale), *_points(decided, scale), *_legend(decided)]
    what = f"Staircase of the best score over {len(decided)} experiments"
    return (
        f'<svg class="staircase" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{what}">'
        f"<title>{what}</title>{''.join(body)}</svg>"
    )


def _axes(scale: Scale) -> Iterator[str]:
    for part in range(5):
        score = scale.low + (scale.high - scale.low) * part / 4
        y = scale.y(score)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text class="tick" x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{score:.4f}</text>'
    every = max(1, (scale.last - scale.first) // 10)
    for number in range(scale.first, scale.last + 1, every):
        place = f'x="{scale.x(number)}" y="{HEIGHT - BOTTOM + 18}"'
        yield f'<text class="tick" {place} text-anchor="middle">{number}</text>'
    yield f'<text class="tick" x="{(WIDTH + LEFT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">experiment</text>'
    middle = (HEIGHT + TOP - BOTTOM) / 2
    yield (
        f'<text class="tick" x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">'
        "bits per byte, lower is better</text>"
    )


def _line(decided: Sequence[Summary], before_bpb: float | None, scale: Scale) -> Iterator[str]:
    found = steps(decided)
    if before_bpb is None and not found.scores:
        return
    at = before_bpb if before_bpb is not None else found.scores[0]
    path = [
        f"M{scale.x(scale.first) - 12} {scale.y(at)}"
        if before_bpb is not None
        else f"M{scale.x(found.numbers[0])} {scale.y(at)}"
    ]
    for number, score in zip(found.numbers, found.scores, strict=True):
        path += [f"H{scale.x(number)}", f"V{scale.y(score)}"]
    yield f'<path class="best" d="{" ".join(path)} H{WIDTH - RIGHT}"/>'


def _points(decided: Sequence[Summary], scale: Scale) -> Iterator[str]:
    for row in decided:
        what = escape(f"#{row.number} {row.decision}: {clean(row.hypothesis, 160)}")
        x = scale.x(row.number)
        if row.decision in _FAILED:
            yield f'<path class="failed" d="M{x - 4} 20l8 8m0 -8l-8 8"><title>{what}</title></path>'
        elif row.val_bpb is not None and math.isfinite(row.val_bpb):
            kept = row.decision is Decision.KEEP
            name, size = ("kept", 6) if kept else ("discarded", 4)
            place = f'cx="{x}" cy="{scale.y(row.val_bpb)}" r="{size}"'
            yield f'<circle class="{name}" {place}><title>{what}</title></circle>'


def _legend(decided: Sequence[Summary]) -> Iterator[str]:
    kept = sum(row.decision is Decision.KEEP for row in decided)
    failed = sum(row.decision in _FAILED for row in decided)
    entries = [
        ('<circle class="kept" cx="{x}" cy="10" r="6"/>', f"kept {kept}"),
        ('<circle class="discarded" cx="{x}" cy="10" r="4"/>', f"discarded {len(decided) - kept - failed}"),
        ('<path class="failed" d="M{left} 6l8 8m0 -8l-8 8"/>', f"refused, crashed, timeout or invalid {failed}"),
    ]
    for place, (mark, text) in zip((LEFT + 8, LEFT + 120, LEFT + 260), entries, strict=True):
        yield mark.format(x=place, left=place - 4)
        yield f'<text class="tick" x="{place + 12}" y="14">{text}</text>'
