"""What only a person may say or see: approvals, and the holdout."""

from __future__ import annotations

import getpass

from rich.console import Console

from daemon import output
from daemon.cli.common import HERE, JsonOption, LabOption, app, open_lab, say


@app.command()
def approve(number: int, lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Let a candidate that was too good to be kept by itself be tested once more, and kept if it is still good."""
    from daemon.approval import approve as give

    opened = open_lab(lab)
    with opened.ledger() as ledger:
        ticket = give(opened.state, ledger, opened.inbox, number, getpass.getuser())
    text = f"#{number} is tested again against the present champion, as ticket {ticket}"
    say(text, as_json=as_json, ticket=ticket)


@app.command()
def holdout(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Every look at the holdout so far, for people: how much worse champions do where nobody selects."""
    output.holdout(open_lab(lab), Console(), as_json=as_json)
