"""The daemon killed at a few of its named places, with the real engine; `make crash` takes all of them, five times."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_points import Where, a_place, crash_at

# Before a transition is durable, after it, and twice between one and its effect, in git and in the engine.
FEW = ("proposed.within", "trial-result.after", "git.recorded", "container.started", "volume.removed")


@pytest.fixture(scope="module")
def where() -> Iterator[Where]:
    with tempfile.TemporaryDirectory(prefix="crash-") as name, a_place(Path(name), "docker") as place:
        yield place


@pytest.mark.parametrize("point", FEW)
def test_killed_there_it_loses_doubles_and_leaves_nothing(where: Where, point: str) -> None:
    assert crash_at(where, point, 0).closed > 0
