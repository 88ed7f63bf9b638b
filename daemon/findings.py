"""What the verbs that examine something print: policies, the doctor, the self-check, the attacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from daemon import selftest
from daemon.doctor import Check
from daemon.files import write_atomically
from daemon.model import UserError
from daemon.output import print_json
from daemon.selftest import AttackResult
from daemon.text import clean
from policies.interface import Finding, Verdict
from sandbox.conformance import Report, Standing


def verdict(found: Verdict, file: Path, console: Console, *, as_json: bool) -> None:
    """What the policies found in a file: one line a finding, in the form that editors jump to."""
    if as_json:
        print_json(
            {"allowed": found.allowed, "rules": list(found.rules), "findings": [_finding(f) for f in found.findings]}
        )
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


def rules(found: Sequence[tuple[str, str, Mapping[str, object]]], console: Console, *, as_json: bool) -> None:
    """The active policy rules."""
    if as_json:
        print_json({"rules": [{"rule": name, "purpose": what, "settings": dict(how)} for name, what, how in found]})
        return
    for name, what, how in found:
        console.print(f"[bold]{escape(name)}[/]  {escape(what)}", highlight=False, soft_wrap=True)
        for key, value in how.items():
            console.print(f"    {escape(f'{key}: {value}')}", highlight=False, soft_wrap=True)
    if not found:
        console.print("[bold red]no rule is active: every proposal is refused[/]")


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
        print_json({"checks": [{"name": c.name, "level": c.level, "detail": clean(c.detail, 600)} for c in rows]})
        return
    style = {"ok": "green", "warning": "yellow", "failure": "bold red"}
    for check in rows:
        mark = f"[{style[check.level]}]{check.level:<8s}[/]"
        console.print(f"{mark} {check.name:<12s} {escape(clean(check.detail, 600))}", highlight=False, soft_wrap=True)


def attacks(found: Iterable[AttackResult], console: Console, *, as_json: bool, page: Path | None = None) -> bool:
    """The attacks as they come in, a line each, and the tally; returns whether every one was answered as expected.

    Raises:
        UserError: ``page`` has no place for the table.
    """
    rows = []
    for row in found:
        rows.append(row)
        if not as_json:
            mark = "[green]held  [/]" if row.correct and row.policies_correct else "[bold red]WRONG [/]"
            text = f"{row.name:<44s} {row.verdict} ({row.layer}); policies: {row.policies}; {row.seconds:.0f} s"
            console.print(f"{mark} {escape(clean(text, 300))}", highlight=False, soft_wrap=True)
    if as_json:
        print_json({"attacks": [dict(selftest.facts(row)) for row in rows]})
    else:
        console.print(escape(selftest.tally(rows)), highlight=False, soft_wrap=True)
    if page is not None:
        _put_table(page, rows)
    return bool(rows) and all(row.correct and row.policies_correct for row in rows)


def _put_table(page: Path, rows: Sequence[AttackResult]) -> None:
    try:
        text = selftest.inserted(page.read_text(encoding="utf-8"), selftest.render(rows))
    except ValueError as error:
        raise UserError(f"{page}: {error}") from error
    write_atomically(page, text.encode())


def self_check(report: Report, console: Console, *, as_json: bool) -> None:
    """What the sandbox's self-check found: what failed and what is absent in full, what holds as a count."""
    if as_json:
        print_json(
            {
                "ok": report.ok,
                "runtime": report.runtime,
                "kernel": clean(report.kernel, 80),
                "seconds": report.seconds,
                "checks": [
                    {
                        "role": c.role,
                        "name": c.name,
                        "standing": c.standing,
                        "expected": c.expected,
                        "seen": clean(c.seen, 300),
                        "why": c.why,
                    }
                    for c in report.checks
                ],
            }
        )
        return
    for standing, style in ((Standing.FAILED, "bold red"), (Standing.ABSENT, "yellow")):
        for c in report.of(standing):
            text = f"{c.role}: {c.name}: expected {c.expected}, seen {clean(c.seen, 200)} ({c.why})"
            console.print(f"[{style}]{standing.value:<18s}[/] {escape(text)}", highlight=False, soft_wrap=True)
    holds = len(report.of(Standing.ENFORCED))
    where = f"{report.runtime} on {clean(report.kernel, 80)}, {report.seconds:g} s"
    console.print(
        f"[green]{Standing.ENFORCED.value:<18s}[/] {holds} of {len(report.checks)} assertions ({escape(where)})",
        highlight=False,
        soft_wrap=True,
    )
