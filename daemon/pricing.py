"""What a request to a provider costs: its tokens times the list price of the model, from a file anybody can correct."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon.model import UserError

MAX_FILE_BYTES = 1024 * 1024
_MILLION = 1_000_000
_DATED = re.compile(r"-\d{8}\Z")  # claude-haiku-4-5-20251001 is claude-haiku-4-5; claude-opus-5-5 is not claude-opus-5

Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The tokens of one request by what they cost; no token is in two of these."""

    input: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0
    output: int = 0

    @property
    def prompt(self) -> int:
        return self.input + self.cache_write_5m + self.cache_write_1h + self.cache_read


class _Rates(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    input: Dollars
    cache_write_5m: Dollars
    cache_write_1h: Dollars
    cache_read: Dollars
    output: Dollars

    def usd(self, tokens: Tokens) -> float:
        dollars = (
            tokens.input * self.input
            + tokens.cache_write_5m * self.cache_write_5m
            + tokens.cache_write_1h * self.cache_write_1h
            + tokens.cache_read * self.cache_read
            + tokens.output * self.output
        )
        return dollars / _MILLION


class _LongPrompt(_Rates):
    above_tokens: Annotated[int, Field(gt=0)]


class _Model(_Rates):
    long_prompt: _LongPrompt | None = None


class _PriceFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    models: dict[Annotated[str, Field(min_length=1, max_length=200)], _Model]


class Prices:
    """A price table."""

    def __init__(self, models: Mapping[str, _Model]) -> None:
        self._models = models

    def usd(self, model: str, tokens: Tokens) -> float | None:
        """The price of one request, or None where the table does not know the model."""
        listed = self._models.get(model) or self._models.get(_DATED.sub("", model))
        if listed is None:
            return None
        long = listed.long_prompt
        return (long if long is not None and tokens.prompt > long.above_tokens else listed).usd(tokens)


def load(path: Path | None = None) -> Prices:
    """The shipped table, with the entries of ``path`` before it.

    Raises:
        UserError: the file is missing, or is no price table.
    """
    shipped = files("daemon").joinpath("templates/prices.toml").read_text(encoding="utf-8")
    own = _parse(_read(path), str(path)) if path is not None else {}
    return Prices(_parse(shipped, "templates/prices.toml") | own)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise UserError(f"the price file {path} has more than {MAX_FILE_BYTES} bytes")
        return content.decode("utf-8")
    except OSError as error:
        raise UserError(f"the price file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UserError(f"the price file {path} is not UTF-8 text") from None


def _parse(text: str, name: str) -> dict[str, _Model]:
    try:
        return _PriceFile.model_validate(tomllib.loads(text)).models
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"the price file {name} is not valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"the price file {name}: {where}: {first['msg']}") from error
