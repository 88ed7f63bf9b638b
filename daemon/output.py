"""What the verbs that only read print: for people with rich, for programs as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape

from daemon.lab import Lab
from daemon.model import Experiment, TrialResult
from daemon.table import one_line
from daemon.text import clean
from daemon.trial import LOG_TAIL_CHARACTERS

LOG_CHARACTERS = 4000
MAX_REASON_CHARACTERS = 600


def show(lab: Lab, number: int, console: Console, *, as_json: bool) -> None:
    """Everything about one experiment."""
    with lab.ledger() as ledger:
        experiment = ledger.get(number)
        arena = ledger.arena(experiment.arena)
    change = _diff(lab, experiment)
    if as_json:
        print_json({**facts(experiment), "diff": clean(change, 200_000, lines=True), "arena": arena.fingerprint})
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


def holdout(lab: Lab, console: Console, *, as_json: bool) -> None:
    """The looks, oldest first."""
    with lab.ledger() as ledger:
        looks = ledger.looks()
    most = lab.settings.holdout.looks
    if as_json:
        print_json({"looks": [{**asdict(look), "gap_bpb": look.gap_bpb} for look in looks], "allowed": most})
        return
    for look in looks:
        console.print(
            f"#{look.number:<5d} {look.at}  holdout {look.holdout_bpb:.6f}  val {look.val_bpb:.6f}  "
            f"gap {look.gap_bpb:+.6f}",
            highlight=False,
            soft_wrap=True,
        )
    console.print(f"{len(looks)} of {most} looks are spent; nobody who proposes ever sees one", soft_wrap=True)


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


def facts(experiment: Experiment) -> dict[str, Any]:
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
