"""Runs the rules over a patch. Fails closed: no rules, a rule that raises, a rule that returns rubbish all refuse."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from policies.history import identity
from policies.interface import Finding, Policy, Submission, Verdict

MAX_FINDINGS_PER_RULE = 20


def check(submission: Submission, rules: Sequence[Policy]) -> Verdict:
    """Return what all rules find in ``submission``."""
    findings = tuple(finding for rule in rules for finding in _ask(rule, submission))
    names = tuple(rule.name for rule in rules)
    program, base = identity(submission.patch), identity(submission.base)
    saved = base.nodes - program.nodes if submission.base and base.nodes and program.nodes else 0
    return Verdict(rules=names, findings=findings, fingerprint=program.fingerprint, saved_nodes=saved)


def _ask(rule: Policy, submission: Submission) -> list[Finding]:
    try:
        found = list(islice(rule.check(submission), MAX_FINDINGS_PER_RULE))
        if all(isinstance(finding, Finding) for finding in found):
            return found
        problem = "it answered with something that is no finding"
    except Exception as error:  # noqa: BLE001 - whatever a rule trips over in a hostile file, nobody has checked it
        problem = f"it stopped with {type(error).__name__}"
    return [
        Finding(
            rule=rule.name,
            line=0,
            column=0,
            message=f"could not check: refused ({problem})",
            instead="write the change more plainly, or report this as a fault of the rule",
        )
    ]
