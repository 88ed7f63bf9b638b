"""``status --watch`` and ``top``: a lab, or several, drawn anew every second; one line a change without a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.markup import escape
from rich.text import Text

from daemon.lab import Lab
from daemon.model import Decision, Summary
from daemon.present import Doing, Onlooker, Present
from daemon.table import STYLE
from daemon.text import clean

EVERY_SECONDS = 1.0
BLOCKS = "▁▂▃▄▅▆▇█"
MAX_BAR, MAX_SPARKS, MAX_ROWS = 40, 60, 20
NARROW = 64
HEAD_LINES = 9  # beside the last experiments
FAILED = (Decision.REFUSED, Decision.CRASH, Decision.TIMEOUT, Decision.INVALID)
Wait = Callable[[float], bool]


class Frame:
    """Made for the terminal's present size each time it is drawn."""

    def __init__(self, lines: Callable[[int, int], Iterator[str]]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Group(*(line(text) for text in self._lines(options.max_width, console.size.height)))


def line(markup: str) -> Text:
    """One line, cut at the terminal's edge and never broken."""
    text = Text.from_markup(markup, overflow="ellipsis")
    text.no_wrap = True
    return text


def status(lab: Lab, console: Console, wait: Wait) -> None:
    """Draw one lab until ``wait(seconds)`` says to stop."""
    onlooker = Onlooker(lab)
    if console.is_terminal:
        _draw(console, wait, lambda: Frame(partial(screen, onlooker.look())))
    else:
        _tell(console, wait, [onlooker])


def top(labs: Sequence[Lab], console: Console, wait: Wait) -> None:
    """Draw several labs, one line each, until ``wait(seconds)`` says to stop."""
    onlookers = [Onlooker(lab) for lab in labs]
    if console.is_terminal:
        _draw(console, wait, lambda: Frame(partial(overview, [onlooker.look() for onlooker in onlookers])))
    else:
        _tell(console, wait, onlookers)


def glance(labs: Sequence[Lab], console: Console) -> None:
    """The same, once."""
    for text in overview([Onlooker(lab).look() for lab in labs], console.width):
        console.print(line(text) if console.is_terminal else text, highlight=False, soft_wrap=not console.is_terminal)


def _draw(console: Console, wait: Wait, frame: Callable[[], Frame]) -> None:
    from rich.live import Live

    with Live(frame(), console=console, auto_refresh=False, screen=False, vertical_overflow="crop") as live:
        while not wait(EVERY_SECONDS):
            live.update(frame(), refresh=True)


def _tell(console: Console, wait: Wait, onlookers: Sequence[Onlooker]) -> None:
    """A line when something begins or ends; the first look tells how things stand."""
    before: dict[int, tuple[object, int]] = {}
    while True:
        for place, onlooker in enumerate(onlookers):
            now = onlooker.look()
            closed = sum(row.decision is not None for row in now.rows)
            key = (now.doing.key if now.doing else None, closed)
            if before.get(place) != key:
                for text in _changes(now, before.get(place)):
                    console.print(text, highlight=False, soft_wrap=True)
            before[place] = key
        console.file.flush()
        if wait(EVERY_SECONDS):
            return


def _changes(now: Present, before: tuple[object, int] | None) -> Iterator[str]:
    at = f"{datetime.now(UTC):%H:%M:%S} {escape(now.name)}"
    decided = [row for row in now.rows if row.decision is not None]
    if before is None:
        yield f"{at} {standing(now)}"
    else:
        for row in decided[before[1] :][-MAX_ROWS:]:
            yield f"{at} {one_row(now, row)}"
    yield f"{at} {phase(now.doing, 0)}"


def screen(now: Present, width: int, height: int) -> Iterator[str]:
    """One lab on one screen."""
    yield f"[bold]{escape(now.name)}[/] {standing(now)}"
    yield phase(now.doing, min(MAX_BAR, width // 4))
    if now.doing is not None:
        if now.doing.about:
            yield f"  {escape(now.doing.about)}"
        if claimed := now.doing.claimed:
            speed = f"{claimed.tokens_per_second:,.0f} tok/s"
            yield f"  [dim]claims[/] loss {claimed.loss:.3f}, {speed}, step {claimed.step}"
    yield ""
    if bests := now.bests:
        yield f"[green]{sparkline(bests, min(MAX_SPARKS, width - 20))}[/] {bests[0]:.4f} → {bests[-1]:.4f}"
    yield counts(now, narrow=width < NARROW)
    if money := spent(now):
        yield money
    yield ""
    for row in list(reversed(now.rows))[: max(1, min(MAX_ROWS, height - HEAD_LINES - 1))]:
        yield one_row(now, row, narrow=width < NARROW)


def overview(labs: Sequence[Present], width: int, _height: int = 0) -> Iterator[str]:
    """A table of several labs; where the terminal is narrow the columns at its right are left out."""
    name = max(4, min(20, width // 4, max((len(now.name) for now in labs), default=4)))
    tally = "" if width < NARROW else f" {'done':>5} {'kept':>4}"
    yield f"[bold]{'lab':<{name}} {'best':>8}{tally}  now[/]"
    for now in labs:
        best = f"{now.bests[-1]:.4f}" if now.bests else "–"
        done = sum(row.decision is not None for row in now.rows)
        tally = "" if width < NARROW else f" {done:>5} {now.count(Decision.KEEP):>4}"
        text = f"{clean(now.name, name):<{name}}"
        yield f"{escape(text)} {best:>8}{tally}  {phase(now.doing, 0)}{_more(now)}"


def _more(now: Present) -> str:
    if now.doing is None:
        return ""
    speed = f", {now.doing.claimed.tokens_per_second:,.0f} tok/s claimed" if now.doing.claimed else ""
    return f"{speed}  [dim]{escape(now.doing.about)}[/]"


def standing(now: Present) -> str:
    champion = now.champion
    if champion is None or champion.val_bpb is None:
        return f"{escape(now.branch)}, nothing kept yet"
    return f"champion #{champion.number} [bold]{champion.val_bpb:.6f}[/] {escape(now.branch)}"


def phase(doing: Doing | None, bar_width: int) -> str:
    """What runs, for how long, and how much of its time is left."""
    if doing is None:
        return "[yellow]nothing runs here[/]"
    number = f"#{doing.number} " if doing.number is not None else ""
    paused = " [yellow](paused)[/]" if doing.paused else ""
    if not doing.limit_seconds:
        return f"{number}[bold]{escape(doing.state)}[/] for {doing.for_seconds:.0f} s{paused}"
    left = max(0.0, doing.limit_seconds - doing.for_seconds)
    drawn = f" {bar(doing.for_seconds / doing.limit_seconds, bar_width)}" if bar_width else ""
    return f"{number}[bold]{escape(doing.state)}[/]{drawn} {left:.0f}/{doing.limit_seconds:.0f} s left{paused}"


def bar(share: float, width: int) -> str:
    done = round(width * min(1.0, max(0.0, share)))
    return f"[green]{'━' * done}[/][dim]{'─' * (width - done)}[/]"


def sparkline(values: Sequence[float], width: int) -> str:
    """The last values as blocks; the highest is the tallest."""
    shown = values[-max(1, width) :]
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0
    return "".join(BLOCKS[int((value - low) / span * (len(BLOCKS) - 1))] for value in shown)


def counts(now: Present, *, narrow: bool = False) -> str:
    decided = sum(row.decision is not None for row in now.rows)
    if narrow:
        return f"{decided} done, {now.count(Decision.KEEP)} kept, {now.count(*FAILED)} failed"
    waiting = f", {now.waiting} handed in wait" if now.waiting else ""
    return (
        f"{decided} experiments: {now.count(Decision.KEEP)} kept, {now.count(Decision.DISCARD)} discarded, "
        f"{now.count(*FAILED)} failed{waiting}"
    )


def spent(now: Present) -> str:
    if not now.spent.tokens:
        return ""
    return f"{now.spent.usd:.2f} USD, {now.spent.usd_today:.2f} today, {now.spent.tokens:,} tokens"


def one_row(now: Present, row: Summary, *, narrow: bool = False) -> str:
    by_number = {other.number: other.val_bpb for other in now.rows}
    before = by_number.get(row.champion) if row.champion is not None else None
    gain = f"{row.val_bpb - before:+.5f}" if row.val_bpb is not None and before is not None else ""
    what = row.decision.value if row.decision else row.phase.value
    style = STYLE[row.decision] if row.decision else "dim"
    score = f"{row.val_bpb:.5f}" if row.val_bpb is not None else "–"
    text = escape(clean(row.hypothesis, 200))
    size = "" if narrow else f" {gain:>9}"
    return f"{row.number:>4} [{style}]{what:<9}[/] {score:>8}{size}  {text}"


def facts(now: Present) -> dict[str, Any]:
    """For programs."""
    running = now.doing
    return {
        "lab": now.name,
        "branch": now.branch,
        "champion": now.champion.number if now.champion else None,
        "val_bpb": now.champion.val_bpb if now.champion else None,
        "experiments": sum(row.decision is not None for row in now.rows),
        "kept": now.count(Decision.KEEP),
        "usd": now.spent.usd,
        "waiting": now.waiting,
        "now": None
        if running is None
        else {
            "state": running.state,
            "experiment": running.number,
            "for_seconds": round(running.for_seconds, 1),
            "seconds": running.limit_seconds,
            "paused": running.paused,
            "claimed": asdict(running.claimed) if running.claimed else None,
        },
    }
