"""The seam of the policies: what a rule is given and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing a rule objects to.

    ``line`` and ``column`` count from 1; 0 means the finding is about the whole file.
    """

    rule: str
    line: int
    column: int
    message: str
    instead: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the policies found in a patch, and which rules looked at it."""

    rules: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def allowed(self) -> bool:
        """An empty set of rules refuses: nobody looked."""
        return bool(self.rules) and not self.findings


class Policy(Protocol):
    """A rule: pure, total, and fast. Raising is answered by the caller with a refusal."""

    @property
    def name(self) -> str: ...

    def check(self, patch: bytes, base: bytes) -> Sequence[Finding]:
        """Return the findings in ``patch``, the whole new train.py; ``base`` is the file it replaces."""
        ...
