"""The system calls a container may make: ``syscalls.toml`` is the list to read, ``profile.json`` what engines take."""

from __future__ import annotations

from functools import cache
from pathlib import Path

PROFILE = Path(__file__).with_name("profile.json")


@cache
def profile_text() -> str:
    """The profile as an engine takes it: the JSON itself, never a path, which it would not look up."""
    return PROFILE.read_text(encoding="ascii")
