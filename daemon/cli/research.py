"""Making a lab, running experiments in it, and handing patches in."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from daemon import output
from daemon.cli.common import HERE, JsonOption, LabOption, app, open_lab, say, stopping
from daemon.lab import Lab
from daemon.lifecycle import stopped_by_signals
from daemon.model import UserError
from sandbox.interface import Cancelled


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
    experiments: Annotated[
        int | None, typer.Option(min=0, help="How many experiments to run, the baseline not counted.")
    ] = None,
    long: Annotated[
        float | None, typer.Option("--long", metavar="SECONDS", help="Instead: train a champion for so long, once.")
    ] = None,
    experiment: Annotated[
        int | None, typer.Option("--experiment", help="Which, with --long.", show_default="the champion")
    ] = None,
    lab: LabOption = HERE,
) -> None:
    """Run experiments. Ctrl-C stops cleanly: what was decided stays, what was running is taken up next time."""
    if (experiments is None) == (long is None) or (experiment is not None and long is None):
        raise UserError("say --experiments N, or --long SECONDS (with --experiment N for another than the champion)")
    if experiments is None:
        _train_long(lab, long or 0.0, experiment)
        return
    from daemon.research import research
    from daemon.steering import Steering

    steering = Steering()
    with stopped_by_signals(steering):
        decided = research(lab, experiments, steering, Console(), context.obj)
    if steering.stopping:
        raise Cancelled
    if decided < experiments:
        why = "the proposer has nothing left, or a cap or program.md says that this is enough"
        typer.echo(f"{decided} of {experiments} experiments: {why}")


def _train_long(lab: Path, seconds: float, number: int | None) -> None:
    from daemon import longer

    with stopping() as stop:
        done = longer.train_long(lab, seconds, longer.sandboxed(stop, Console(stderr=True)), number)
    output.show(open_lab(lab), done.number, Console(), as_json=False)
    sys.exit(0 if done.val_bpb is not None else 3)


@app.command()
def trial(
    file: Annotated[Path, typer.Argument(help="A whole train.py.")], lab: LabOption = HERE, as_json: JsonOption = False
) -> None:
    """Train and score one train.py in the sandbox. Touches neither git nor the ledger."""
    from daemon.research import one_trial

    with stopping() as stop:
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
    as_json: JsonOption = False,
) -> None:
    """Hand in a patch: it is tried before the proposer is asked again. Prints its ticket."""
    from daemon.handing_in import submit as hand_in

    ticket = hand_in(open_lab(lab), file, hypothesis)
    say(ticket, as_json=as_json, ticket=ticket)


@app.command("wait")
def wait_for(
    ticket: str,
    seconds: Annotated[float, typer.Option(min=0, help="How long to wait at most.")] = 3600.0,
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Wait until a patch that was handed in is decided, and show it. Exits with 4 when it is not by then."""
    from daemon.handing_in import wait

    with stopping() as stop:
        number = wait(open_lab(lab), ticket, seconds, stop)
    if number is None:
        typer.echo(f"ticket {ticket} is not decided yet", err=True)
        sys.exit(4)
    output.show(open_lab(lab), number, Console(), as_json=as_json)


@app.command()
def mcp(lab: LabOption = HERE) -> None:
    """Serve the lab's desk to a coding agent over MCP, on standard input and output."""
    from daemon.lab_desk import serve_mcp

    serve_mcp(open_lab(lab))
