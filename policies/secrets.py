"""Nothing that looks like a credential: every patch becomes a commit, and commits are published."""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from policies.interface import Finding, Submission
from policies.program import Program, read
from policies.syntax import Unparsable

# Every repetition is bounded, or ends the match: a hostile line must not make them slow.
_KNOWN = {
    "an API key (sk-…)": r"\bsk-(?=[A-Za-z_-]{0,60}[0-9])[A-Za-z0-9_-]{20,}",
    "a Stripe key": r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",
    "an AWS access key": r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}\b",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,})",
    "a GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "a Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "a Google key": r"\bAIza[A-Za-z0-9_-]{35}",
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}",
    "a package index token": r"\b(?:pypi-[A-Za-z0-9_-]{40,}|npm_[A-Za-z0-9]{30,})",
    "a private key": r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY",
    "a JSON web token": r"\beyJ[A-Za-z0-9_-]{10,400}\.eyJ[A-Za-z0-9_-]{10,400}",
    "a password in an address": r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@'\"{}]{1,64}:[^\s/:@'\"{}]{3,128}@",
}
_NAMING = (ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.keyword, ast.Dict)
_ANY = [(kind, re.compile(pattern)) for kind, pattern in _KNOWN.items()]
_SECRET_NAME = re.compile(r"(?:^|_)(?:api_?key|key|token|secret|passw(?:or)?d|pwd|credentials?|auth|bearer)s?$", re.I)
_ONE_WORD = re.compile(r"[A-Za-z0-9_+=~-]{16,512}$")  # names of parameters have dots, paths have slashes
_MIN_DIGITS = 2
_MIN_BITS = 3.0  # a character; words of a language stay below it, or have no digits
_INSTEAD = "remove it and have it revoked: an experiment needs no credential, and its file is published"


@dataclass(frozen=True, slots=True)
class Secrets:
    """No known form of credential anywhere, and no random-looking text under a name such as key, token or secret."""

    SENTENCE: ClassVar[str] = "Holds nothing that looks like a key, a token or a password, in code, text or comments."

    @property
    def name(self) -> str:
        return "secrets"

    def check(self, submission: Submission) -> Sequence[Finding]:
        findings = list(_known(submission.patch))
        try:
            program = read(submission.patch)
        except Unparsable:  # the known forms were looked for; the rest is for the syntax rule
            return findings
        return findings + [finding for finding in _named(program) if finding.line not in {f.line for f in findings}]


def _known(patch: bytes) -> Iterator[Finding]:
    """The finding names the kind and never the text: findings are stored and shown."""
    for number, line in enumerate(patch.decode("utf-8", errors="replace").split("\n"), start=1):
        for kind, pattern in _ANY:
            if match := pattern.search(line):
                yield _finding(number, match.start() + 1, f"holds what looks like {kind}")
                break


def _named(program: Program) -> Iterator[Finding]:
    for place in program.places:
        if not isinstance(place.node, _NAMING):
            continue
        for name, value in _assigned(place.node):
            if _SECRET_NAME.search(name) and isinstance(value, ast.Constant) and _looks_random(value.value):
                yield _finding(
                    value.lineno, value.col_offset + 1, "gives a random-looking text a name like a credential's"
                )


def _assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    if isinstance(node, ast.Assign):
        yield from ((_name_of(target), node.value) for target in node.targets)
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
        yield _name_of(node.target), node.value
    elif isinstance(node, ast.keyword):
        yield node.arg or "", node.value
    elif isinstance(node, ast.Dict):
        yield from ((_name_of(key), value) for key, value in zip(node.keys, node.values, strict=True))


def _name_of(node: ast.expr | None) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript):
        return _name_of(node.slice)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _looks_random(value: object) -> bool:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str) or not _ONE_WORD.match(value):
        return False
    mixed = sum(c.isdigit() for c in value) >= _MIN_DIGITS and any(c.isalpha() for c in value)
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())
    return mixed and bits >= _MIN_BITS


def _finding(line: int, column: int, message: str) -> Finding:
    return Finding(rule="secrets", line=line, column=column, message=message, instead=_INSTEAD)
