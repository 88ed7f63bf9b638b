"""The staircase as SVG, made here: a picture of bounded size however many experiments there are.

What ended without a score has a lane of its own under the picture, so that place and shape tell the endings apart, and
colour only helps. Points that fall onto the same place are drawn once.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

from daemon.ledger.looking import Point
from daemon.model import Decision
from daemon.text import clean
from daemon.web.words import SAID, bpb

WIDTH, HEIGHT = 1000, 470
LEFT, RIGHT, TOP, BOTTOM = 66.0, 984.0, 26.0, 352.0
OFF_SCALE = 14.0  # where what is above the picture is marked
LANES = {Decision.REFUSED: 382.0, Decision.CRASH: 402.0, Decision.TIMEOUT: 422.0, Decision.INVALID: 442.0}
MAX_STEPS, MAX_NEWEST = 150, 150  # points that carry their words with them; a script asks for the others'
SCALE = 2.0  # places to the unit: what is closer than that is one point
SIZE = 4.0
CROWDED = 1_500  # points, from which on a discard is a dot
_KINDS = ("discard", "far", "refused", "crash", "timeout", "invalid", "keep")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where a number and a score lie in the picture."""

    first: int
    last: int
    low: float
    high: float

    def x(self, number: int) -> float:
        return round(LEFT + 8 + (RIGHT - LEFT - 20) * (number - self.first) / max(1, self.last - self.first), 1)

    def y(self, point: Point) -> float:
        if point.decision in LANES:
            return LANES[point.decision]
        score = _score(point)
        if score is None or score > self.high:
            return OFF_SCALE
        return round(BOTTOM - 8 - (BOTTOM - TOP - 16) * (score - self.low) / (self.high - self.low), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The picture's parts, each a piece of SVG, and the steps of the staircase, oldest first."""

    frame: Frame
    grid: Markup
    stairs: Markup
    marks: Markup
    spoken: Markup
    steps: Sequence[Point]


def staircase(points: Iterable[Point]) -> list[Point]:
    """The keeps that were better than everything before them."""
    best, found = math.inf, []
    for point in points:
        score = _score(point)
        if point.decision is Decision.KEEP and score is not None and score < best:
            best = score
            found.append(point)
    return found


def told(points: Sequence[Point], steps: Sequence[Point]) -> list[Point]:
    """Those whose words are in the picture itself: the largest steps, and the newest points."""
    scores = [_score(step) or 0.0 for step in steps]
    gains = [math.inf, *(before - after for before, after in pairwise(scores))]
    largest = sorted(zip(gains, steps, strict=False), key=lambda pair: -pair[0])[:MAX_STEPS]
    chosen = {point.number: point for point in (*points[-MAX_NEWEST:], *(step for _, step in largest))}
    return [chosen[number] for number in sorted(chosen)]


def draw(points: Sequence[Point], hypotheses: Mapping[int, str]) -> Chart:
    """Draw the decided experiments of one arena; ``hypotheses`` are those of the points that :func:`told` names."""
    steps = staircase(points)
    frame = _frame(points)
    return Chart(
        frame=frame,
        grid=_svg(_grid(frame)),
        stairs=_svg([_stairs(frame, steps)]),
        marks=_svg(_marks(frame, points)),
        spoken=_svg(_spoken(frame, point, hypotheses.get(point.number, "")) for point in told(points, steps)),
        steps=steps,
    )


def _frame(points: Sequence[Point]) -> Frame:
    """The staircase, most of the discards, and nothing of the few that went astray."""
    kept = [score for point in points if point.decision is Decision.KEEP and (score := _score(point)) is not None]
    tried = sorted(score for p in points if p.decision is Decision.DISCARD and (score := _score(p)) is not None)
    low, high = (min(kept), max(kept)) if kept else (min(tried, default=0.0), max(tried, default=1.0))
    low = min(low, tried[0]) if tried else low
    span = (high - low) or abs(low) * 0.02 or 1.0
    usual = tried[int(0.9 * (len(tried) - 1))] if tried else high
    top = min(max(usual, high + 0.06 * span), high + span)
    numbers = (points[0].number, points[-1].number) if points else (0, 1)
    return Frame(first=numbers[0], last=max(numbers[1], numbers[0] + 4), low=low - 0.04 * (top - low), high=top)


def _grid(frame: Frame) -> Iterator[str]:
    step = _nice((frame.high - frame.low) / 5)
    digits = max(0, min(6, -math.floor(math.log10(step))))
    at = math.ceil(frame.low / step) * step
    while at <= frame.high:
        y = frame.y(Point(0, Decision.KEEP, at))
        yield f'<path class="rule" d="M{LEFT:g} {y}H{RIGHT:g}"/>'
        yield f'<text class="tick" x="{LEFT - 10:g}" y="{y + 4:g}" text-anchor="end">{at:.{digits}f}</text>'
        at += step
    for decision, y in LANES.items():
        yield f'<path class="rule lane" d="M{LEFT:g} {y:g}H{RIGHT:g}"/>'
        yield f'<text class="tick" x="{LEFT - 10:g}" y="{y + 4:g}" text-anchor="end">{SAID[decision]}</text>'
    across = max(1, round(_nice((frame.last - frame.first) / 8)))
    for number in range(-(-frame.first // across) * across, frame.last + 1, across):
        yield f'<text class="tick" x="{frame.x(number)}" y="{HEIGHT - 4}" text-anchor="middle">{number}</text>'


def _nice(step: float) -> float:
    """1, 2 or 5 times a power of ten, not below ``step``."""
    power = 10.0 ** math.floor(math.log10(step)) if step > 0 else 1.0
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= step * 0.999)


def _stairs(frame: Frame, steps: Sequence[Point]) -> str:
    if not steps:
        return ""
    path = [f"M{frame.x(steps[0].number)} {frame.y(steps[0])}"]
    for step in steps[1:]:
        path.append(f"H{frame.x(step.number)}V{frame.y(step)}")
    return f'<path class="stairs" d="{"".join(path)}H{RIGHT:g}"/>'


def _marks(frame: Frame, points: Sequence[Point]) -> Iterator[str]:
    """All points of one kind as one path."""
    places: dict[str, dict[str, None]] = defaultdict(dict)
    for point in points:
        x, y = frame.x(point.number), frame.y(point)
        kind = "far" if y == OFF_SCALE else point.decision.value
        places[kind][f"M{round(x * SCALE) / SCALE:g} {round(y * SCALE) / SCALE:g}"] = None
    crowded = len(points) > CROWDED
    for kind in (kind for kind in _KINDS if kind in places):
        dots = crowded and kind == "discard"
        shape = _shape("dot" if dots else kind)
        yield f'<path class="mark {kind}{" dot" if dots else ""}" d="{shape.join(places[kind])}{shape}"/>'


def _shape(kind: str) -> str:
    """The way of the pen around a point, from its centre: the same shapes as in the legend."""
    s = SIZE
    return {
        "keep": f"m-{s:g} 0a{s:g} {s:g} 0 1 0 {2 * s:g} 0a{s:g} {s:g} 0 1 0-{2 * s:g} 0",
        "discard": "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0",
        "dot": "h0",
        "refused": "m-3.5-3.5h7v7h-7z",
        "crash": "m-3.5-3.5l7 7m0-7l-7 7",
        "timeout": "m-4.5 0h9m-4.5-4.5v9",
        "invalid": "m0-4.5l4.5 4.5l-4.5 4.5l-4.5-4.5z",
        "far": "m-4 3l4-7l4 7z",
    }[kind]


def _spoken(frame: Frame, point: Point, hypothesis: str) -> str:
    words = f"#{point.number}, {SAID[point.decision]}, {bpb(point.val_bpb)}: {clean(hypothesis, 300)}"
    return (
        f'<a href="/experiments/{point.number}" tabindex="-1"><title>{escape(words)}</title>'
        f'<circle class="hit" cx="{frame.x(point.number)}" cy="{frame.y(point)}" r="7"/></a>'
    )


def _score(point: Point) -> float | None:
    return point.val_bpb if point.val_bpb is not None and math.isfinite(point.val_bpb) else None


def _svg(parts: Iterable[str]) -> Markup:
    return Markup("".join(parts))  # noqa: S704 - numbers of ours, and words that were escaped where they came in


def places(frame: Frame, points: Sequence[Point]) -> dict[str, list[float] | list[int]]:
    """All points with their places, for the page's script."""
    return {
        "number": [point.number for point in points],
        "x": [frame.x(point.number) for point in points],
        "y": [frame.y(point) for point in points],
    }
