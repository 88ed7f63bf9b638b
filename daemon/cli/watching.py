"""Looking on while a lab works, and at what a night brought."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.common import HERE, JsonOption, LabOption, app, open_lab
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
    text = printing.report(open_lab(lab), since, datetime.now(UTC), form)
    if out is None:
        typer.echo(text, nl=False)
    else:
        typer.echo(printing.written(text, out))
