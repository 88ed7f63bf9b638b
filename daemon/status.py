"""What a lab has come to, on one screen: the champion, the table, and what the running daemon is at."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape

from daemon import arenas, control, cost, held
from daemon.decide import Noise
from daemon.evidence import Evidence
from daemon.lab import Lab
from daemon.ledger import Ledger
from daemon.model import Summary
from daemon.output import facts, print_json
from daemon.table import table
from daemon.text import clean

MAX_TOLD = 200
FOLLOW_SECONDS = 1.0
CHANGING = ("state", "experiment", "reason", "ahead", "paused", "stopping", "decided")


def status(lab: Lab, console: Console, *, as_json: bool) -> None:
    """The champion, the counts and the table; what the daemon says to those who may ask it and not read the lab."""
    if lab.state.exists() and not os.access(lab.state, os.R_OK | os.W_OK | os.X_OK):
        standing(control.ask(lab.control_socket, {"verb": "status"}), console, as_json=as_json)
        return
    with lab.ledger() as ledger:
        rows = ledger.summaries()
        champion = arenas.champion(ledger)
        noise = _noise(ledger, rows)
    account = cost.spent(rows, datetime.now(UTC).strftime("%Y-%m-%d"))
    waiting = sum(1 for _ in lab.inbox.waiting())
    now = control.situation(lab.control_socket)
    disk = held.last(lab.state)
    if as_json:
        print_json(
            {
                "lab": str(lab.directory),
                "branch": f"autoresearch/{lab.settings.tag}",
                "champion": facts(champion) if champion else None,
                "noise": asdict(noise) if noise else None,
                "cost": asdict(account),
                "waiting": waiting,
                "now": now,
                "disk": asdict(disk) if disk else None,
                "experiments": [_row_facts(row) for row in rows],
            }
        )
        return
    if not rows:
        hint = "start some with `autoresearch run --experiments 5`"
        console.print(f"no experiments in {lab.directory} yet; {hint}", soft_wrap=True)
    else:
        table(rows, console)
    if champion is not None and champion.val_bpb is not None:
        where = f"branch autoresearch/{lab.settings.tag}, commit {(champion.commit or '')[:10]}"
        console.print(
            f"\nchampion #{champion.number}: val_bpb [bold]{champion.val_bpb:.6f}[/] ({where})", soft_wrap=True
        )
    for line in _about(noise, account, disk, waiting, now):
        console.print(line, highlight=False, soft_wrap=True)


def _about(
    noise: Noise | None, account: cost.Spent, disk: held.Held | None, waiting: int, now: Mapping[str, Any] | None
) -> Iterator[str]:
    """What stands below the table, as far as there is something to say."""
    if noise is not None:
        about = "; programs differ in it" if noise.heteroscedastic else ""
        yield f"one run varies by σ = {noise.sigma_bpb:.5f} ({noise.runs} runs{about})"
    if account.tokens:
        yield _account(account)
    if disk is not None:
        yield _disk(disk)
    if waiting:
        yield f"{waiting} handed-in patches wait"
    if now is not None:
        yield _now(now)


def _row_facts(row: Summary) -> dict[str, Any]:
    return {
        "number": row.number,
        "arena": row.arena,
        "phase": row.phase,
        "decision": row.decision,
        "val_bpb": row.val_bpb,
        "gain_bpb": row.gain_bpb,
        "trials": row.trials,
        "rivals": row.rivals,
        "hypothesis": clean(row.hypothesis, 500),
        "commit": row.commit,
    }


def standing(now: Mapping[str, Any], console: Console, *, as_json: bool) -> None:
    """What the running daemon says it is at, on one line."""
    if as_json:
        print(json.dumps(now, ensure_ascii=False), flush=True)
    else:
        console.print(_now(now), highlight=False, soft_wrap=True)


def follow(lab: Lab, console: Console, stop: Callable[[float], bool], *, as_json: bool) -> None:
    """Say what the running daemon is at whenever that changes, until it ends or ``stop`` says so.

    Raises:
        UserError: nothing runs in this lab, or you may not ask it.
    """
    told: tuple[object, ...] = ()
    while True:
        try:
            now = control.ask(lab.control_socket, {"verb": "status"})
        except control.NothingRuns:
            if not told:
                raise
            return
        if told != (new := tuple(now[key] for key in CHANGING)):
            told = new
            standing(now, console, as_json=as_json)
        if stop(FOLLOW_SECONDS):
            return


def _now(now: Mapping[str, Any]) -> str:
    """What the running daemon is at."""
    state, number = clean(str(now["state"]), 40), now["experiment"]
    limit = f" of {now['seconds']:.0f}" if now["seconds"] else ""
    what = f" #{int(number)} ({now['for_seconds']:.0f}{limit} s)" if number is not None else ""
    about = clean(str(now["reason"] or now["hypothesis"]), 300)
    flags = ", ".join(name for name in ("paused", "stopping") if now[name])
    return f"now: {state}{what}{f': {escape(about)}' if about else ''}{f' ({flags})' if flags else ''}"


def _disk(disk: held.Held) -> str:
    """What the lab held when it was last measured, the largest first."""
    largest = sorted(disk.bytes.items(), key=lambda one: -one[1])
    parts = ", ".join(f"{clean(kind, 20)} {size / 2**20:.0f}" for kind, size in largest if size >= 2**20)
    return f"disk: {sum(disk.bytes.values()) / 2**20:.0f} MiB{f' ({parts})' if parts else ''} at {clean(disk.at, 40)}"


def _account(account: cost.Spent) -> str:
    parts = [f"cost: {account.usd:.2f} USD, {account.usd_today:.2f} of it today (UTC), {account.tokens:,} tokens"]
    if account.usd_per_keep is not None:
        parts.append(f"{account.usd_per_keep:.2f} USD per kept experiment")
    if account.usd_per_gain is not None:
        parts.append(f"{account.usd_per_gain:.2f} USD per 0.01 bits per byte gained")
    return "; ".join(parts)


def _noise(ledger: Ledger, rows: Sequence[Summary]) -> Noise | None:
    """From the newest programs that ran more than once: enough to know it by, and soon read."""
    arena = arenas.current(ledger)
    told = [row for row in rows if row.arena == arena and (row.trials > 1 or row.rivals)]
    return Evidence(ledger, arena, told[-MAX_TOLD:]).noise() if arena and told else None
