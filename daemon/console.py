"""What a person sees of the loop in a terminal: a bar per trial, one line per experiment. Plain lines elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from daemon.observe import (
    Claimed,
    Disturbed,
    Event,
    ExperimentClosed,
    FaultSeen,
    Notice,
    Paused,
    PhaseEntered,
    ProgramChanged,
    ProgramRefused,
    Recovered,
    SlotAwaited,
    TrialVoided,
    Withheld,
)
from daemon.table import one_line
from daemon.text import clean

TICK_SECONDS = 0.1


class ConsoleObserver:
    """Draws the loop's events; a bar only where there is a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("[bold]#{task.fields[number]}[/] {task.fields[phase]:<9s}", table_column=Column(min_width=13)),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:5.1f}/{task.total:.0f} s", table_column=Column(min_width=12, no_wrap=True)),
            TextColumn("{task.fields[text]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            expand=True,
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._stop = threading.Event()

    @contextmanager
    def drawing(self) -> Iterator[ConsoleObserver]:
        """Show the bar while inside."""
        ticker = threading.Thread(target=self._tick, daemon=True, name="console")
        with self._progress:
            ticker.start()
            try:
                yield self
            finally:
                self._stop.set()
                ticker.join()

    def _tick(self) -> None:
        while not self._stop.wait(TICK_SECONDS):
            if self._task is not None:
                self._progress.advance(self._task, TICK_SECONDS)

    def notify(self, event: Event) -> None:
        match event:
            case PhaseEntered():
                self._enter(event)
            case Claimed():
                self._claim(event)
            case ExperimentClosed():
                self._leave()
                self._console.print(one_line(event.experiment, event.champion_bpb), highlight=False, soft_wrap=True)
            case TrialVoided():
                self._leave()
                text = f"#{event.number}  void: {clean(event.reason, 300)}; the trial is run again"
                self._console.print(f"[yellow]{escape(text)}[/]", soft_wrap=True)
            case Notice():
                self._console.print(f"[yellow]{escape(clean(event.message, 500))}[/]", soft_wrap=True)
            case Withheld():
                self._leave()
                self._console.print(_withheld(event), soft_wrap=True)
            case FaultSeen():
                self._leave()
                again = f"; trying again in {event.retry_seconds:g} s" if event.retry_seconds else ""
                self._console.print(f"[yellow]{escape(clean(event.message, 500))}{again}[/]", soft_wrap=True)
            case SlotAwaited():
                self._leave()
                self._console.print(f"[yellow]{escape(clean(event.reason, 500))}[/]", soft_wrap=True)
            case Disturbed():
                text = f"not to be compared: {clean(event.reason, 500)}"
                self._console.print(f"[yellow]{escape(text)}[/]", soft_wrap=True)
            case Paused():
                self._leave()
                self._console.print(f"[yellow]paused: {escape(clean(event.reason, 500))}[/]", soft_wrap=True)
            case ProgramChanged():
                self._console.print(f"program.md {event.sha256[:10]} is in force from the next proposal on")
            case ProgramRefused():
                text = f"program.md is not taken, the last good one stays: {clean(event.reason, 500)}"
                self._console.print(f"[bold yellow]{escape(text)}[/]", soft_wrap=True)
            case Recovered():
                self._console.print(_recovered(event), soft_wrap=True)

    def _claim(self, event: Claimed) -> None:
        if self._task is not None:
            claims = f"loss {event.loss:.3f}, {event.tokens_per_second:,.0f} tok/s, it claims"
            self._progress.update(self._task, text=claims)

    def _enter(self, event: PhaseEntered) -> None:
        self._leave()
        if not self._console.is_terminal:
            self._tell(event)
        self._task = self._progress.add_task(
            event.phase,
            total=event.seconds,
            number=event.number,
            phase=event.phase,
            text=escape(clean(event.hypothesis, 60)),
        )

    def _tell(self, event: PhaseEntered) -> None:
        """A bar leaves no trace in a file; a line says that something goes on."""
        if event.phase == "training":
            what = escape(clean(event.hypothesis, 100))
            self._console.print(f"… training #{event.number}, {event.seconds:.0f} s: {what}", soft_wrap=True)

    def _leave(self) -> None:
        if self._task is not None:
            task, self._task = self._task, None
            self._progress.remove_task(task)


def _withheld(event: Withheld) -> str:
    number, reason = event.experiment.number, event.experiment.events[-1]
    return (
        f"[bold yellow]#{number}  {escape(clean(reason, 300))}[/]; look at it with `autoresearch show {number}`, "
        f"then `autoresearch approve {number}` or let it lie"
    )


def _recovered(event: Recovered) -> str:
    parts = []
    if event.finished:
        parts.append(f"finished {_numbers(event.finished)}, which had been decided")
    if event.interrupted:
        parts.append(f"marked {_numbers(event.interrupted)} as interrupted")
    if event.reaped:
        parts.append(f"removed {len(event.reaped)} leftover containers and volumes")
    return f"[yellow]after an unclean end: {'; '.join(parts)}[/]"


def _numbers(numbers: Iterable[int]) -> str:
    return ", ".join(f"#{number}" for number in numbers)
