"""The command ``autoresearch``: the composition root. Every verb is a few lines over the parts it names."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from daemon import credentials, logs, output
from daemon.lab import Lab
from daemon.lifecycle import StopFlag
from daemon.model import OurFault, UserError
from daemon.text import clean
from sandbox.interface import Cancelled, SandboxUnavailable

app = typer.Typer(
    name="autoresearch",
    help="Language-model research that runs by itself: sandboxed experiments, a referee's score, a git branch.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
image_app = typer.Typer(help="The image that trials run in.", no_args_is_help=True)
app.add_typer(image_app, name="image")
policy_app = typer.Typer(help="The rules that look at a patch before anything is run.", no_args_is_help=True)
app.add_typer(policy_app, name="policy")
program_app = typer.Typer(help="program.md, the people's brief to the proposer.", no_args_is_help=True)
app.add_typer(program_app, name="program")
selftest_app = typer.Typer(help="Attack this installation, to see that its wall holds here.", no_args_is_help=True)
app.add_typer(selftest_app, name="selftest")

LabOption = Annotated[Path, typer.Option("--lab", help="The lab's folder.", show_default="here")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
HERE = Path()
MAX_MESSAGE_CHARACTERS = 2000


def main() -> None:
    """Entry point: a user's mistake is one sentence on stderr and a non-zero exit, never a traceback."""
    logs.configure()
    os.umask(os.umask(0o022) | 0o022)  # nothing that is made here may be written by others
    try:
        app(obj=credentials.withdraw())
    except (UserError, SandboxUnavailable) as error:
        _fail(str(error), 2)
    except OurFault as error:
        _fail(f"{error}. Nothing was lost; run the same command again when it is mended.", 1)
    except (Cancelled, KeyboardInterrupt):
        _fail("stopped; nothing was lost", 130)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", 1)


def _fail(message: str, code: int) -> None:
    text = f"autoresearch: {clean(message, MAX_MESSAGE_CHARACTERS)}"
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="The folder to make; it becomes a git repository.")],
    profile: Annotated[Literal["cpu", "gpu"], typer.Option(help="Which constants and model size to begin with.")],
    tag: Annotated[str, typer.Option(help="Name of the branch autoresearch/<tag>.", show_default="today")] = "",
) -> None:
    """Make a lab: train.py, prepare.py, program.md, lab.toml and policy.yaml in a git repository."""
    from daemon.lab import init as make_lab

    make_lab(directory, profile, tag or datetime.now().strftime("%b%d").lower())
    typer.echo(f"made the lab {directory} (profile {profile}); next: autoresearch prepare --sample --lab {directory}")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def prepare(context: typer.Context, lab: LabOption = HERE) -> None:
    """Prepare the lab's data by its own prepare.py: --sample, --source DIR, or --shards N; --verify rehashes."""
    from daemon.research import run_prepare

    sys.exit(run_prepare(Lab(lab), context.args))


@app.command()
def run(
    context: typer.Context,
    experiments: Annotated[int, typer.Option(min=0, help="How many experiments to run, the baseline not counted.")],
    lab: LabOption = HERE,
) -> None:
    """Run experiments. Ctrl-C stops cleanly: what was decided stays, what was running is taken up next time."""
    from daemon.research import research

    with _stopping() as stop:
        decided = research(lab, experiments, stop, Console(), context.obj)
    if stop():
        raise Cancelled
    if decided < experiments:
        why = "the proposer has nothing left, or a cap or program.md says that this is enough"
        typer.echo(f"{decided} of {experiments} experiments: {why}")


@app.command()
def status(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """The champion and all experiments so far."""
    output.status(_lab(lab), Console(), as_json=as_json)


@app.command()
def show(number: int, lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """One experiment: hypothesis, decision, timings, audit, diff, the end of its log."""
    output.show(_lab(lab), number, Console(), as_json=as_json)


@app.command()
def diff(number: int, lab: LabOption = HERE) -> None:
    """What one experiment changed in train.py."""
    output.diff(_lab(lab), number, Console())


@app.command()
def trial(
    file: Annotated[Path, typer.Argument(help="A whole train.py.")], lab: LabOption = HERE, as_json: JsonOption = False
) -> None:
    """Train and score one train.py in the sandbox. Touches neither git nor the ledger."""
    from daemon.research import one_trial

    with _stopping() as stop:
        result = one_trial(lab, file, stop, Console(stderr=True))
    output.trial(result, Console(), as_json=as_json)
    sys.exit(0 if result.status == "ok" else 3)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A whole train.py.")], lab: LabOption = HERE, as_json: JsonOption = False
) -> None:
    """What the policies say of a train.py, against the lab's champion. Runs nothing; exits with 3 if refused."""
    from daemon import findings
    from daemon.checking import check_file
    from daemon.lab import lab_or_none

    verdict = check_file(lab_or_none(lab), file)
    findings.verdict(verdict, file, Console(), as_json=as_json)
    sys.exit(0 if verdict.allowed else 3)


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="A whole train.py.")],
    hypothesis: Annotated[str, typer.Option(help="What the change should do, in one sentence.")],
    lab: LabOption = HERE,
) -> None:
    """Hand in a patch: it is tried before the proposer is asked again. Prints its ticket."""
    from daemon.handing_in import submit as hand_in

    typer.echo(hand_in(_lab(lab), file, hypothesis))


@app.command("wait")
def wait_for(
    ticket: str,
    seconds: Annotated[float, typer.Option(min=0, help="How long to wait at most.")] = 3600.0,
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Wait until a patch that was handed in is decided, and show it. Exits with 4 when it is not by then."""
    from daemon.handing_in import wait

    with _stopping() as stop:
        number = wait(_lab(lab), ticket, seconds, stop)
    if number is None:
        typer.echo(f"ticket {ticket} is not decided yet", err=True)
        sys.exit(4)
    output.show(_lab(lab), number, Console(), as_json=as_json)


@app.command()
def mcp(lab: LabOption = HERE) -> None:
    """Serve the lab's desk to a coding agent over MCP, on standard input and output."""
    from daemon.lab_desk import serve_mcp

    serve_mcp(_lab(lab))


@program_app.command("show")
def program_show(number: int, lab: LabOption = HERE) -> None:
    """The text of program.md that an experiment ran under."""
    with _lab(lab).ledger() as ledger:
        output.program(ledger.program(number), Console())


@policy_app.command("explain")
def policy_explain(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """The active rules, what each is for, and its settings."""
    from daemon import findings
    from daemon.checking import explain
    from daemon.lab import lab_or_none

    findings.rules(explain(lab_or_none(lab)), Console(), as_json=as_json)


@app.command()
def plot(
    lab: LabOption = HERE,
    to: Annotated[
        Path | None, typer.Option(help="The picture to write.", show_default="progress.png in the lab")
    ] = None,
) -> None:
    """Draw progress.png: every attempt, and the staircase of the running best."""
    from daemon.research import draw

    typer.echo(draw(_lab(lab), to))


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

    with _stopping() as stop:
        rows = attack_lab(lab, quick=quick, only=only or None, stop=stop)
        all_held = findings.attacks(rows, Console(), as_json=as_json, page=table)
    if stop():
        raise Cancelled
    sys.exit(0 if all_held else 1)


@image_app.command("build")
def image_build(
    variant: Annotated[Literal["cpu", "cuda"], typer.Option(help="Which torch to install.")] = "cpu",
    base: Annotated[str, typer.Option(help="Base image with Python 3.11.", show_default="see Dockerfile.train")] = "",
    force: Annotated[bool, typer.Option(help="Build even when the image is up to date.")] = False,
) -> None:
    """Build the sandbox image, without network, from wheels that were downloaded with their hashes."""
    from daemon.image_build import build

    began = time.monotonic()
    for line in build(variant, base or None, force=force):
        typer.echo(f"[{time.monotonic() - began:5.0f} s] {line}")


@image_app.command("check")
def image_check(variant: Annotated[Literal["cpu", "cuda"], typer.Option()] = "cpu") -> None:
    """Say whether the engine has the image of these sources; exits with 2 when it has not."""
    from daemon.walls import find_image
    from sandbox.docker_engine import Engine
    from sandbox.image import image_tag

    find_image(Engine(), image_tag(variant))
    typer.echo(f"{image_tag(variant)} is up to date")


def _lab(directory: Path) -> Lab:
    return Lab(directory)


@contextmanager
def _stopping() -> Iterator[StopFlag]:
    with StopFlag().listening() as stop:
        yield stop
