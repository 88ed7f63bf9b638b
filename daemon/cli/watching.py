"""Looking on while a lab works, and at what a night brought."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from daemon.cli.common import HERE, JsonOption, LabOption, app, busy, open_lab, stopping
from daemon.model import UserError


@app.command()
def report(
    since: Annotated[str, typer.Option(help="How far back: 90m, 12h, 2d, or all.")] = "24h",
    html: Annotated[bool, typer.Option("--html", help="One HTML file, to open, mail or print.")] = False,
    markdown: Annotated[bool, typer.Option("--md", help="Markdown; the default.")] = False,
    out: Annotated[Path | None, typer.Option(help="The file to write.", show_default="standard output")] = None,
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """What a night brought: the gain, what was kept and why, what failed, cost, time, and what to try next."""
    from daemon.report import printing

    if html + markdown + as_json > 1:
        raise UserError("--html, --md and --json are three forms of one report; choose one")
    form: printing.Form = "html" if html else "json" if as_json else "md"
    with busy("reading the ledger"):
        text = printing.report(open_lab(lab), since, datetime.now(UTC), form)
    if out is None:
        typer.echo(text, nl=False)
    else:
        typer.echo(printing.written(text, out))


@app.command()
def top(
    labs: Annotated[list[Path], typer.Option("--lab", help="A lab's folder; give it several times.")] = [HERE],  # noqa: B006 - typer's way
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Several labs at a glance, one line each, until Ctrl-C."""
    from daemon import watch
    from daemon.live_log import sleeping
    from daemon.output import print_json
    from daemon.present import Onlooker

    opened = [open_lab(lab) for lab in labs]
    if as_json:
        print_json({"labs": [watch.facts(Onlooker(lab).look()) for lab in opened]})
        return
    if once:
        watch.glance(opened, Console())
        return
    with stopping() as stop:
        watch.top(opened, Console(), sleeping(stop))


@app.command()
def log(
    number: Annotated[
        int | None, typer.Argument(help="An experiment.", show_default="the one that runs, else the last")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as it grows; without a number, to the next.")
    ] = False,
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """The end of what a training printed. Its words are its own: nobody checked them."""
    from daemon import live_log
    from daemon.output import print_json

    opened = open_lab(lab)
    if as_json:
        found, text = live_log.log_of(opened, number)
        print_json({"number": found, "log": text})
        return
    if not follow:
        typer.echo(live_log.log_of(opened, number)[1])
        return
    with stopping() as stop:
        for piece in live_log.follow(opened, number, live_log.sleeping(stop)):
            typer.echo(piece, nl=False)
