"""The file must parse, within bounds that are checked on its tokens before any parser sees it."""

from __future__ import annotations

import ast
import tokenize
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from policies.interface import Finding, Submission
from policies.tokens import read_tokens, tokens

MAX_PARSED_BYTES = 256 * 1024
MAX_DEPTH = 50  # unless policy.yaml says otherwise
PARSERS_DEPTH = 80  # whatever it says
MAX_CHAIN = 400
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")
_CHAINING_WORDS = frozenset({"not", "lambda", "if", "else", "elif", "and", "or", "await", "for", "in", "is"})


class Unparsable(Exception):  # noqa: N818 - what the file is
    """The file cannot be parsed, or not safely; ``line`` and ``column`` count from 1, 0 is unknown."""

    def __init__(self, line: int, column: int, message: str, instead: str) -> None:
        super().__init__(message)
        self.line, self.column, self.message, self.instead = line, column, message, instead


@dataclass(frozen=True, slots=True, kw_only=True)
class Syntax:
    """Parses, nested at most ``max_depth`` deep in brackets and indentation together."""

    max_depth: int = MAX_DEPTH

    SENTENCE: ClassVar[str] = "Parses, and nests no deeper than a parser can bear."

    @property
    def name(self) -> str:
        return "syntax"

    def check(self, submission: Submission) -> Sequence[Finding]:
        patch = submission.patch
        try:
            check_nesting(patch, self.max_depth)
            parse(patch)
        except Unparsable as error:
            return [
                Finding(
                    rule=self.name, line=error.line, column=error.column, message=error.message, instead=error.instead
                )
            ]
        return []


cached_tokens = lru_cache(maxsize=2)(tokens)  # several rules look at the same patch, one after the other


@lru_cache(maxsize=2)
def parse(patch: bytes) -> ast.Module:
    """Parse ``patch``; callers must not change the tree.

    Raises:
        Unparsable: it is too long, nests or chains too deeply, or is not Python.
    """
    check_nesting(patch, PARSERS_DEPTH)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on odd escapes in strings: nobody to read them here
            return ast.parse(patch.decode("utf-8"))  # decoded, so that no cookie is obeyed
    except SyntaxError as error:
        message = f"is not valid Python: {error.msg}"
        raise Unparsable(error.lineno or 0, max(0, error.offset or 0), message, "mend the syntax") from None
    except (ValueError, RecursionError, MemoryError) as error:  # NUL, a huge number; too deep for the parser
        message = f"cannot be parsed ({type(error).__name__})"
        raise Unparsable(0, 0, message, "write the change more plainly") from None


def check_nesting(patch: bytes, max_depth: int) -> None:
    """Bound what makes parsers recurse: brackets, indentation, and operators without a comma between them.

    Raises:
        Unparsable: there is too much of it, or it cannot be split into tokens.
    """
    if len(patch) > MAX_PARSED_BYTES:
        raise Unparsable(0, 0, f"has more than {MAX_PARSED_BYTES} bytes", "shorten the file")
    try:
        deepest, longest = _measured(patch)
        if deepest > max_depth or longest > MAX_CHAIN:
            _point_out(patch, max_depth)
    except tokenize.TokenError as error:
        line = error.args[1][0]
        raise Unparsable(line, 0, f"is not valid Python: {error.args[0]}", "mend the syntax") from None
    except SyntaxError as error:
        raise Unparsable(error.lineno or 0, 0, f"is not valid Python: {error.msg}", "mend the syntax") from None
    except ValueError:
        raise Unparsable(0, 0, "is not UTF-8", "save the file as UTF-8") from None


@lru_cache(maxsize=2)
def _measured(patch: bytes) -> tuple[int, int]:
    """The deepest nesting and the longest chain, up to where either is more than anybody may allow."""
    depth = chain = deepest = longest = 0
    # What cannot be tokenised to its end has no cached tokens; it is read again for the error and its place.
    for item in cached_tokens(patch) or read_tokens(patch):
        depth += _deeper(item)
        chain = _chained(item, chain)
        deepest, longest = max(deepest, depth), max(longest, chain)
        if deepest > PARSERS_DEPTH or longest > MAX_CHAIN:
            break
    return deepest, longest


def _point_out(patch: bytes, max_depth: int) -> None:
    """Raise for the first thing that is too much."""
    depth = chain = 0
    for item in cached_tokens(patch) or read_tokens(patch):
        depth += _deeper(item)
        chain = _chained(item, chain)
        if depth > max_depth:
            _too_much(item, f"nests more than {max_depth} levels deep", "use a helper function or a variable")
        if chain > MAX_CHAIN:
            _too_much(item, f"chains more than {MAX_CHAIN} operators in one expression", "use a loop")


def _deeper(item: tokenize.TokenInfo) -> int:
    if item.type == tokenize.OP:
        return (item.string in _OPEN) - (item.string in _CLOSE)
    return (item.type == tokenize.INDENT) - (item.type == tokenize.DEDENT)


def _chained(item: tokenize.TokenInfo, chain: int) -> int:
    """How long the present run of operators is. A comma or the end of a statement ends it."""
    if item.type == tokenize.NEWLINE or (item.type == tokenize.OP and item.string in (",", ";")):
        return 0
    chains = item.type == tokenize.OP or (item.type == tokenize.NAME and item.string in _CHAINING_WORDS)
    return chain + chains


def _too_much(item: tokenize.TokenInfo, message: str, instead: str) -> None:
    raise Unparsable(item.start[0], item.start[1] + 1, message, instead)
