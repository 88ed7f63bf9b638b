"""What the verbs that only read print: for people with rich, for programs as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax

from daemon.console import one_line, table
from daemon.doctor import Check
from daemon.lab import Lab
from daemon.ledger import Ledger
from daemon.model import Experiment, TrialResult
from daemon.text import clean
from daemon.trial import LOG_TAIL_CHARACTERS
from policies.interface import Finding, Verdict

LOG_CHARACTERS = 4000
MAX_REASON_CHARACTERS = 600


def status(lab: Lab, console: Console, *, as_json: bool) -> None:
    """The champion, the counts and the table."""
    with lab.ledger() as ledger:
        rows = ledger.summaries()
        champion = _champion(ledger)
    if as_json:
        _json(
            {
                "lab": str(lab.directory),
                "branch": f"autoresearch/{lab.settings.tag}",
                "champion": _facts(champion) if champion else None,
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
        console.print(f"no experiments in {lab.directory} yet; start some with `autoresearch run --experiments 5`")
        return
    table(rows, console)
    if champion is not None and champion.val_bpb is not None:
        where = f"branch autoresearch/{lab.settings.tag}, commit {(champion.commit or '')[:10]}"
        console.print(f"\nchampion #{champion.number}: val_bpb [bold]{champion.val_bpb:.6f}[/] ({where})")


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
        _json({**_facts(experiment), "diff": clean(change, 200_000, lines=True), "arena": arena.fingerprint})
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
        console.print(Syntax(clean(change, 200_000, lines=True), "diff", background_color="default"))
    if experiment.trials and experiment.trials[-1].log_tail:
        console.rule("end of the log (claimed by train.py, believed by nobody)", align="left")
        console.print(_end_of_log(experiment.trials[-1]), highlight=False)


def diff(lab: Lab, number: int, console: Console) -> None:
    """The change of one experiment as a diff; plain when piped, so that `git apply` takes it."""
    with lab.ledger() as ledger:
        change = _diff(lab, ledger.get(number))
    if console.is_terminal:
        console.print(Syntax(clean(change, 200_000, lines=True), "diff", background_color="default"))
    else:
        console.file.write(change)


def _diff(lab: Lab, experiment: Experiment) -> str:
    return lab.workspace.diff(experiment.base_commit, experiment.commit) if experiment.commit else ""


def trial(result: TrialResult, console: Console, *, as_json: bool) -> None:
    """The result of one trial."""
    if as_json:
        _json(_trial_facts(result))
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


def verdict(found: Verdict, file: Path, console: Console, *, as_json: bool) -> None:
    """What the policies found in a file: one line a finding, in the form that editors jump to."""
    if as_json:
        _json({"allowed": found.allowed, "rules": list(found.rules), "findings": [_finding(f) for f in found.findings]})
        return
    for f in found.findings:
        text = f"{file}:{f.line}:{f.column}: {f.rule}: {clean(f.message, 300)}. Instead: {clean(f.instead, 300)}"
        console.print(escape(clean(text, 1000)), highlight=False, soft_wrap=True)
    if found.allowed:
        console.print(f"[green]allowed[/] by {escape(', '.join(found.rules))}", highlight=False, soft_wrap=True)
    else:
        count = len(found.findings)
        why = f"{count} finding{'s' if count != 1 else ''}" if found.rules else "no rule is switched on"
        console.print(f"[bold red]refused[/]: {why}", highlight=False, soft_wrap=True)


def _finding(f: Finding) -> dict[str, Any]:
    return {
        "rule": f.rule,
        "line": f.line,
        "column": f.column,
        "message": clean(f.message, 300),
        "instead": clean(f.instead, 300),
    }


def checks(found: Iterable[Check], console: Console, *, as_json: bool) -> None:
    """What the doctor found."""
    rows = list(found)
    if as_json:
        _json({"checks": [{"name": c.name, "level": c.level, "detail": clean(c.detail, 600)} for c in rows]})
        return
    style = {"ok": "green", "warning": "yellow", "failure": "bold red"}
    for check in rows:
        mark = f"[{style[check.level]}]{check.level:<8s}[/]"
        console.print(f"{mark} {check.name:<12s} {escape(clean(check.detail, 600))}", highlight=False, soft_wrap=True)


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


def _json(value: Mapping[str, Any]) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))
