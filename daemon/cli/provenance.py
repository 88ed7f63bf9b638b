"""The verbs that vouch for a lab, take its results elsewhere, and clear up after it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from daemon.cli.common import HERE, JsonOption, LabOption, app, busy, open_lab, say, stopping
from daemon.lifecycle import lab_lock


@app.command()
def verify(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Do the ledger, git and the lab's files tell one story? Exits with 1 and names the first thing that does not."""
    from daemon import verify as verifying

    with busy("checking ledger, git and files"):
        report = verifying.verify(open_lab(lab))
    verifying.show(report, Console(), as_json=as_json)
    sys.exit(0 if report.ok else 1)


@app.command()
def export(
    form: Annotated[Literal["parquet", "csv", "jsonl"], typer.Option("--format", help="Parquet has typed columns.")],
    output: Annotated[
        Path | None, typer.Option(help="The file to write.", show_default="experiments.FORMAT in the lab")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Write one row for each experiment, for DuckDB, pandas or a spreadsheet."""
    from daemon.export import export as write

    with busy("writing the experiments"):
        path, rows = write(open_lab(lab), form, output, force=force)
    say(f"wrote {rows} experiments to {path}", as_json=as_json, file=str(path), experiments=rows)


@app.command()
def replay(
    number: int,
    runs: Annotated[int | None, typer.Option(help="How often.", show_default="as often as it was run")] = None,
    other_arena: Annotated[bool, typer.Option("--other-arena", help="Even under other conditions.")] = False,
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Run an experiment again, with the seeds it had. Writes nothing down; exits with 3 when it ends otherwise."""
    from daemon import replaying

    with stopping() as stop:
        start = replaying.sandboxed(stop, Console(stderr=True))
        done = replaying.replay(lab, number, start, runs=runs, other_arena=other_arena)
    replaying.show(done, Console(), as_json=as_json)
    sys.exit(0 if done.ended_alike else 3)


@app.command()
def promote(
    number: Annotated[int | None, typer.Argument(help="A kept experiment.", show_default="the champion")] = None,
    branch: Annotated[str, typer.Option(help="The branch of yours that gets the commit.")] = "main",
    message: Annotated[str, typer.Option(help="What its message begins with.", show_default="the hypothesis")] = "",
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Bring the champion's train.py onto a branch of yours, as one commit to review."""
    from daemon.promote import promote as bring
    from daemon.promote import sentence

    done = bring(open_lab(lab), number, branch=branch, title=message)
    say(sentence(done), as_json=as_json, **asdict(done))


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Remove what piles up: folders of runs, stale temporary files and locks, old models, volumes and images."""
    from daemon import retention, tidying

    opened = open_lab(lab)
    opened.check_owner()
    with lab_lock(opened.state, "gc"):
        done = retention.collect(opened, dry_run=dry_run)
        if not dry_run:
            tidying.measure(opened)
    retention.show(done, Console(), as_json=as_json, dry_run=dry_run)
