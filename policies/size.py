"""How much a file may hold: room for a program, none for memorised data."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from policies.interface import Finding
from policies.syntax import Unparsable, cached_tokens, parse

_DISPLAYS = (ast.List, ast.Tuple, ast.Set, ast.Dict)
_DATA = (*_DISPLAYS, ast.Constant, ast.UnaryOp, ast.unaryop, ast.expr_context)
_LITERAL_TOKENS = (tokenize.STRING, tokenize.NUMBER, getattr(tokenize, "FSTRING_MIDDLE", -1))  # the last: 3.12 on


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Bytes of the file, and characters of its longest literal: a string, a number, or a list of nothing else."""

    max_bytes: int = 65_536
    max_literal_characters: int = 4_096

    @property
    def name(self) -> str:
        return "size"

    def check(self, patch: bytes, base: bytes) -> Sequence[Finding]:  # noqa: ARG002 - judged by itself
        if len(patch) > self.max_bytes:
            message = f"has {len(patch)} bytes; {self.max_bytes} are allowed"
            return [self._finding(0, 0, message, "shorten the file; data belongs to the training split")]
        return list(self._literals(patch))

    def _literals(self, patch: bytes) -> Iterator[Finding]:
        for line, column, length in (*_tokens(patch), *_constants(patch)):
            if length > self.max_literal_characters:
                message = f"a literal of {length} characters; {self.max_literal_characters} are allowed"
                yield self._finding(line, column, message, "compute it, or learn it from the training split")
                return

    def _finding(self, line: int, column: int, message: str, instead: str) -> Finding:
        return Finding(rule=self.name, line=line, column=column, message=message, instead=instead)


def _tokens(patch: bytes) -> Iterator[tuple[int, int, int]]:
    """Line, column and length of each string and number as it is written."""
    for item in cached_tokens(patch):
        if item.type in _LITERAL_TOKENS:
            yield item.start[0], item.start[1] + 1, len(item.string)


def _constants(patch: bytes) -> Iterator[tuple[int, int, int]]:
    """The same of strings joined from several tokens and of displays that hold only literals."""
    try:
        tree = parse(patch)
    except Unparsable:
        return
    starts = _line_starts(patch)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            yield node.lineno, node.col_offset + 1, len(node.value)
        elif isinstance(node, _DISPLAYS) and all(isinstance(part, _DATA) for part in ast.walk(node)):
            end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
            yield node.lineno, node.col_offset + 1, end - starts[node.lineno - 1] - node.col_offset


def _line_starts(patch: bytes) -> list[int]:
    starts = [0]
    for line in patch.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts
