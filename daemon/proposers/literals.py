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
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NoReturn, cast

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper

from daemon.model import UserError

Value = bool | int | float | str
Kind = Literal["log", "lin", "int", "choice"]
SIGNIFICANT_DIGITS = 4
MAX_BLOCK_BYTES = 64 * 1024  # as much as a whole train.py may have

_BEGIN = re.compile(rb"^[ \t]*# --- hyperparameters \((\w+) profile\)[ \t]*\r?$", re.MULTILINE)
_END = re.compile(rb"^[ \t]*# --- end\b.*$", re.MULTILINE)
_KIND = re.compile(r"#\s*(log|lin|int|choice)(?=\s)")
_RANGE = re.compile(r"#\s*(?:log|lin|int)\s+(\S+?)\.\.([^\s;]+)\s*(?:;\s*(.*))?$")
_CHOICE = re.compile(r"""#\s*choice((?:\s+(?:"[^"]*"|'[^']*'|[^\s;"']+))+)\s*(?:;\s*(.*))?$""")
_TOKEN = re.compile(r""""[^"]*"|'[^']*'|[^\s;"']+""")


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
        return " ".join(self.tokens) if self.kind == "choice" else f"{self.low:g}..{self.high:g}"


def same(a: Value, b: Value) -> bool:
    """Equal as settings: ``1`` is ``1.0``, but ``True`` is not ``1``."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def read_space(train_py: bytes, profile: str) -> tuple[Parameter, ...]:
    """The literals of ``profile``'s block that carry a range, in the order of the file; at least one.

    Raises:
        SpaceError: there is no such block, or a line of it cannot be understood.
    """
    return tuple(site.parameter for site in _sites(train_py, profile))


def rewrite(train_py: bytes, profile: str, values: Mapping[str, Value]) -> bytes:
    """Give the named literals of ``profile``'s block new values; every other byte stays.

    Raises:
        SpaceError: as :func:`read_space`, or a name is not in the block, or a value is outside its range.
    """
    sites = {site.parameter.name: site for site in _sites(train_py, profile)}
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
    parameter: Parameter
    start: int
    end: int


def _require(parameter: Parameter, value: Value) -> None:
    if not parameter.allows(value):
        _fail(parameter.line, f"{parameter.name} = {value!r} is outside its range {parameter.range_text()}")


def _fail(line: int, problem: str) -> NoReturn:
    raise SpaceError(f"train.py line {line}: {problem}")


# A night's history is read again at every proposal; files are at most 64 KiB.
@lru_cache(maxsize=4096)
def _sites(train_py: bytes, profile: str) -> tuple[_Site, ...]:
    start, end = _block(train_py, profile)
    first_line = train_py.count(b"\n", 0, start) + 1
    sites: dict[str, _Site] = {}
    for statement, line, offset in _statements(train_py[start:end], first_line):
        site = _site(statement, line, start + offset, train_py)
        if site is None:
            continue
        if (name := site.parameter.name) in sites:
            _fail(line, f"{name} is assigned a second time in its block")
        sites[name] = site
    if not sites:
        _fail(first_line, f"no assignment of the {profile} block carries a range comment such as `# log 0.01..1`")
    return tuple(sites.values())


def _block(train_py: bytes, profile: str) -> tuple[int, int]:
    """Where the lines between the two delimiters begin and end, in bytes."""
    begins = [match for match in _BEGIN.finditer(train_py) if match[1] == profile.encode()]
    marker = f"# --- hyperparameters ({profile} profile)"
    if not begins:
        raise SpaceError(f"train.py has no hyperparameter block of the {profile} profile; it begins with `{marker}`")
    if len(begins) > 1:
        _fail(train_py.count(b"\n", 0, begins[1].start()) + 1, f"`{marker}` stands here a second time")
    start = min(begins[0].end() + 1, len(train_py))
    end = _END.search(train_py, start)
    if end is None or ((other := _BEGIN.search(train_py, start)) and other.start() < end.start()):
        _fail(train_py.count(b"\n", 0, begins[0].start()) + 1, "the block that begins here lacks its `# --- end` line")
    if end.start() - start > MAX_BLOCK_BYTES:
        _fail(train_py.count(b"\n", 0, start), f"the block has more than {MAX_BLOCK_BYTES} bytes")
    return start, end.start()


class _Statement:
    """One simple statement line of the block and where its values lie, in bytes from the block's start."""

    def __init__(self, node: cst.SimpleStatementLine, wrapper: MetadataWrapper, skipped: int) -> None:
        comment = node.trailing_whitespace.comment
        self.node, self.comment = node, comment.value if comment else ""
        self._spans = wrapper.resolve(ByteSpanPositionProvider)
        self._skipped = skipped

    def span(self, node: cst.CSTNode) -> tuple[int, int]:
        span = self._spans[node]
        start = span.start - self._skipped
        return start, start + span.length


def _statements(block: bytes, first_line: int) -> Iterator[tuple[_Statement, int, int]]:
    """Each simple statement line with its line number and the offset 0 of the block."""
    code = [line for line in block.splitlines() if line.strip() and not line.lstrip().startswith(b"#")]
    prefix = b"if 1:\n" if code and code[0][:1].isspace() else b""  # so that an indented block parses alone
    if not code:
        return
    try:
        module = cst.parse_module((prefix + block).decode("utf-8"))
    except cst.ParserSyntaxError as error:
        _fail(first_line - bool(prefix) + error.raw_line - 1, "the hyperparameter block is not valid Python")
    except UnicodeDecodeError as error:
        _fail(first_line + block.count(b"\n", 0, max(0, error.start - len(prefix))), "the block is not UTF-8")
    wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
    body = cast(cst.If, wrapper.module.body[0]).body.body if prefix else wrapper.module.body
    for node in body:
        if isinstance(node, cst.SimpleStatementLine):
            statement = _Statement(node, wrapper, len(prefix))
            yield statement, first_line + block.count(b"\n", 0, statement.span(node)[0]), 0


def _site(statement: _Statement, line: int, base: int, train_py: bytes) -> _Site | None:
    """The searched literal of a statement, or None when its comment gives no range."""
    kind = _KIND.match(statement.comment)
    if kind is None:
        return None
    body = statement.node.body
    assignment = body[0] if len(body) == 1 else None
    if not isinstance(assignment, cst.Assign) or len(assignment.targets) != 1:
        _fail(line, "a range comment belongs behind one plain assignment, NAME = literal")
    target = assignment.targets[0].target
    if not isinstance(target, cst.Name):
        _fail(line, "a range comment belongs behind one plain assignment, NAME = literal")
    start, end = (base + at for at in statement.span(assignment.value))
    value = _literal(train_py[start:end].decode(), line)
    parameter = _parameter(target.value, value, cast(Kind, kind[1]), statement.comment, line)
    _require(parameter, value)
    return _Site(parameter=parameter, start=start, end=end)


def _parameter(name: str, value: Value, kind: Kind, comment: str, line: int) -> Parameter:
    if kind == "choice":
        match = _CHOICE.match(comment)
        if match is None:
            _fail(line, f"{name}: not of the form `# choice 1 2 4; words`")
        tokens = tuple(_TOKEN.findall(match[1]))
        choices = tuple(_literal(token, line) for token in tokens)
        return Parameter(
            name=name, value=value, kind=kind, choices=choices, tokens=tokens, note=match[2] or "", line=line
        )
    match = _RANGE.match(comment)
    if match is None:
        _fail(line, f"{name}: not of the form `# {kind} low..high; words`")
    low, high = (_literal(text, line) for text in match.groups()[:2])
    _check_bounds(name, kind, low, high, line)
    return Parameter(
        name=name, value=value, kind=kind, low=cast(float, low), high=cast(float, high), note=match[3] or "", line=line
    )


def _check_bounds(name: str, kind: Kind, low: Value, high: Value, line: int) -> None:
    numbers = int if kind == "int" else (int, float)
    for bound in (low, high):
        if isinstance(bound, bool) or not isinstance(bound, numbers):
            _fail(line, f"{name}: the bound {bound!r} is not {'an integer' if kind == 'int' else 'a number'}")
    if not cast(float, low) < cast(float, high) or math.isinf(cast(float, high)):
        _fail(line, f"{name}: the range must rise and be finite")
    if kind == "log" and cast(float, low) <= 0:
        _fail(line, f"{name}: a log range must lie above 0")


def _literal(text: str, line: int) -> Value:
    """A number, string or truth value, also written as ``2**16`` or ``-1``."""
    power = re.fullmatch(r"(\d{1,4}) ?\*\* ?(\d{1,2})", text.strip())
    if power:
        return int(int(power[1]) ** int(power[2]))
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, bool | int | float | str):
        _fail(line, f"{text[:40]!r} is not a plain number, string or truth value")
    return value
