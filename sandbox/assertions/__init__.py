"""What must be seen from inside a container, and why: the tables that the self-check compares the facts with.

Pure. The facts come from :mod:`sandbox.probe` and, where no program inside can know, from the engine's record.
"""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.assertions.base import Assertion, Facts, Layer
from sandbox.assertions.calls import calls
from sandbox.assertions.limits import limits, record
from sandbox.assertions.places import places
from sandbox.interface import SandboxSpec
from sandbox.spec import Body

__all__ = ["Assertion", "Facts", "Layer", "assertions", "between"]


def assertions(role: str, spec: SandboxSpec, body: Body, *, selinux: bool, accounts_swap: bool) -> Iterator[Assertion]:
    """Every assertion about the container of one role, in the order in which they are told."""
    yield from places(role, spec, selinux=selinux)
    yield from calls()
    yield from limits(role, spec, accounts_swap)
    yield from record(body)


def between(others: Facts) -> Iterator[Assertion]:
    """That the two containers of a trial share nothing but the volume; ``others`` is what the trainer saw."""
    for space in ("cgroup", "ipc", "mnt", "net", "pid", "uts"):
        name = f"namespace {space}"
        yield Assertion(
            name=f"its own {name}", expected="not the trainer's", seen=lambda facts, n=name: facts.get(n),  # type: ignore[misc]
            holds=lambda seen, n=name: seen != others.get(n), layer=Layer.HOST_KERNEL,  # type: ignore[misc]
            why="the candidate cannot see, signal or trace its referee",
        )  # fmt: skip
