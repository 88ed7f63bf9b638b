"""It is Python, and not so deeply nested that reading it is an attack."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass

from policies.interface import Finding
from policies.tokens import tokens

_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Syntax:
    """The file parses, with brackets and blocks nested at most ``max_depth`` deep."""

    max_depth: int = 50
    name: str = "syntax"

    def check(self, patch: bytes, base: bytes) -> Sequence[Finding]:
        del base
        if deep := self._too_deep(patch):
            return [deep]
        try:
            ast.parse(patch)
        except SyntaxError as error:
            line, column = error.lineno or 0, error.offset or 0
            return [self._finding(line, column, f"not valid Python: {error.msg}", "valid Python")]
        except (ValueError, RecursionError, MemoryError) as error:
            return [self._finding(0, 0, f"cannot be parsed ({type(error).__name__})", "a plainer file")]
        return []

    def _too_deep(self, patch: bytes) -> Finding | None:
        """Measured on tokens before the parser sees the file: a chain of operators nests without brackets."""
        depth = chain = 0
        for token in tokens(patch):
            if token.string in _OPEN or token.type == tokenize.INDENT:
                depth += 1
            elif token.string in _CLOSE or token.type == tokenize.DEDENT:
                depth -= 1
            chain = 0 if token.type == tokenize.NEWLINE else chain + (token.type == tokenize.OP)
            if depth > self.max_depth or chain > 100 * self.max_depth:
                line, column = token.start
                return self._finding(line, column + 1, f"nested more than {self.max_depth} deep", "a flatter program")
        return None

    def _finding(self, line: int, column: int, message: str, instead: str) -> Finding:
        return Finding(rule=self.name, line=line, column=column, message=message, instead=instead)
