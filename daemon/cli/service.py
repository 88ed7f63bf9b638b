"""The daemon, and how it is steered while it runs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from daemon.cli.common import HERE, JsonOption, LabOption, app, open_lab, say
from daemon.lab import Lab


@app.command()
def daemon(context: typer.Context, lab: LabOption = HERE) -> None:
    """Run experiments until told to stop: through outages, and waiting where there is nothing to do."""
    from daemon.service import run_daemon

    run_daemon(lab, Console(), context.obj)


@app.command()
def pause(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Let the running daemon begin no other experiment; the present one is finished."""
    _ask(open_lab(lab), "pause")
    text = "paused: the present experiment is finished, and no other begins until `autoresearch resume`"
    say(text, as_json=as_json, paused=True)


@app.command()
def resume(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Let a paused daemon go on."""
    _ask(open_lab(lab), "resume")
    say("resumed", as_json=as_json, paused=False)


@app.command()
def stop(
    lab: LabOption = HERE,
    now: Annotated[bool, typer.Option("--now", help="Abandon the present experiment; it is taken up again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Stop the running daemon when its present experiment is decided."""
    _ask(open_lab(lab), "stop", when="now" if now else "experiment")
    text = "stopping now" if now else "stopping when the present experiment is decided"
    say(text, as_json=as_json, stopping="now" if now else "experiment")


@app.command()
def skip(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Abandon the present experiment for good, and go on with another."""
    number = _ask(open_lab(lab), "skip")["skipped"]
    say(f"experiment {number} is abandoned", as_json=as_json, skipped=number)


@app.command()
def reload(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Let the running daemon read lab.toml and policy.yaml anew, after the present experiment."""
    _ask(open_lab(lab), "reload")
    say("the settings are read anew after the present experiment", as_json=as_json, reload=True)


@app.command()
def page(
    lab: LabOption = HERE,
    listen: Annotated[str, typer.Option(help="Address and port.", show_default="as [page] in lab.toml says")] = "",
) -> None:
    """Serve the lab's page, read-only, until Ctrl-C; a running daemon does that by itself."""
    from daemon.web.child import facts_of, listening_at
    from daemon.web.serve import serve

    opened = open_lab(lab)
    facts = facts_of(opened, listening_at(opened.settings.page, listen))
    typer.echo(f"http://{facts.place}/ shows {facts.directory}; Ctrl-C ends it")
    serve(facts)


def _ask(lab: Lab, verb: str, **fields: str) -> dict[str, object]:
    from daemon.control import ask

    return ask(lab.control_socket, {"verb": verb, **fields})
