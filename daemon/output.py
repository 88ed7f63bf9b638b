"""What the verbs that only read print: for people with rich, for programs as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape

from daemon import control, cost
from daemon.lab import Lab
from daemon.ledger import Ledger
from daemon.model import Experiment, TrialResult
from daemon.table import one_line, table
from daemon.text import clean
from daemon.trial import LOG_TAIL_CHARACTERS

LOG_CHARACTERS = 4000
MAX_REASON_CHARACTERS = 600


def status(lab: Lab, console: Console, *, as_json: bool) -> None:
    """The champion, the counts and the table."""
    with lab.ledger() as ledger:
        rows = ledger.summaries()
        champion = _champion(ledger)
    account = cost.spent(rows, datetime.now(UTC).strftime("%Y-%m-%d"))
    waiting = sum(1 for _ in lab.inbox.waiting())
    now = control.situation(lab.control_socket)
    if as_json:
        print_json(
            {
                "lab": str(lab.directory),
                "branch": f"autoresearch/{lab.settings.tag}",
                "champion": _facts(champion) if champion else None,
                "cost": asdict(account),
                "waiting": waiting,
                "now": now,
                "experiments": [
                    {
                        "number": row.number,
                        "arena": row.arena,
                        "phase": row.phase,
                        "decision": row.decision,
                        "val_bpb": row.val_bpb,
                        "hypothesis": clean(row.hypothesis, 500),
                        "commit": row.commit,
                    }
                    for row in rows
                ],
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
    if account.tokens:
        console.print(_account(account), highlight=False, soft_wrap=True)
    if waiting:
        console.print(f"{waiting} handed-in patches wait", soft_wrap=True)
    if now is not None:
        console.print(_now(now), highlight=False, soft_wrap=True)


def _now(now: Mapping[str, Any]) -> str:
    """What the running daemon is at."""
    state, number = clean(str(now["state"]), 40), now["experiment"]
    limit = f" of {now['seconds']:.0f}" if now["seconds"] else ""
    what = f" #{int(number)} ({now['for_seconds']:.0f}{limit} s)" if number is not None else ""
    about = clean(str(now["reason"] or now["hypothesis"]), 300)
    flags = ", ".join(name for name in ("paused", "stopping") if now[name])
    return f"now: {state}{what}{f': {escape(about)}' if about else ''}{f' ({flags})' if flags else ''}"


def _account(account: cost.Spent) -> str:
    parts = [f"cost: {account.usd:.2f} USD, {account.usd_today:.2f} of it today (UTC), {account.tokens:,} tokens"]
    if account.usd_per_keep is not None:
        parts.append(f"{account.usd_per_keep:.2f} USD per kept experiment")
    if account.usd_per_gain is not None:
        parts.append(f"{account.usd_per_gain:.2f} USD per 0.01 bits per byte gained")
    return "; ".join(parts)


def _champion(ledger: Ledger) -> Experiment | None:
    latest = ledger.latest()
    return ledger.champion(latest.arena) if latest else None


def show(lab: Lab, number: int, console: Console, *, as_json: bool) -> None:
    """Everything about one experiment."""
    with lab.ledger() as ledger:
        experiment = ledger.get(number)
        arena = ledger.arena(experiment.arena)
    change = _diff(lab, experiment)
    if as_json:
        print_json({**_facts(experiment), "diff": clean(change, 200_000, lines=True), "arena": arena.fingerprint})
        return
    console.print(one_line(experiment, None), soft_wrap=True)
    if experiment.outcome:
        console.print(f"      {escape(clean(experiment.outcome.reason, 500))}", highlight=False, soft_wrap=True)
    where = f"commit {experiment.commit or '—'}, base {experiment.base_commit[:10]}, arena {arena.fingerprint}"
    console.print(f"      {where}", highlight=False, soft_wrap=True)
    if experiment.verdict:
        for finding in experiment.verdict.findings:
            where = f"{finding.rule} {finding.line}:{finding.column}"
            text = f"{where} {clean(finding.message, 300)}. Instead: {clean(finding.instead, 300)}"
            console.print(f"      {escape(text)}", soft_wrap=True)
    for trial_result in experiment.trials:
        _trial_lines(trial_result, console)
    if change:
        console.rule("diff", align="left")
        _print_diff(change, console)
    if experiment.trials and experiment.trials[-1].log_tail:
        console.rule("end of the log (claimed by train.py, believed by nobody)", align="left")
        console.print(_end_of_log(experiment.trials[-1]), highlight=False)


def program(text: str, console: Console, *, number: int, as_json: bool = False) -> None:
    """A program.md as it was; cleaned for a terminal, byte for byte when piped."""
    if as_json:
        print_json({"number": number, "program": clean(text, 200_000, lines=True)})
        return
    if console.is_terminal:
        console.print(escape(clean(text, 200_000, lines=True)), highlight=False)
    else:
        console.file.write(text)


def diff(lab: Lab, number: int, console: Console, *, as_json: bool = False) -> None:
    """The change of one experiment as a diff; plain when piped, so that `git apply` takes it."""
    with lab.ledger() as ledger:
        change = _diff(lab, ledger.get(number))
    if as_json:
        print_json({"number": number, "diff": clean(change, 200_000, lines=True)})
        return
    if console.is_terminal:
        _print_diff(change, console)
    else:
        console.file.write(change)


def _print_diff(change: str, console: Console) -> None:
    from rich.syntax import Syntax  # it brings half a thousand lexers

    console.print(Syntax(clean(change, 200_000, lines=True), "diff", background_color="default"))


def _diff(lab: Lab, experiment: Experiment) -> str:
    return lab.workspace.diff(experiment.base_commit, experiment.commit) if experiment.commit else ""


def trial(result: TrialResult, console: Console, *, as_json: bool) -> None:
    """The result of one trial."""
    if as_json:
        print_json(_trial_facts(result))
        return
    _trial_lines(result, console)
    if result.status != "ok" and result.log_tail:
        console.print(_end_of_log(result), highlight=False)


def _end_of_log(result: TrialResult) -> str:
    return escape(clean(result.log_tail, LOG_CHARACTERS, lines=True, tail=True))


def _trial_lines(result: TrialResult, console: Console) -> None:
    score = f"val_bpb [bold]{result.val_bpb:.6f}[/] on {result.tokens:,} tokens" if result.score else ""
    reason = escape(clean(result.reason, 500))
    console.print(f"      trial {result.status.value}  {score}{reason}", highlight=False, soft_wrap=True)
    console.print(
        f"      start-up {result.startup_seconds:.1f} s, trained {result.train_wall_seconds:.1f} s, scored in "
        f"{result.score_seconds:.1f} s, {result.total_seconds:.1f} s in all; seed {result.seed}",
        highlight=False,
        soft_wrap=True,
    )
    if result.score:
        audit = result.score.audit
        console.print(
            f"      audit: {audit['moved']} of {audit['cuts']} cuts moved, corrected val_bpb "
            f"{result.score.corrected_bpb:.6f}; {escape(str(audit['power']))}",
            highlight=False,
            soft_wrap=True,
        )


def _facts(experiment: Experiment) -> dict[str, Any]:
    return {
        "number": experiment.number,
        "phase": experiment.phase,
        "decision": experiment.decision,
        "reason": clean(experiment.outcome.reason, MAX_REASON_CHARACTERS) if experiment.outcome else None,
        "val_bpb": experiment.val_bpb,
        "hypothesis": clean(experiment.hypothesis, 500),
        "proposer": experiment.proposal.proposer if experiment.proposal else None,
        "commit": experiment.commit,
        "base_commit": experiment.base_commit,
        "opened_at": experiment.opened_at,
        "closed_at": experiment.closed_at,
        "trials": [_trial_facts(result) for result in experiment.trials],
    }


def _trial_facts(result: TrialResult) -> dict[str, Any]:
    return {
        "status": result.status,
        "reason": clean(result.reason, MAX_REASON_CHARACTERS),
        "val_bpb": result.val_bpb,
        "corrected_bpb": result.score.corrected_bpb if result.score else None,
        "claimed_bpb": result.claimed_bpb,
        "claimed": dict(result.claimed or {}),
        "tokens": result.tokens,
        "audit": dict(result.score.audit) if result.score else None,
        "seed": result.seed,
        "exit_code": result.exit_code,
        "startup_seconds": round(result.startup_seconds, 3),
        "charged_seconds": round(result.charged_seconds, 3),
        "train_wall_seconds": round(result.train_wall_seconds, 3),
        "score_seconds": round(result.score_seconds, 3),
        "total_seconds": round(result.total_seconds, 3),
        "log_tail": clean(result.log_tail, LOG_TAIL_CHARACTERS, lines=True, tail=True),
    }


def print_json(value: Mapping[str, Any]) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))
