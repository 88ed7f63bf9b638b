"""The hyperparameter block of ``train.py``: read as a search space, rewritten literal by literal.

A profile's block lies between two comments on lines of their own,

    # --- hyperparameters (cpu profile)
    MATRIX_LR = 0.04  # log 0.005..0.2; Muon, all matrices inside the layers
    # --- end of hyperparameters (cpu profile)

and is searched where an assignment of a literal to one name carries a range: ``log low..high``, ``lin low..high``,
``int low..high`` or ``choice a b c``, then perhaps ``;`` and words. Other lines are left alone. Nothing is executed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NoReturn, cast

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper

from daemon.model import UserError

Value = bool | int | float | str
Kind = Literal["log", "lin", "int", "choice"]
SIGNIFICANT_DIGITS = 4
MAX_NUMBER = 1e15  # integers below it are exact as floats
MAX_ASSIGNMENT_BYTES = 200
MAX_LINE_BYTES = 2000

_BEGIN = re.compile(rb"^[ \t]*# --- hyperparameters \((\w+) profile\)[ \t]*\r?$", re.MULTILINE)
_END = re.compile(rb"^[ \t]*# --- end\b.*$", re.MULTILINE)
_HINT = re.compile(rb"#[ \t]*(?:log|lin|int|choice)[ \t]")
_KIND = re.compile(r"#[ \t]*(?:log|lin|int|choice)[ \t]")
_RANGE = re.compile(r"#\s*(?:log|lin|int)\s+(\S+?)\.\.([^\s;]+)\s*(?:;\s*(.*))?")
_CHOICE = re.compile(r"""#\s*choice((?:\s+(?:"[^"]*"|'[^']*'|[^\s;"']+))+)\s*(?:;\s*(.*))?""")
_TOKEN = re.compile(r""""[^"]*"|'[^']*'|[^\s;"']+""")
_POWER = re.compile(r"(\d{1,4}) ?\*\* ?(\d{1,2})", re.ASCII)
_NOT_PLAIN = "a range comment belongs behind one plain assignment on one line, NAME = literal"


class SpaceError(UserError):
    """The block cannot be searched; the message names the line of ``train.py``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One literal that may be moved.

    ``low`` and ``high`` bound log, lin and int; ``choices`` and the ``tokens`` they are written with belong to
    choice. ``note`` are the words after the range, ``line`` counts from 1.
    """

    name: str
    value: Value
    kind: Kind
    low: float = 0.0
    high: float = 0.0
    choices: tuple[Value, ...] = ()
    tokens: tuple[str, ...] = ()
    note: str = ""
    line: int

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


def read_space(train_py: bytes, profile: str) -> tuple[Parameter, ...]:
    """The literals of ``profile``'s block that carry a range, in the order of the file; at least one.

    Raises:
        SpaceError: there is no such block, or a line of it cannot be understood.
    """
    return tuple(site.parameter for site in _sites(train_py, profile).values())


def rewrite(train_py: bytes, profile: str, values: Mapping[str, Value]) -> bytes:
    """Give the named literals of ``profile``'s block new values; every other byte stays.

    Raises:
        SpaceError: as :func:`read_space`, or a name is not in the block, or a value is outside its range.
    """
    sites = _sites(train_py, profile)
    if unknown := sorted(set(values) - set(sites)):
        raise SpaceError(f"train.py: the {profile} block has no searched literal {unknown[0]}")
    parts, done = [], 0
    for name, site in sites.items():
        if name not in values or same(values[name], site.parameter.value):
            continue
        _require(site.parameter, values[name])
        parts += [train_py[done : site.start], site.parameter.spell(values[name]).encode()]
        done = site.end
    return b"".join([*parts, train_py[done:]])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    """A searched literal, and where its value begins and ends, in bytes."""

    parameter: Parameter
    start: int
    end: int


class _Malformed(Exception):  # noqa: N818 - becomes a SpaceError as soon as the line's number is known
    pass


def _require(parameter: Parameter, value: Value) -> None:
    if not parameter.allows(value):
        _fail(parameter.line, f"{parameter.name} = {value!r} is outside its range {parameter.range_text()}")


def _fail(line: int, problem: str) -> NoReturn:
    raise SpaceError(f"train.py line {line}: {problem}")


def _sites(train_py: bytes, profile: str) -> dict[str, _Site]:
    start, end = _block(train_py, profile)
    first_line = number = _line_of(train_py, start)
    sites: dict[str, _Site] = {}
    for line in train_py[start:end].split(b"\n"):
        site = _site(line, number, start)
        if site is not None:
            if (name := site.parameter.name) in sites:
                _fail(number, f"{name} is assigned a second time in its block")
            _require(site.parameter, site.parameter.value)
            sites[name] = site
        start, number = start + len(line) + 1, number + 1
    if not sites:
        _fail(first_line, f"no assignment of the {profile} block carries a range comment such as `# log 0.01..1`")
    return sites


def _block(train_py: bytes, profile: str) -> tuple[int, int]:
    """Where the lines between the two delimiters begin and end, in bytes."""
    begins = [match for match in _BEGIN.finditer(train_py) if match[1] == profile.encode()]
    marker = f"# --- hyperparameters ({profile} profile)"
    if not begins:
        raise SpaceError(f"train.py has no hyperparameter block of the {profile} profile; it begins with `{marker}`")
    if len(begins) > 1:
        _fail(_line_of(train_py, begins[1].start()), f"`{marker}` stands here a second time")
    start = min(begins[0].end() + 1, len(train_py))
    end, other = _END.search(train_py, start), _BEGIN.search(train_py, start)
    if end is None or (other is not None and other.start() < end.start()):
        _fail(_line_of(train_py, begins[0].start()), "the block that begins here lacks its `# --- end` line")
    return start, end.start()


def _line_of(train_py: bytes, offset: int) -> int:
    return train_py.count(b"\n", 0, offset) + 1


def _site(line: bytes, number: int, offset: int) -> _Site | None:
    try:
        found = _read_line(line, number)
    except _Malformed as error:
        _fail(number, str(error))
    if found is None:
        return None
    return _Site(parameter=found.parameter, start=offset + found.start, end=offset + found.end)


# A night's history is read again at every proposal, and its files differ in a few lines only.
@lru_cache(maxsize=4096)
def _read_line(line: bytes, number: int) -> _Site | None:
    """The searched literal of one line, with offsets from the line's start; None when it carries no range.

    libcst's parser has no limit on nesting: 3,000 parentheses end the process by a stack overflow, and the text
    may be a candidate's. So it is only ever given a short line.
    """
    hint = _HINT.search(line)
    if hint is None:
        return None
    if hint.start() > MAX_ASSIGNMENT_BYTES or len(line) > MAX_LINE_BYTES:
        raise _Malformed("too long for a searched assignment")
    code = line.strip()
    indent = line.index(code)
    try:
        module = cst.parse_module(code.decode("utf-8"))
    except (cst.ParserSyntaxError, UnicodeDecodeError):
        raise _Malformed(_NOT_PLAIN) from None
    if not module.body:
        return None
    statement = module.body[0]
    comment = statement.trailing_whitespace.comment if isinstance(statement, cst.SimpleStatementLine) else None
    if comment is None or not _KIND.match(comment.value):
        return None
    target, value = _assignment(statement)
    span = MetadataWrapper(module, unsafe_skip_copy=True).resolve(ByteSpanPositionProvider)[value]
    literal = _literal(code[span.start : span.start + span.length].decode())
    start = indent + span.start
    return _Site(parameter=_parameter(target, literal, comment.value, number), start=start, end=start + span.length)


def _assignment(statement: cst.SimpleStatementLine | cst.BaseCompoundStatement) -> tuple[str, cst.BaseExpression]:
    """The name and the value of ``NAME = value``."""
    body = statement.body if isinstance(statement, cst.SimpleStatementLine) else ()
    match body:
        case [cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=value)]:
            return name, value
    raise _Malformed(_NOT_PLAIN)


def _parameter(name: str, value: Value, comment: str, line: int) -> Parameter:
    kind = cast(Kind, comment[1:].split()[0])
    if kind == "choice":
        match = _CHOICE.fullmatch(comment)
        if match is None:
            raise _Malformed(f"{name}: the comment is not of the form `# choice 1 2 4; words`")
        tokens = tuple(_TOKEN.findall(match[1]))
        choices = tuple(_literal(token) for token in tokens)
        return Parameter(
            name=name, value=value, kind=kind, choices=choices, tokens=tokens, note=match[2] or "", line=line
        )
    match = _RANGE.fullmatch(comment)
    if match is None:
        raise _Malformed(f"{name}: the comment is not of the form `# {kind} low..high; words`")
    low, high = (_bound(name, kind, text) for text in match.group(1, 2))
    if not low < high:
        raise _Malformed(f"{name}: the range must rise")
    if kind == "log" and low <= 0:
        raise _Malformed(f"{name}: a log range must lie above 0")
    return Parameter(name=name, value=value, kind=kind, low=low, high=high, note=match[3] or "", line=line)


def _bound(name: str, kind: Kind, text: str) -> float:
    value = _literal(text)
    if isinstance(value, bool | str) or (kind == "int" and not isinstance(value, int)) or not abs(value) < MAX_NUMBER:
        raise _Malformed(f"{name}: the bound {text} is not {'an integer' if kind == 'int' else 'a number'} below 1e15")
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
        raise _Malformed(f"{text[:40]} is not a plain number, string or truth value")
    return value
