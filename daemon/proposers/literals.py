"""The hyperparameter block of ``train.py``: read as a search space, rewritten literal by literal.

A profile's block lies between two comments on lines of their own,

    # --- hyperparameters (cpu profile)
    MATRIX_LR = 0.04  # log 0.005..0.2; Muon, all matrices inside the layers
    # --- end of hyperparameters (cpu profile)

and is searched where an assignment of a literal to one name carries a range: ``log low..high``, ``lin low..high``,
``int low..high`` or ``choice a b c``, then perhaps ``;`` and words. Other lines are left alone. Nothing is executed.
A literal that stands outside its own range stretches the range: whoever wrote it there had a reason.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NoReturn

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper

from daemon.model import UserError
from daemon.proposers.ranges import Kind, Malformed, Parameter, Value, parameter, same

__all__ = ["Block", "Kind", "Parameter", "SpaceError", "Value", "read_block", "read_space", "rewrite", "same"]

MAX_ASSIGNMENT_BYTES = 200
MAX_LINE_BYTES = 2000

_BEGIN = re.compile(rb"^[ \t]*# --- hyperparameters \((\w+) profile\)[ \t]*\r?$", re.MULTILINE)
_END = re.compile(rb"^[ \t]*# --- end\b.*$", re.MULTILINE)
_HINT = re.compile(rb"#[ \t]*(?:log|lin|int|choice)[ \t]")
_KIND = re.compile(r"#[ \t]*(?:log|lin|int|choice)[ \t]")
_NOT_PLAIN = "a range comment belongs behind one plain assignment on one line, NAME = literal"


class SpaceError(UserError):
    """The block cannot be searched; the message names the line of ``train.py``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A search space, and a hash of all of the file but its values: equal for files that differ in these alone."""

    space: tuple[Parameter, ...]
    skeleton: str


def read_space(train_py: bytes, profile: str, *, strict: bool = True) -> tuple[Parameter, ...]:
    """The literals of ``profile``'s block that carry a range, in the order of the file; at least one.

    A file that a person wrote is read strictly. In one that a proposer wrote, a line that cannot be understood is
    left alone, and of two assignments to one name the later counts, as it does when the file runs.

    Raises:
        SpaceError: there is no such block, nothing in it is searched, or ``strict`` and a line cannot be understood.
    """
    return tuple(site.parameter for site in _sites(train_py, profile, strict).values())


def read_block(train_py: bytes, profile: str) -> Block:
    """The block of a file that a proposer wrote, read as leniently as it can be.

    Raises:
        SpaceError: as :func:`read_space`, not strict.
    """
    sites = _sites(train_py, profile, strict=False).values()
    digest, done = hashlib.sha256(), 0
    for site in sites:
        digest.update(train_py[done : site.start] + b"\0")
        done = site.end
    digest.update(train_py[done:])
    return Block(space=tuple(site.parameter for site in sites), skeleton=digest.hexdigest())


def rewrite(train_py: bytes, profile: str, values: Mapping[str, Value]) -> bytes:
    """Give the named literals of ``profile``'s block new values; every other byte stays.

    Raises:
        SpaceError: there is no such block, a name is not searched in it, or a value is outside its range.
    """
    sites = _sites(train_py, profile, strict=False)
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


def _require(parameter: Parameter, value: Value) -> None:
    if not parameter.allows(value):
        _fail(parameter.line, f"{parameter.name} = {value!r} is outside its range {parameter.range_text()}")


def _fail(line: int, problem: str) -> NoReturn:
    raise SpaceError(f"train.py line {line}: {problem}")


def _sites(train_py: bytes, profile: str, strict: bool) -> dict[str, _Site]:
    start, end = _block(train_py, profile)
    first_line = number = _line_of(train_py, start)
    sites: dict[str, _Site] = {}
    for line in train_py[start:end].split(b"\n"):
        site = _site(line, number, start, strict)
        if site is not None:
            if sites.pop(site.parameter.name, None) is not None and strict:
                _fail(number, f"{site.parameter.name} is assigned a second time in its block")
            sites[site.parameter.name] = site
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


def _site(line: bytes, number: int, offset: int, strict: bool) -> _Site | None:
    try:
        found = _read_line(line)
    except Malformed as error:
        if strict:
            _fail(number, str(error))
        return None
    if found is None:
        return None
    numbered = replace(found.parameter, line=number)
    return _Site(parameter=numbered, start=offset + found.start, end=offset + found.end)


# A night's history is read again at every proposal, and its files differ in a few lines only. Room for a thousand
# experiments that moved every literal.
@lru_cache(maxsize=32_768)
def _read_line(line: bytes) -> _Site | None:
    """The searched literal of one line, with offsets from the line's start; None when it carries no range.

    libcst's parser has no limit on nesting: 3,000 parentheses end the process by a stack overflow, and the text
    may be a candidate's. So it is only ever given a short line.
    """
    hint = _HINT.search(line)
    if hint is None:
        return None
    if hint.start() > MAX_ASSIGNMENT_BYTES or len(line) > MAX_LINE_BYTES:
        raise Malformed("too long for a searched assignment")
    code = line.strip()
    indent = line.index(code)
    try:
        module = cst.parse_module(code.decode("utf-8"))
    except (cst.ParserSyntaxError, UnicodeDecodeError):
        raise Malformed(_NOT_PLAIN) from None
    if not module.body:
        return None
    statement = module.body[0]
    comment = statement.trailing_whitespace.comment if isinstance(statement, cst.SimpleStatementLine) else None
    if comment is None or not _KIND.match(comment.value):
        return None
    target, value = _assignment(statement)
    span = MetadataWrapper(module, unsafe_skip_copy=True).resolve(ByteSpanPositionProvider)[value]
    spelling = code[span.start : span.start + span.length].decode()
    start = indent + span.start
    found = parameter(target, spelling, comment.value)
    return _Site(parameter=found, start=start, end=start + span.length)


def _assignment(statement: cst.SimpleStatementLine | cst.BaseCompoundStatement) -> tuple[str, cst.BaseExpression]:
    """The name and the value of ``NAME = value``."""
    body = statement.body if isinstance(statement, cst.SimpleStatementLine) else ()
    match body:
        case [cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=value)]:
            return name, value
    raise Malformed(_NOT_PLAIN)
