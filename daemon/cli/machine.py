"""This machine and its wall: what is missing, whether it holds, the image, the rules."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from daemon.cli.common import HERE, JsonOption, LabOption, app, busy, image_app, policy_app, say, selftest_app, stopping
from daemon.lab import Lab
from sandbox.interface import Cancelled


@app.command()
def doctor(
    context: typer.Context,
    lab: LabOption = HERE,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Try the lab's sandbox from inside, anew.")] = False,
    as_json: JsonOption = False,
) -> None:
    """What is missing on this machine, and the command that mends it. Exits with 1 when something is."""
    from daemon import findings

    if sandbox:
        from daemon.selfcheck import again

        with busy("small programs try the wall from inside"):
            report = again(Lab(lab))
        findings.self_check(report, Console(), as_json=as_json)
        sys.exit(0 if report.ok else 1)
    from daemon.doctor import FAILURE, examine
    from daemon.lab import lab_or_none

    checks = list(examine(lab_or_none(lab), context.obj))
    findings.checks(checks, Console(), as_json=as_json)
    sys.exit(1 if any(check.level == FAILURE for check in checks) else 0)


@selftest_app.command("attack")
def selftest_attack(
    lab: LabOption = HERE,
    quick: Annotated[bool, typer.Option("--quick", help="A few of every kind, in a few minutes.")] = False,
    only: Annotated[str, typer.Option(help="Only attacks whose name holds this.")] = "",
    table: Annotated[Path | None, typer.Option(help="A Markdown page with marks to put the table between.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the attacks of the corpus in this lab's sandbox, policies off. Exits with 1 when one of them succeeds."""
    from daemon import findings
    from daemon.research import attack_lab

    with stopping() as stop:
        rows = attack_lab(lab, quick=quick, only=only or None, stop=stop)
        all_held = findings.attacks(rows, Console(), as_json=as_json, page=table)
    if stop():
        raise Cancelled
    sys.exit(0 if all_held else 1)


@policy_app.command("explain")
def policy_explain(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """The active rules, what each is for, and its settings."""
    from daemon import findings
    from daemon.checking import explain
    from daemon.lab import lab_or_none

    findings.rules(explain(lab_or_none(lab)), Console(), as_json=as_json)


@app.command()
def allow(lab: LabOption = HERE) -> None:
    """Print the proxy's allow file for this lab: what its daemon may ask the engine for. For compose.yml."""
    from daemon.allowing import write

    typer.echo(write(lab), nl=False)


@image_app.command("build")
def image_build(
    variant: Annotated[Literal["cpu", "cuda"], typer.Option(help="Which torch to install.")] = "cpu",
    base: Annotated[str, typer.Option(help="Base image with Python 3.11.", show_default="see Dockerfile.train")] = "",
    force: Annotated[bool, typer.Option(help="Build even when the image is up to date.")] = False,
) -> None:
    """Build the sandbox image, without network, from wheels that were downloaded with their hashes."""
    from daemon.image_build import build

    began, console = time.monotonic(), Console()
    with console.status("minutes, where nothing is there yet"):  # moves on a terminal alone
        for line in build(variant, base or None, force=force):
            console.print(f"[{time.monotonic() - began:5.0f} s] {line}", markup=False, highlight=False, soft_wrap=True)


@image_app.command("check")
def image_check(
    variant: Annotated[Literal["cpu", "cuda"], typer.Option()] = "cpu", as_json: JsonOption = False
) -> None:
    """Say whether the engine has the image of these sources; exits with 2 when it has not."""
    from daemon.walls import find_image
    from sandbox.docker_engine import Engine
    from sandbox.image import image_tag

    find_image(Engine(), image_tag(variant))
    say(f"{image_tag(variant)} is up to date", as_json=as_json, image=image_tag(variant), up_to_date=True)
