"""``progress.png``: the staircase of the running best over all attempts."""

from __future__ import annotations

import io
import math
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.files import write_atomically
from daemon.model import Decision, Summary
from daemon.text import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_PIXELS, HEIGHT_PIXELS, DPI = 1200, 700, 100
MAX_LABELS, LABEL_CHARACTERS, LEAST_LABEL_CHARACTERS = 24, 36, 16
LABEL_GAP_PIXELS, LETTER_PIXELS = 14.0, 7.4
SLANTED, UPRIGHT, LEVEL = 28, 90, 0  # degrees of labels
# A user's own matplotlibrc could turn these on, and text of a hypothesis is no formula.
_PLAIN_TEXT: dict[Any, Any] = {
    "text.usetex": False,
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 10.5,
}
_INK, _GREEN, _GREY, _RED = "#24292f", "#1a7f37", "#8c959f", "#b35900"
_FAILED = {Decision.CRASH: "x", Decision.TIMEOUT: "+", Decision.REFUSED: "s", Decision.INVALID: "D"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The kept experiments that were better than all before them, oldest first."""

    numbers: list[int]
    scores: list[float]
    labels: list[str]

    @property
    def gains(self) -> list[float]:
        """What each step won; the first, which had nothing to beat, comes before all others."""
        return [math.inf, *(a - b for a, b in zip(self.scores, self.scores[1:], strict=False))]


def draw(summaries: Iterable[Summary], destination: Path, title: str) -> None:
    """Draw the decided experiments of one arena and replace ``destination``, a PNG of 1200 × 700.

    Raises:
        OSError: it cannot be written; the old picture stays.
    """
    # Half a second of imports that a daemon at rest need not pay.
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    decided = [summary for summary in summaries if summary.decision is not None]
    picture = io.BytesIO()
    with matplotlib.rc_context(_PLAIN_TEXT), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box is drawn in its place
        figure = Figure(figsize=(WIDTH_PIXELS / DPI, HEIGHT_PIXELS / DPI), dpi=DPI)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.07, 0.09, 0.905, 0.735))
        _paint(axes, decided)
        figure.text(0.07, 0.945, clean(title, 80), fontsize=16, fontweight="bold", color=_INK)
        figure.text(0.07, 0.899, headline(decided), fontsize=11.5, color="#57606a")
        figure.savefig(picture, format="png", metadata={"Software": None})
    write_atomically(destination, picture.getvalue())


def headline(decided: Sequence[Summary]) -> str:
    """The picture in one line."""
    best = steps(decided)
    kept = sum(summary.decision is Decision.KEEP for summary in decided)
    noun = "experiment" if len(decided) == 1 else "experiments"
    counts = f"{len(decided)} {noun}, {kept} kept"
    if not best.scores:
        return f"{counts}, nothing scored yet"
    scores = " → ".join(f"{score:.4f}" for score in dict.fromkeys((best.scores[0], best.scores[-1])))
    return f"{counts}, best {scores} bits per byte (lower is better)"


def steps(decided: Iterable[Summary]) -> Steps:
    """Find the staircase."""
    found = Steps(numbers=[], scores=[], labels=[])
    for summary in decided:
        score = _score(summary)
        if summary.decision is Decision.KEEP and score is not None and score < min(found.scores, default=math.inf):
            found.numbers.append(summary.number)
            found.scores.append(score)
            found.labels.append(clean(summary.hypothesis, LABEL_CHARACTERS))
    return found


def view(decided: Sequence[Summary]) -> tuple[float, float]:
    """The interesting range of scores: the staircase, room below for labels, and above for most discards."""
    kept = [score for s in decided if s.decision is Decision.KEEP and (score := _score(s)) is not None]
    if not kept:
        return 0.0, 1.0
    low, high = min(kept), max(kept)
    span = (high - low) or abs(low) * 0.02 or 1.0
    others = sorted(score for s in decided if s.decision is Decision.DISCARD and (score := _score(s)) is not None)
    usual = others[int(0.9 * (len(others) - 1))] if others else high
    top = min(max(usual, high + 0.15 * span), high + span)
    return low - 0.42 * (top - low), top + 0.16 * (top - low)


def _paint(axes: Axes, decided: Sequence[Summary]) -> None:
    bottom, top = view(decided)
    edge = top - 0.05 * (top - bottom)  # where attempts without a place on the scale are drawn
    first = min((summary.number for summary in decided), default=0)
    last = max([first + 4, *(summary.number for summary in decided)])
    pad = max(0.5, 0.03 * (last - first))
    axes.set_xlim(first - pad, last + pad)
    axes.set_ylim(bottom, top)
    _scaffold(axes, edge - 0.035 * (top - bottom))
    _paint_steps(axes, decided, last + pad)
    _paint_discards(axes, decided, edge)
    _paint_failures(axes, decided, edge)
    if axes.get_legend_handles_labels()[0]:
        place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.012, 1.0), "borderaxespad": 0.3}
        axes.legend(**place, ncols=8, frameon=False, fontsize=9.5, handletextpad=0.2, columnspacing=1.3)


def _scaffold(axes: Axes, edge: float) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("experiment", color=_INK)
    axes.set_ylabel("val_bpb", color=_INK)
    axes.grid(axis="y", color="#d0d7de", linewidth=0.7, alpha=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.axhspan(edge, axes.get_ylim()[1], color="#f6f8fa", zorder=0)
    axes.ticklabel_format(axis="y", useOffset=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _paint_discards(axes: Axes, decided: Sequence[Summary], edge: float) -> None:
    points = [(s.number, score) for s in decided if s.decision is Decision.DISCARD and (score := _score(s)) is not None]
    limit = edge - 0.035 * (axes.get_ylim()[1] - axes.get_ylim()[0])
    inside = [point for point in points if point[1] <= limit]
    outside = [(number, edge) for number, score in points if score > limit]
    hollow = {"facecolors": "none", "edgecolors": _GREY, "linewidths": 1.4}
    _scatter(axes, inside, f"discarded ({len(inside)})", marker="o", s=42, **hollow)
    _scatter(axes, outside, f"off the scale ({len(outside)})", marker="^", s=48, **hollow)


def _paint_failures(axes: Axes, decided: Sequence[Summary], edge: float) -> None:
    counts = Counter(summary.decision for summary in decided)
    for decision, marker in _FAILED.items():
        points = [(summary.number, edge) for summary in decided if summary.decision is decision]
        colour = {"color": _RED} if marker in "x+" else {"facecolors": "none", "edgecolors": _RED}
        _scatter(axes, points, f"{decision.value} ({counts[decision]})", marker=marker, s=46, linewidths=1.6, **colour)


def _paint_steps(axes: Axes, decided: Sequence[Summary], end: float) -> None:
    found = steps(decided)
    if not found.numbers:
        return
    rises = {s.number for s in decided} - set(found.numbers)
    beside = [(s.number, x) for s in decided if s.decision is Decision.KEEP and s.number in rises and (x := _score(s))]
    kept = [*zip(found.numbers, found.scores, strict=True), *beside]
    style = {"color": _GREEN, "edgecolors": "white", "linewidths": 1.2, "zorder": 4}
    _scatter(axes, kept, f"kept ({len(kept)})", marker="o", s=90, **style)
    across, down = [*found.numbers, end], [*found.scores, found.scores[-1]]
    axes.step(across, down, where="post", color=_GREEN, linewidth=2, label="best so far", zorder=3)
    _label(axes, found)


def _label(axes: Axes, found: Steps) -> None:
    """Name the steps below the line, where no point can be; the largest gains first where room is scarce."""
    places = axes.transData.transform(list(zip(found.numbers, found.scores, strict=True))).tolist()
    taken: list[tuple[float, float]] = []
    for index in sorted(range(len(found.numbers)), key=lambda i: -found.gains[i])[:MAX_LABELS]:
        x, y = places[index]
        text, degrees = _fitted(found.labels[index], x - axes.bbox.x0, first=index == 0)
        covered = _covered(x, y, len(text), degrees)
        others = [*taken, *places[:index], *places[index + 1 :]]
        if all(math.dist(one, other) >= LABEL_GAP_PIXELS for one in covered for other in others):
            taken += covered
            _write(axes, (found.numbers[index], found.scores[index]), text, degrees)


def _fitted(label: str, room_pixels: float, *, first: bool) -> tuple[str, int]:
    """The label and its slope. A slanted one ends at its point, and is cut to the room left of it."""
    fitting = int(room_pixels / LETTER_PIXELS / math.cos(math.radians(SLANTED))) - 1
    if first:
        return label, LEVEL
    if fitting < min(len(label), LEAST_LABEL_CHARACTERS):
        return label, UPRIGHT
    return clean(label, fitting), SLANTED


def _covered(x: float, y: float, letters: int, degrees: int) -> list[tuple[float, float]]:
    """Places along a label, in pixels."""
    way = 1 if degrees == LEVEL else -1
    across, down = way * math.cos(math.radians(degrees)), way * math.sin(math.radians(degrees))
    steps_along = range(0, int(letters * LETTER_PIXELS) + 1, 6)
    return [(x + across * pixels, y + down * pixels) for pixels in steps_along]


def _write(axes: Axes, point: tuple[int, float], text: str, degrees: int) -> None:
    from matplotlib.patheffects import withStroke

    offset = {LEVEL: (8, 6), SLANTED: (-5, -7), UPRIGHT: (0, -9)}[degrees]
    axes.annotate(
        text,
        point,
        xytext=offset,
        textcoords="offset points",
        rotation=degrees,
        rotation_mode="anchor",
        ha="left" if degrees == LEVEL else "right",
        va={LEVEL: "bottom", SLANTED: "top", UPRIGHT: "center"}[degrees],
        fontsize=9.5,
        color=_INK,
        path_effects=[withStroke(linewidth=3, foreground="white")],
        zorder=5,
    )


def _scatter(axes: Axes, points: Sequence[tuple[int, float]], label: str, **style: Any) -> None:
    if points:
        axes.scatter([x for x, _ in points], [y for _, y in points], label=label, **style)


def _score(summary: Summary) -> float | None:
    return summary.val_bpb if summary.val_bpb is not None and math.isfinite(summary.val_bpb) else None
