"""An experiment as one line for people: in rich markup with its text escaped. Quick to load, unlike a progress bar."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from daemon.arenas import LONG
from daemon.model import Decision, Experiment, Summary
from daemon.text import clean

STYLE = {
    Decision.KEEP: "bold green",
    Decision.DISCARD: "dim",
    Decision.REFUSED: "yellow",
    Decision.CRASH: "red",
    Decision.TIMEOUT: "red",
    Decision.INVALID: "magenta",
}


def one_line(experiment: Experiment, champion_bpb: float | None) -> str:
    """``#3  keep     1.512345  -0.031200  hypothesis``."""
    decision = experiment.decision
    if decision is None:
        return f"#{experiment.number}  {experiment.phase.value}"
    score = f"{experiment.val_bpb:.6f}" if experiment.val_bpb is not None else "   —    "
    gain = (
        f"{experiment.val_bpb - champion_bpb:+.6f}"
        if experiment.val_bpb is not None and champion_bpb is not None
        else "         "
    )
    text = clean(experiment.hypothesis, 100)
    if experiment.outcome is not None and decision not in (Decision.KEEP, Decision.DISCARD):
        text = f"{text} ({clean(experiment.outcome.reason, 160)})"
    style = STYLE[decision]
    return f"#{experiment.number:<3d} [{style}]{decision.value:<8s}[/] {score}  {gain}  {escape(text)}"


def table(summaries: Iterable[Summary], console: Console) -> None:
    """Print the experiments, one line each: cut to the terminal's width, whole where there is no terminal."""
    _row(console, f"[bold]{'#':>4s}  {'decision':<11s}  {'val_bpb':>8s}  {'gain':>9s}  what[/]")
    best: float | None = None
    for row in summaries:
        gain = row.val_bpb - best if row.val_bpb is not None and best is not None else None
        decision = row.decision.value if row.decision else row.phase.value
        style = STYLE[row.decision] if row.decision else "dim"
        if row.proposer == LONG:  # of another arena: it has a score, and gained nothing on anybody
            decision, gain = (LONG if row.decision is Decision.DISCARD else decision), None
        score = f"{row.val_bpb:.6f}" if row.val_bpb is not None else "—"
        change = f"{gain:+.6f}" if gain is not None else ""
        what = escape(clean(row.hypothesis, 200))
        _row(console, f"{row.number:>4d}  [{style}]{decision:<11s}[/]  {score:>8s}  {change:>9s}  {what}")
        if row.decision is Decision.KEEP and row.val_bpb is not None:
            best = row.val_bpb


def _row(console: Console, text: str) -> None:
    if console.is_terminal:
        console.print(text, highlight=False, no_wrap=True, overflow="ellipsis")
    else:
        console.print(text, highlight=False, soft_wrap=True)
