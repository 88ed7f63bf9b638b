"""The file that says what one lab may have: written by the operator, read once at the start."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from sandbox.proxy.refusal import shown


class BadAllowFile(Exception):  # noqa: N818
    """The allow file cannot be used; the message says why."""


def _host_path(text: str) -> str:
    if not text.startswith("/") or text.startswith("//") or os.path.normpath(text) != text or text == "/":
        raise ValueError("must be an absolute, plain path below /")
    if re.search(r"[\x00-\x1f\x7f:,]", text):
        raise ValueError("must hold no control character, colon or comma")
    return text


HostPath = Annotated[str, AfterValidator(_host_path)]
Mebibytes = Annotated[int, Field(gt=0, le=4 * 1024 * 1024)]
Reference = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,255}$")]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/=-]{0,127}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LabPlaces(_Strict):
    """The lab that this door serves. Its ``id`` is in every name and label of its containers."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    runs: HostPath
    data: HostPath


class Most(_Strict):
    """The most that one container may ask for, and how many there may be at once."""

    memory_mib: Mebibytes
    output_mib: Mebibytes
    tmp_mib: Mebibytes
    cache_mib: Mebibytes
    shm_mib: Mebibytes
    container_seconds: Annotated[int, Field(gt=0, le=30 * 86400)]
    pids: Annotated[int, Field(gt=0, le=4096)] = 256
    open_files: Annotated[int, Field(gt=0, le=1_048_576)] = 4096
    inodes: Annotated[int, Field(gt=0, le=1_048_576)] = 8192
    containers: Annotated[int, Field(gt=0, le=256)] = 4
    slots: Annotated[int, Field(gt=0, le=64)] = 1


class Allow(_Strict):
    """All of the allow file."""

    lab: LabPlaces
    most: Most
    images: Annotated[list[Reference], Field(min_length=1)]
    cpus: Annotated[list[Annotated[int, Field(ge=0, lt=4096)]], Field(min_length=1)]
    gpus: list[Word] = []
    runtimes: list[Word] = []


def load(path: Path) -> Allow:
    """Read the allow file.

    Raises:
        BadAllowFile: it is missing, no TOML, or holds a wrong or unknown key.
    """
    try:
        return Allow.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadAllowFile(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadAllowFile(f"{path} is not valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadAllowFile(f"{path}: {shown(where)}: {first['msg']}") from error
