"""The seam of the policies: what a rule is given and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

TRAIN_PY = "train.py"
PLAIN_MODE = 0o100644  # as git writes it: a regular file, not executable


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
class Named:
    """A file as the proposer named it; ``mode`` as git writes it, e.g. 0o100644, or 0o120000 for a symlink."""

    path: str
    mode: int


PLAIN_TRAIN_PY = (Named(path=TRAIN_PY, mode=PLAIN_MODE),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """An earlier experiment on the same base, and how it ended: ``discard``, ``crash`` ..."""

    experiment: int
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """All that a rule may look at.

    ``patch`` is the whole new train.py, ``base`` the file it replaces (empty for a baseline, which replaces nothing),
    ``files`` what the proposer said it changes, ``tried`` the earlier programs on this base by their fingerprint.
    """

    patch: bytes
    base: bytes
    files: tuple[Named, ...] = PLAIN_TRAIN_PY
    tried: Mapping[str, Tried] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the policies found in a patch, and which rules looked at it.

    ``rules`` names an unsafe escape hatch that was open, e.g. ``imports (unsafe_allow_imports: einops)``.
    ``fingerprint`` stands for the program without its layout; it is empty for what is no program. ``saved_nodes`` is by
    how many nodes its syntax tree is smaller than the one it replaces; 0 where there are not two programs.
    """

    rules: tuple[str, ...]
    findings: tuple[Finding, ...]
    fingerprint: str = ""
    saved_nodes: int = 0

    @property
    def allowed(self) -> bool:
        """An empty set of rules refuses: nobody looked."""
        return bool(self.rules) and not self.findings


class Policy(Protocol):
    """A rule: pure, total, and fast. Raising is answered by the caller with a refusal."""

    @property
    def name(self) -> str: ...

    def check(self, submission: Submission) -> Sequence[Finding]:
        """Return the findings in ``submission``."""
        ...
