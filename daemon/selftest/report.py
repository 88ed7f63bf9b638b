"""The results of the attacks as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.text import clean

BEGIN, END = "<!-- attacks: begin (generated) -->", "<!-- attacks: end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackResult:
    """One attack, what was expected and what was seen: in the sandbox without policies, and by the policies alone."""

    name: str
    title: str
    layer: str
    expected: str
    verdict: str
    detail: str
    correct: bool
    policies_expected: str
    policies: str
    policies_correct: bool
    residual: str
    seconds: float

    @property
    def group(self) -> str:
        return self.name.partition("/")[0]


def render(results: Iterable[AttackResult]) -> str:
    """A Markdown table, a row an attack. A verdict that is not the expected one stands in bold."""
    rows = list(results)
    head = ["| attack | stopped by | sandbox alone | policies alone |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *map(_row, rows), "", tally(rows)]) + "\n"


def _row(row: AttackResult) -> str:
    verdict = row.verdict if row.correct else f"**{row.verdict}, not {row.expected}**"
    residual = f" (residual risk {row.residual})" if row.residual else ""
    found = row.policies.replace(" | ", ", ")
    policies = found if row.policies_correct else f"**{found}, not {row.policies_expected.replace(' | ', ' or ')}**"
    return f"| {_cell(row.title)} | {_cell(row.layer)} | {_cell(verdict + residual)} | {_cell(policies)} |"


def _cell(text: str) -> str:
    return clean(text, 300).replace("|", "\\|")


def tally(rows: Sequence[AttackResult]) -> str:
    """One line: how many were run and how many went wrong."""
    wrong = sum(not row.correct for row in rows)
    static = sum(not row.policies_correct for row in rows)
    return f"{len(rows)} attacks: {wrong} with a wrong verdict in the sandbox, {static} by the policies alone."


def facts(row: AttackResult) -> Mapping[str, Any]:
    """For JSON; every text in it is clean."""
    return {
        "attack": row.name,
        "title": row.title,
        "layer": row.layer,
        "expected": row.expected,
        "verdict": row.verdict,
        "detail": clean(row.detail, 300),
        "correct": row.correct,
        "policies_expected": row.policies_expected,
        "policies": row.policies,
        "policies_correct": row.policies_correct,
        "residual": row.residual,
        "seconds": round(row.seconds, 1),
    }


def inserted(page: str, table: str) -> str:
    """``page`` with ``table`` between the two markers.

    Raises:
        ValueError: the page lacks them.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for the table of attacks")
    return f"{before}{begin}\n\n{table}\n{end}{after}"
