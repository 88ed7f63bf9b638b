"""What a range comment says of a literal: ``log 0.005..0.2; words``. Pure; knows nothing of files.

The kinds are ``log low..high``, ``lin low..high``, ``int low..high`` and ``choice a b c``.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect
from dataclasses import dataclass, replace
from typing import Literal, cast

Value = bool | int | float | str
Kind = Literal["log", "lin", "int", "choice"]
SIGNIFICANT_DIGITS = 4
MAX_NUMBER = 1e15  # integers below it are exact as floats

_RANGE = re.compile(r"#\s*(?:log|lin|int)\s+(\S+?)\.\.([^\s;]+)\s*(?:;\s*(.*))?")
_CHOICE = re.compile(r"""#\s*choice((?:\s+(?:"[^"]*"|'[^']*'|[^\s;"']+))+)\s*(?:;\s*(.*))?""")
_TOKEN = re.compile(r""""[^"]*"|'[^']*'|[^\s;"']+""")
_POWER = re.compile(r"(\d{1,4}) ?\*\* ?(\d{1,2})", re.ASCII)


class Malformed(Exception):  # noqa: N818 - becomes a SpaceError as soon as the line's number is known
    """The comment, or the literal before it, cannot be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One literal that may be moved.

    ``low`` and ``high`` bound log, lin and int; ``choices`` and the ``tokens`` they are written with belong to
    choice. ``note`` are the words after the range, ``line`` counts from 1. ``stretched``: the range as written does not
    hold the present value, so it was widened.
    """

    name: str
    value: Value
    kind: Kind
    low: float = 0.0
    high: float = 0.0
    choices: tuple[Value, ...] = ()
    tokens: tuple[str, ...] = ()
    note: str = ""
    line: int = 0
    stretched: bool = False

    @property
    def ordered(self) -> bool:
        """Numbers, and choices that rise: what is learned of one value tells something of its neighbours."""
        return self.kind != "choice" or _rising(self.choices)

    def allows(self, value: Value) -> bool:
        if self.kind == "choice":
            return any(same(value, choice) for choice in self.choices)
        if isinstance(value, bool | str) or (self.kind == "int" and not isinstance(value, int)):
            return False
        return self.low <= value <= self.high  # False for NaN

    def spell(self, value: Value) -> str:
        """How ``value`` is written in the file: short for people, within the bounds, and a literal."""
        if self.kind == "choice":
            return next(t for t, choice in zip(self.tokens, self.choices, strict=True) if same(value, choice))
        return str(int(value)) if self.kind == "int" else repr(self.rounded(float(value)))

    def rounded(self, value: float, digits: int = SIGNIFICANT_DIGITS) -> float:
        """``value`` with few significant digits, never rounded out of the bounds."""
        return min(max(float(f"{value:.{digits}g}"), self.low), self.high)

    def range_text(self) -> str:
        return " ".join(self.tokens) if self.kind == "choice" else f"{self.low:.15g}..{self.high:.15g}"


def same(a: Value, b: Value) -> bool:
    """Equal as settings: ``1`` is ``1.0``, but ``True`` is not ``1``."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def _rising(values: tuple[Value, ...]) -> bool:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return len(numbers) == len(values) and numbers == sorted(numbers)


def parameter(name: str, spelling: str, comment: str) -> Parameter:
    """The parameter that ``name = spelling`` with this comment describes; its range holds the present value.

    Raises:
        Malformed: the comment is none of the four kinds, or the literal none that goes with it.
    """
    return _stretched(_parameter(name, _literal(spelling), comment), spelling)


def _parameter(name: str, value: Value, comment: str) -> Parameter:
    kind = cast(Kind, comment[1:].split()[0])
    if kind == "choice":
        match = _CHOICE.fullmatch(comment)
        if match is None:
            raise Malformed(f"{name}: the comment is not of the form `# choice 1 2 4; words`")
        tokens = tuple(_TOKEN.findall(match[1]))
        choices = tuple(_literal(token) for token in tokens)
        return Parameter(name=name, value=value, kind=kind, choices=choices, tokens=tokens, note=match[2] or "")
    match = _RANGE.fullmatch(comment)
    if match is None:
        raise Malformed(f"{name}: the comment is not of the form `# {kind} low..high; words`")
    low, high = (_bound(name, kind, text) for text in match.group(1, 2))
    if not low < high:
        raise Malformed(f"{name}: the range must rise")
    if kind == "log" and low <= 0:
        raise Malformed(f"{name}: a log range must lie above 0")
    return Parameter(name=name, value=value, kind=kind, low=low, high=high, note=match[3] or "")


def _stretched(parameter: Parameter, spelling: str) -> Parameter:
    """The parameter with a range that holds its present value."""
    value, kind = parameter.value, parameter.kind
    if parameter.allows(value):
        return parameter
    if kind == "choice":
        scale = _rising(parameter.choices) and _rising((value,))
        at = bisect(cast(tuple[float, ...], parameter.choices), cast(float, value)) if scale else len(parameter.choices)
        choices = (*parameter.choices[:at], value, *parameter.choices[at:])
        tokens = (*parameter.tokens[:at], spelling, *parameter.tokens[at:])
        return replace(parameter, choices=choices, tokens=tokens, stretched=True)
    if isinstance(value, bool | str) or (kind == "int" and not isinstance(value, int)) or not abs(value) < MAX_NUMBER:
        raise Malformed(f"{parameter.name} = {spelling[:40]} is no value for a range of the kind {kind}")
    if kind == "log" and value <= 0:
        raise Malformed(f"{parameter.name} = {spelling[:40]} is not above 0, as a log range must be")
    return replace(parameter, low=min(parameter.low, value), high=max(parameter.high, value), stretched=True)


def _bound(name: str, kind: Kind, text: str) -> float:
    value = _literal(text)
    if isinstance(value, bool | str) or (kind == "int" and not isinstance(value, int)) or not abs(value) < MAX_NUMBER:
        raise Malformed(f"{name}: the bound {text} is not {'an integer' if kind == 'int' else 'a number'} below 1e15")
    return float(value)


def _literal(text: str) -> Value:
    """A number, string or truth value; integers also as ``2**16``."""
    power = _POWER.fullmatch(text)
    if power:
        return int(power[1]) ** int(power[2])  # type: ignore[no-any-return]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, bool | int | float | str):
        raise Malformed(f"{text[:40]} is not a plain number, string or truth value")
    return value
