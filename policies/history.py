"""A program that was tried before on the same base is not tried again. Layout and comments make no other program."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from policies.interface import Finding, Submission
from policies.syntax import Unparsable, parse

_FORM = b"1\n"  # raise when the same program would get another fingerprint


@dataclass(frozen=True, slots=True)
class History:
    """Neither the base itself nor a program that was tried on it, both without layout, comments and docstrings."""

    SENTENCE: ClassVar[str] = (
        "Is not the program it replaces, nor one already tried on it; layout and comments do not count."
    )

    @property
    def name(self) -> str:
        return "history"

    def check(self, submission: Submission) -> Sequence[Finding]:
        mine = identity(submission.patch).fingerprint
        if not mine:
            return [_finding("cannot be compared with earlier programs: it does not parse", "mend the syntax")]
        if submission.base and mine == identity(submission.base).fingerprint:
            message = "changes nothing but white space, comments and docstrings"
            return [_finding(message, "change what the program does")]
        if earlier := submission.tried.get(mine):
            message = f"the same program was tried in experiment {earlier.experiment} and ended as {earlier.outcome}"
            return [_finding(message, f"read what came of experiment {earlier.experiment}, and try another idea")]
        return []


def _finding(message: str, instead: str) -> Finding:
    return Finding(rule="history", line=0, column=0, message=message, instead=instead)


@dataclass(frozen=True, slots=True)
class Identity:
    """What stands for a program whatever its layout, comments and docstrings are.

    ``fingerprint`` is a sha256 over the syntax tree, ``nodes`` the number of its nodes; empty and 0 without a tree.
    """

    fingerprint: str = ""
    nodes: int = 0


@lru_cache(maxsize=4)  # a night's checks share their base
def identity(patch: bytes) -> Identity:
    """The identity of a program, without positions, docstrings and idle statements."""
    try:
        tree = parse(patch)
    except Unparsable:
        return Identity()
    parts, nodes = _parts(tree)
    content = _FORM + "\0".join(parts).encode("utf-8", errors="surrogatepass")
    return Identity(hashlib.sha256(content).hexdigest(), nodes)


def _parts(tree: ast.AST) -> tuple[list[str], int]:
    """The tree as a sequence of words, in prefix order and without recursion, and how many nodes it has. What is empty
    is left out, so that a later Python, whose nodes have more fields, gives the same fingerprint."""
    parts: list[str] = []
    nodes = 0
    work: list[object] = [tree]
    while work:
        item = work.pop()
        if isinstance(item, str):  # most of them: names of fields, and ends
            parts.append(item)
            continue
        nodes += isinstance(item, ast.AST)
        if isinstance(item, ast.Constant):
            parts.append(f"{type(item.value).__name__} {_value(item.value)}")
        elif isinstance(item, ast.AST):
            parts.append(f"({type(item).__name__}")
            work.append(_END)
            for name in reversed(item._fields):
                value = getattr(item, name, None)
                if value is not None and value != []:
                    work += (value, name)
        elif isinstance(item, list):
            work.append(_END)
            work.extend(part for part in reversed(item) if not _idle(part))
        else:
            parts.append(str(item))
    return parts, nodes


_END = ")"


def _value(value: object) -> str:
    return (
        hex(value) if isinstance(value, int) else repr(value)
    )  # decimal digits of a huge number are not for the asking


def _idle(statement: object) -> bool:
    """A docstring, a string in place of a comment, ``...`` or ``pass``."""
    if isinstance(statement, ast.Pass):
        return True
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
