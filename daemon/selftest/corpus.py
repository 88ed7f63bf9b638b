"""The attacks as values: one file each, a header of TOML in comments, then the hostile bytes themselves."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon.model import UserError
from daemon.payload import root

GROUPS = (
    "control", "metric", "evaluator", "data", "time", "network", "host", "exhaustion", "tampering", "parsing",
    "artefact", "evasion", "injection",
)  # fmt: skip
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
Expected = Literal["no-effect", "crash", "timeout", "oom", "output-limit", "invalid", "refused"]
Merit = Literal["honest", "uniform", "better", "own"]


class _Header(BaseModel):
    """What the head of an attack says of it. ``docs/boundary.md`` explains the words."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    title: str
    kind: Literal["train", "submission", "text"] = "train"
    expect: Expected
    reason: str = ""
    layer: str
    policies: Annotated[str, Field(pattern=r"^(allowed|not asked|refused: [a-z]+( \| [a-z]+)*)$")]
    broken_wall: str
    success: str = ""
    residual: str = ""
    merit: Merit = "honest"
    tolerance_bpb: float = 1e-6
    quick: bool = False
    escapes: bool = False
    pad_bytes: int = 0
    path: str = "train.py"
    mode: str = "100644"
    tried: bool = False
    train_seconds: float = 120.0
    startup_seconds: float = 90.0
    free_startup_seconds: float = 90.0
    score_seconds: float = 120.0
    audit_rows: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack: its name ``group/file``, what its header says, and the bytes that are submitted."""

    name: str
    about: _Header
    program: bytes

    @property
    def group(self) -> str:
        return self.name.partition("/")[0]

    @property
    def wall(self) -> str | None:
        """The weakening under which it succeeds; None where no wall can be broken for it."""
        return None if self.about.broken_wall.startswith("none: ") else self.about.broken_wall


def directory() -> Path:
    return root() / "tests" / "adversarial" / "attacks"


def load(folder: Path | None = None) -> list[Attack]:
    """All attacks, in the order of their groups.

    Raises:
        UserError: the corpus is not there, or a header is wrong.
    """
    folder = folder or directory()
    parts = shared_parts(folder)
    paths = [path for group in GROUPS for path in sorted((folder / group).glob("*.py"))]
    if not paths:
        raise UserError(f"there are no attacks in {folder}; run this from the source tree or install the wheel again")
    return [_read(path, parts) for path in paths]


@cache
def shared_parts(folder: Path) -> Mapping[bytes, bytes]:
    """What many attacks have in common, by the line that stands for it: ``# --- honest part ---`` and its like."""
    parts = {path.stem.replace("_", " "): path.read_bytes() for path in sorted(folder.glob("*.py"))}
    return {f"# --- {name} ---\n".encode(): content for name, content in parts.items()}


def _read(path: Path, parts: Mapping[bytes, bytes]) -> Attack:
    name = f"{path.parent.name}/{path.stem}"
    head, body = _parted(path.read_bytes())
    try:
        about = _Header.model_validate(tomllib.loads(head.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise UserError(f"the header of the attack {name} is wrong: {' '.join(str(error).split())[:300]}") from error
    if about.escapes:  # bytes that no editor would keep
        body = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), body)
    program = body
    for line, content in parts.items():
        program = program.replace(line, content)
    if about.pad_bytes and about.kind == "train":
        program += b"PADDING = '" + b"x" * about.pad_bytes + b"'\n"
    return Attack(name=name, about=about, program=program)


def _parted(content: bytes) -> tuple[bytes, bytes]:
    """The header's lines without their ``# ``, and what follows the first line that is not one of them."""
    lines = content.split(b"\n")
    count = next(number for number, line in enumerate([*lines, b""]) if not line.startswith(b"# "))
    return b"\n".join(line[2:] for line in lines[:count]), b"\n".join(lines[count + 1 :])
