"""Hostile text in every place that a terminal shows; plain lines without a terminal."""

from __future__ import annotations

import io
import time

from rich.console import Console

from daemon.console import ConsoleObserver
from daemon.model import Decision, Experiment, Outcome, Patch, Phase, Proposal, Summary
from daemon.observe import Claimed, ExperimentClosed, FaultSeen, PhaseEntered, Recovered
from daemon.table import one_line, table

HOSTILE = "[bold red]x[/] \x1b]0;title\x07 \u202e \x1b[2J [/nope] 中"


def experiment(decision: Decision) -> Experiment:
    return Experiment(
        number=3, arena="a", base_commit="b", champion=0, phase=Phase.CLOSED, opened_at="t",
        proposal=Proposal(hypothesis=HOSTILE, patch=Patch(train_py=b"", base_commit="b"), proposer="p"),
        outcome=Outcome(decision=decision, reason=HOSTILE),
    )  # fmt: skip


def summary(number: int) -> Summary:
    values: dict[str, object] = dict.fromkeys(Summary.__dataclass_fields__, None)
    values |= {
        "number": number,
        "phase": Phase.CLOSED,
        "decision": Decision.KEEP,
        "hypothesis": HOSTILE,
        "val_bpb": 1.5,
    }
    return Summary(**values)  # type: ignore[arg-type]


def drawn(terminal: bool, width: int = 60) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=terminal, width=width, color_system=None), file


def test_markup_and_escapes_are_text() -> None:
    console, file = drawn(terminal=False)
    for decision in Decision:
        console.print(one_line(experiment(decision), 1.0), soft_wrap=True)
    table([summary(1)], console)
    observer = ConsoleObserver(console)
    observer.notify(FaultSeen(message=HOSTILE, retry_seconds=5.0))
    observer.notify(ExperimentClosed(experiment=experiment(Decision.CRASH), champion_bpb=None))
    observer.notify(Recovered(finished=[1], interrupted=[2], reaped=["c"]))
    text = file.getvalue()
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "[bold red]x[/]" in text
    assert "after an unclean end: finished #1" in text


def test_the_table_is_whole_when_piped_and_cut_on_a_terminal() -> None:
    console, file = drawn(terminal=False)
    table([summary(1), summary(2)], console)
    assert all(len(line) > 60 for line in file.getvalue().splitlines()[1:])
    console, file = drawn(terminal=True)
    table([summary(1), summary(2)], console)
    assert len(file.getvalue().splitlines()) == 3


def test_the_bar_runs_and_goes() -> None:
    console, file = drawn(terminal=True)
    with ConsoleObserver(console).drawing() as observer:
        observer.notify(PhaseEntered(number=3, phase="training", seconds=20.0, hypothesis=HOSTILE))
        time.sleep(0.4)
        observer.notify(ExperimentClosed(experiment=experiment(Decision.KEEP), champion_bpb=1.0))
    assert "training" in file.getvalue()
    assert "keep" in file.getvalue()


def test_a_line_says_that_it_trains_where_there_is_no_bar() -> None:
    console, file = drawn(terminal=False)
    observer = ConsoleObserver(console)
    for phase in ("starting", "training", "scoring"):
        observer.notify(PhaseEntered(number=3, phase=phase, seconds=20.0, hypothesis=HOSTILE))
    assert file.getvalue().startswith("… training #3, 20 s: [bold red]x[/] \\x1b]0;title")
    assert file.getvalue().count("\n") == 1
    console, file = drawn(terminal=True)
    ConsoleObserver(console).notify(PhaseEntered(number=3, phase="training", seconds=20.0, hypothesis=HOSTILE))
    assert file.getvalue() == ""


def test_the_bar_shows_what_the_training_claims() -> None:
    console, file = drawn(terminal=True, width=80)
    with ConsoleObserver(console).drawing() as observer:
        observer.notify(Claimed(number=3, step=1, loss=9.0, tokens_per_second=1.0))  # nothing is drawn yet
        observer.notify(PhaseEntered(number=3, phase="training", seconds=20.0))
        observer.notify(Claimed(number=3, step=7, loss=3.25, tokens_per_second=12345.0))
        time.sleep(0.4)
    assert "loss 3.250, 12,345 tok/s" in file.getvalue()
