"""What the verbs share: the command itself, its groups, its options, and how to be stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from daemon.lab import Lab
from daemon.lifecycle import StopFlag

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


def open_lab(directory: Path) -> Lab:
    return Lab(directory)


def say(sentence: str, *, as_json: bool, **facts: object) -> None:
    """What a verb has done: a sentence for people, or these facts for programs."""
    typer.echo(json.dumps(facts, ensure_ascii=False) if as_json else sentence)


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Something moves on the terminal while inside, for what may take seconds; nothing is printed elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


@contextmanager
def stopping() -> Iterator[StopFlag]:
    with StopFlag().listening() as stop:
        yield stop
