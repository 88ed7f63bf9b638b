"""``program.md``: the people's brief. Read with care; what is wrong is refused, and never half obeyed.

It may begin with a few lines of YAML between two lines ``---``: search knobs from a fixed list. Nothing in it reaches
the budget, the image, the policies, the network or a decision.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from daemon.model import UserError
from daemon.text import clean
from policies.config import UniqueKeys

MAX_BYTES = 65_536
MAX_FRONT_MATTER = 4_096  # characters
_FENCE = "---"


def _plain(value: object) -> object:
    """YAML has lists and no tuples; and a word of ours stands on one line, without anything invisible."""
    if not isinstance(value, list):
        return value
    for item in value:
        if isinstance(item, str) and clean(item, len(item) or 1) != item:
            raise ValueError("one line of printable text each, please, without blanks around it")
    return tuple(value)


Words = Annotated[str, Field(min_length=1, max_length=200)]
WordList = Annotated[tuple[Words, ...], Field(max_length=20), BeforeValidator(_plain)]


class Knobs(BaseModel):
    """What the front matter may set; nothing else is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    focus: WordList = ()
    boldness: Literal["low", "normal", "high"] = "normal"
    forbidden: WordList = ()
    stop_after: Annotated[int, Field(ge=1, le=1_000_000)] | None = None

    def plateau_after(self, usual: int) -> int:
        """After how many experiments without a gain to ask for something bolder."""
        return {"low": usual * 2, "normal": usual, "high": max(1, usual // 2)}[self.boldness]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One version of the brief. ``text`` is the whole file, ``body`` is it without the front matter."""

    text: str
    body: str
    sha256: str
    knobs: Knobs
    read_at: str


def read(path: Path) -> Program:
    """Read and check the file.

    Raises:
        UserError: it is missing, too large, empty, no UTF-8, no regular file, or its front matter is wrong.
    """
    return parse(_content(path))


def parse(content: bytes) -> Program:
    """Check the bytes of a ``program.md``.

    Raises:
        UserError: as :func:`read`.
    """
    if len(content) > MAX_BYTES:
        raise UserError(f"program.md has more than {MAX_BYTES} bytes; a brief is a page or two")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"program.md is not UTF-8 (byte {error.start})") from error
    if "\0" in text:
        raise UserError("program.md holds a NUL character; it is no text")
    front, body = _split(text)
    if not body.strip():
        raise UserError("program.md is empty; it should say what the lab is after")
    return Program(
        text=text,
        body=body.lstrip("\r\n"),
        sha256=hashlib.sha256(content).hexdigest(),
        knobs=_knobs(front),
        read_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _content(path: Path) -> bytes:
    """At most one byte more than is allowed; a pipe or a device in its place is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise UserError(f"{path} is not a regular file")
            if found.st_mode & stat.S_IWOTH:
                raise UserError(f"{path} may be written by everybody; `chmod o-w {path}`")
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def _split(text: str) -> tuple[str, str]:
    """Front matter and the rest. A first line ``---`` that is not closed is a mistake, not a brief."""
    lines = text.removeprefix("\ufeff").splitlines(keepends=True)
    if not lines or lines[0].rstrip() != _FENCE:
        return "", text.removeprefix("\ufeff")
    end = next((at for at, line in enumerate(lines[1:], start=1) if line.rstrip() == _FENCE), None)
    if end is None:
        raise UserError("program.md begins with --- but its front matter does not end; close it by another line ---")
    front = "".join(lines[1:end])
    if len(front) > MAX_FRONT_MATTER:
        raise UserError(f"the front matter of program.md has more than {MAX_FRONT_MATTER} characters")
    return front, "".join(lines[end + 1 :])


def _knobs(front: str) -> Knobs:
    try:
        content = yaml.load(front, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problem = clean(" ".join(str(error).split()), 300)
        raise UserError(f"the front matter of program.md is not valid YAML: {problem}") from error
    if content is None:
        return Knobs()
    if not isinstance(content, dict):
        raise UserError("the front matter of program.md must be lines such as `boldness: high`")
    try:
        return Knobs.model_validate(content)
    except ValidationError as error:
        raise UserError(f"the front matter of program.md: {_explain(error)}") from error


class _Loader(UniqueKeys):
    """Refuses aliases too, which hide what is meant."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(problem="aliases are not allowed here")
        return super().compose_node(parent, index)


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = clean(".".join(str(part) for part in first["loc"]), 60)
    if first["type"] == "extra_forbidden":
        return f"there is no key {where}; there are {', '.join(Knobs.model_fields)}"
    return f"{where}: {clean(first['msg'], 200)}"
