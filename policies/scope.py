"""A proposal changes one plain file, train.py, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from policies.interface import PLAIN_MODE, TRAIN_PY, Finding, Named, Submission

_KINDS = {0o120000: "a symlink", 0o160000: "a submodule", 0o040000: "a folder", 0o100755: "an executable file"}
_INSTEAD = "propose the whole new text of train.py, as one plain file"


@dataclass(frozen=True, slots=True)
class Scope:
    """Exactly one file, called train.py, of mode 100644."""

    SENTENCE: ClassVar[str] = "Changes train.py and nothing else: no other path, no symlink, no executable bit."

    @property
    def name(self) -> str:
        return "scope"

    def check(self, submission: Submission) -> Sequence[Finding]:
        files = submission.files
        if not files:
            return [_finding("names no file at all")]
        findings = [_finding(what) for named in files for what in _objections(named)]
        if not findings and len(files) > 1:
            findings = [_finding(f"names {TRAIN_PY} {len(files)} times")]
        return findings


def _objections(named: Named) -> Iterator[str]:
    path = ascii(named.path[:80])
    if named.path != TRAIN_PY:
        yield f"names the file {path}; only {TRAIN_PY} may be changed"
    if named.mode != PLAIN_MODE:
        kind = _KINDS.get(named.mode, f"of mode {named.mode:o}")
        yield f"makes {path} {kind}; it must be a plain file of mode {PLAIN_MODE:o}"


def _finding(message: str) -> Finding:
    return Finding(rule="scope", line=0, column=0, message=message, instead=_INSTEAD)
