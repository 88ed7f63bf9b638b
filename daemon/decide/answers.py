"""What a rule may answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """The candidate becomes the champion."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard:
    """The champion stays."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicate:
    """Not sure: run candidate and champion so many times more, each pair on one fresh seed, then ask again."""

    pairs: int
    reason: str


Answer = Keep | Discard | Replicate
