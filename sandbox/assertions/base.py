"""What an assertion is, and the few forms that most of them have. See :mod:`sandbox.assertions`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum

Facts = Mapping[str, str]


class Layer(StrEnum):
    """What an assertion rests on, when that may rightly be missing or different."""

    ALWAYS = "always"
    HOST_KERNEL = "host kernel"  # a runtime with a kernel of its own answers in its own way
    OPTIONAL = "optional"  # a layer that not every machine has


def always(_facts: Facts) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """One thing that must be so. ``seen`` finds it among the facts; None is a fact that was never told."""

    name: str
    expected: str
    seen: Callable[[Facts], str | None]
    holds: Callable[[str], bool]
    why: str
    layer: Layer = Layer.ALWAYS
    applies: Callable[[Facts], bool] = always


def fact(name: str) -> Callable[[Facts], str | None]:
    return lambda facts: facts.get(name)


def equals(name: str, of: str, expected: str, why: str, layer: Layer = Layer.ALWAYS) -> Assertion:
    return Assertion(
        name=name,
        expected=expected or "nothing",
        seen=fact(of),
        holds=lambda seen: seen == expected,
        why=why,
        layer=layer,
    )


def within(name: str, of: str, allowed: Set[str], why: str, layer: Layer = Layer.ALWAYS) -> Assertion:
    return Assertion(
        name=name, expected=f"nothing but {' '.join(sorted(allowed)) or 'nothing'}"[:300], seen=fact(of),
        holds=lambda seen: set(seen.split()) <= allowed, why=why, layer=layer,
    )  # fmt: skip


def one_of(name: str, of: str, answers: tuple[str, ...], why: str, layer: Layer = Layer.ALWAYS) -> Assertion:
    return Assertion(
        name=name,
        expected=" or ".join(answers),
        seen=fact(of),
        holds=lambda seen: seen in answers,
        why=why,
        layer=layer,
    )


def at_most(name: str, of: str, error: str, limit: int, why: str, layer: Layer = Layer.ALWAYS) -> Assertion:
    """A limit that was run into: the error that says so, and how far it let one go."""

    def holds(seen: str) -> bool:
        answer, _, reached = seen.partition(" ")
        return answer == error and reached.isdigit() and int(reached) <= limit

    return Assertion(
        name=name, expected=f"{error} at {limit} or before", seen=fact(of), holds=holds, why=why, layer=layer
    )


def flags(
    name: str, of: str, wanted: Set[str], why: str, *, unwanted: Set[str] = frozenset(), layer: Layer = Layer.ALWAYS
) -> Assertion:
    """The options of one mount."""

    def holds(seen: str) -> bool:
        options = set(seen.replace(" ", ",").split(","))
        return wanted <= options and not unwanted & {option.partition(":")[0] for option in options}

    expected = ",".join(sorted(wanted))
    return Assertion(name=name, expected=expected, seen=fact(of), holds=holds, why=why, layer=layer)
