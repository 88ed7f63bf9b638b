"""The text of the file must read the same to people, to these rules and to Python."""

from __future__ import annotations

import re
import tokenize
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from policies.interface import Finding, Submission
from policies.syntax import cached_tokens

_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*[-\w.]+")  # PEP 263, counted in the first two lines
_FORMATTED = re.compile(r"[rR]?[fF]")  # the prefix of an f-string: f, F, rf, fr ...
# Blank to the eye though not of a category that says so: joiners, fillers, variation selectors.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
# Control, format (bidi, zero-width, tags), surrogate, private, unassigned, line and paragraph separators.
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_PLAIN_CONTROLS = "\n\t"


@dataclass(frozen=True, slots=True)
class Text:
    """UTF-8 without cookie, BOM, CR, controls or invisible characters; ASCII outside strings and comments."""

    SENTENCE: ClassVar[str] = (
        "Reads the same to people and to Python: UTF-8, no cookie, BOM, CR or unseen character, ASCII in code."
    )

    @property
    def name(self) -> str:
        return "text"

    def check(self, submission: Submission) -> Sequence[Finding]:
        patch = submission.patch
        if patch.startswith(b"\xef\xbb\xbf"):
            return [_finding(1, 1, "the file begins with a byte order mark", "remove it")]
        try:
            text = patch.decode("utf-8")
        except UnicodeDecodeError as error:
            line = patch.count(b"\n", 0, error.start) + 1
            return [_finding(line, 0, f"byte {patch[error.start]:#04x} is not UTF-8", "save the file as UTF-8")]
        findings = [*_cookies(patch), *_unseen(text)]
        return findings or list(_non_ascii_code(patch))


def _finding(line: int, column: int, message: str, instead: str) -> Finding:
    return Finding(rule="text", line=line, column=column, message=message, instead=instead)


def _cookies(patch: bytes) -> Iterator[Finding]:
    for number, line in enumerate(patch.split(b"\n", 2)[:2], start=1):
        if _COOKIE.match(line):
            yield _finding(number, 1, "a coding cookie changes how the file is read", "remove it: the file is UTF-8")


def _unseen(text: str) -> Iterator[Finding]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.isascii() and line.isprintable():
            continue
        for column, character in enumerate(line, start=1):
            if _is_unseen(character):
                what = f"the invisible or control character U+{ord(character):04X}"
                yield _finding(number, column, what, "remove it, or write it as an escape inside a string")
                break


def _is_unseen(character: str) -> bool:
    if character in _PLAIN_CONTROLS:
        return False
    return unicodedata.category(character) in _UNSEEN_CATEGORIES or bool(_BLANK.match(character))


def _non_ascii_code(patch: bytes) -> Iterator[Finding]:
    """Python folds look-alikes (NFKC) in names, so ``ｅｘｅｃ`` runs exec: names are ASCII here."""
    if patch.isascii():
        return
    items = cached_tokens(patch)
    if not items:
        yield _finding(0, 0, "cannot be split into tokens", "mend the syntax")
    for item in items:
        if not item.string.isascii() and _is_code(item):
            line, column = item.start
            yield _finding(line, column + 1, "a name or operator that is not ASCII", "use ASCII in code")


def _is_code(item: tokenize.TokenInfo) -> bool:
    """Strings and comments may hold any visible text; what an f-string puts between braces is code again."""
    if item.type == tokenize.STRING:
        return bool(_FORMATTED.match(item.string)) and _code_between_braces(item.string)
    return item.type != tokenize.COMMENT and tokenize.tok_name[item.type] != "FSTRING_MIDDLE"


def _code_between_braces(literal: str) -> bool:
    depth = 0
    for character in literal.replace("{{", "").replace("}}", ""):
        depth += (character == "{") - (character == "}")
        if depth > 0 and not character.isascii():
            return True
    return False
