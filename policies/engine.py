"""Run the rules over a patch. A rule that raises refuses; an empty set of rules refuses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policies.interface import Finding, Policy, Verdict

MAX_FINDINGS = 50


def check(patch: bytes, base: bytes, rules: Sequence[Policy]) -> Verdict:
    """What the rules find in ``patch``, the whole new train.py, against ``base``, the file it replaces."""
    findings = [finding for rule in rules for finding in _ask(rule, patch, base)]
    return Verdict(rules=tuple(rule.name for rule in rules), findings=tuple(findings[:MAX_FINDINGS]))


def _ask(rule: Policy, patch: bytes, base: bytes) -> Iterator[Finding]:
    try:
        yield from list(rule.check(patch, base))
    except Exception as error:  # noqa: BLE001 - a rule that cannot look must not let pass, whatever broke it
        yield Finding(
            rule=rule.name,
            line=0,
            column=0,
            message=f"the rule could not check this file ({type(error).__name__}), so it is refused",
            instead="a plainer file",
        )
