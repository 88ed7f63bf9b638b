"""Looking at what was found: nothing here changes a lab."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from daemon import output
from daemon import status as standing
from daemon.cli.common import HERE, JsonOption, LabOption, app, open_lab, program_app, say, stopping


@app.command()
def status(
    lab: LabOption = HERE,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Draw it anew every second, until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """The champion and all experiments so far."""
    if not watch:
        standing.status(open_lab(lab), Console(), as_json=as_json)
        return
    with stopping() as stop:
        if as_json:
            standing.follow(open_lab(lab), Console(), stop.wait, as_json=True)
            return
        from daemon import watch as watching
        from daemon.live_log import sleeping

        watching.status(open_lab(lab), Console(), sleeping(stop))


@app.command()
def show(number: int, lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """One experiment: hypothesis, decision, timings, audit, diff, the end of its log."""
    output.show(open_lab(lab), number, Console(), as_json=as_json)


@app.command()
def diff(number: int, lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """What one experiment changed in train.py."""
    output.diff(open_lab(lab), number, Console(), as_json=as_json)


@program_app.command("show")
def program_show(number: int, lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """The text of program.md that an experiment ran under."""
    with open_lab(lab).ledger() as ledger:
        output.program(ledger.program(number), Console(), number=number, as_json=as_json)


@app.command()
def plot(
    lab: LabOption = HERE,
    to: Annotated[
        Path | None, typer.Option(help="The picture to write.", show_default="progress.png in the lab")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw progress.png: every attempt, and the staircase of the running best."""
    from daemon.research import draw

    picture = str(draw(open_lab(lab), to))
    say(picture, as_json=as_json, file=picture)
