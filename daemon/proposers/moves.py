"""Moves of single literals around a champion: meaningful steps, the likely ones first. Pure and deterministic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from daemon.proposers.literals import Parameter, Value, same

WIDE_LOG_RATIO = 1000.0  # a range this wide is stepped through by 4 instead of 2
SMALLEST_LOG_STEP = math.log(1.15)  # smaller steps drown in the noise of a short run
SMALLEST_LIN_STEP = 0.05  # likewise, as a share of the range
REACH_LOG = math.log(4.0)
REACH_LIN = 0.4  # of the range
REACH_CHOICES = 2
DIGITS = 3
# In runs of a fixed time these decide how many steps are taken, and how large; gains of several per cent come from
# them, where decay, momenta and fractions are near the noise.
_LIKELY_WORDS = frozenset({"LR", "BATCH", "DEPTH", "LAYERS", "WIDTH"})
_TECHNICAL_WORDS = frozenset({"DEVICE", "MICRO"})
_TECHNICAL_NOTE = "not learning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Give one literal another value."""

    parameter: Parameter
    to: Value


def neighbours(parameter: Parameter) -> tuple[Value, ...]:
    """A step down and a step up from the present value, where the range has room for one."""
    return tuple(value for direction in (-1, 1) if (value := step(parameter, direction)) is not None)


def step(parameter: Parameter, direction: int) -> Value | None:
    """The next value in a direction (-1 or 1): half or double, a quarter of the range, or the choice beside it."""
    if parameter.kind == "choice":
        at = choice_index(parameter, parameter.value) + direction
        return parameter.choices[at] if 0 <= at < len(parameter.choices) else None
    value = float(parameter.value)
    if parameter.kind == "int":
        to = value + direction * max(1, round(value / 4))
        whole = int(min(max(to, parameter.low), parameter.high))
        return whole if whole != value else None
    if parameter.kind == "log":
        to = value * (4.0 if parameter.high / parameter.low >= WIDE_LOG_RATIO else 2.0) ** direction
    else:
        to = value + direction * (parameter.high - parameter.low) / 4
    to = parameter.rounded(to, DIGITS)
    return to if moved(parameter, to) else None


def choice_index(parameter: Parameter, value: Value) -> int:
    return next(at for at, choice in enumerate(parameter.choices) if same(value, choice))


def moved(parameter: Parameter, to: Value) -> bool:
    """Is ``to`` far enough from the present value to show in one run?"""
    if parameter.kind in ("choice", "int"):
        return not same(to, parameter.value)
    old, new = float(parameter.value), float(to)
    if parameter.kind == "log":
        return abs(math.log(new / old)) >= SMALLEST_LOG_STEP
    return abs(new - old) >= SMALLEST_LIN_STEP * (parameter.high - parameter.low)


def near(parameter: Parameter, wanted: Value) -> Value:
    """``wanted``, drawn into the champion's neighbourhood."""
    if parameter.kind == "choice":
        at, here = choice_index(parameter, wanted), choice_index(parameter, parameter.value)
        return parameter.choices[min(max(at, here - REACH_CHOICES), here + REACH_CHOICES)]
    old, new = float(parameter.value), float(wanted)
    if parameter.kind == "int":
        reach = max(2, round(old / 2))
        return int(min(max(new, old - reach), old + reach))
    if parameter.kind == "log":
        factor = math.exp(REACH_LOG)
        return parameter.rounded(min(max(new, old / factor), old * factor), DIGITS)
    reach_lin = REACH_LIN * (parameter.high - parameter.low)
    return parameter.rounded(min(max(new, old - reach_lin), old + reach_lin), DIGITS)


def one_by_one(space: Sequence[Parameter], rng: Random) -> list[Move]:
    """Every single step from the champion: shuffled, what is likely to matter first, fine-tuning and memory last."""
    moves = [Move(parameter=parameter, to=value) for parameter in space for value in neighbours(parameter)]
    rng.shuffle(moves)
    return sorted(moves, key=lambda move: _tier(move.parameter))


def is_technical(parameter: Parameter) -> bool:
    """Memory or speed, not learning: its name has DEVICE or MICRO in it, or its comment says "not learning"."""
    words = set(parameter.name.upper().split("_"))
    return bool(_TECHNICAL_WORDS & words) or _TECHNICAL_NOTE in parameter.note


def _tier(parameter: Parameter) -> int:
    if is_technical(parameter):
        return 3
    if parameter.kind == "lin":
        return 2
    return 0 if _LIKELY_WORDS & set(parameter.name.upper().split("_")) else 1


def onward(space: Sequence[Parameter], before: Mapping[str, Value]) -> Iterator[Move]:
    """What just helped, once more: a further step where the champion differs from the one before it."""
    for parameter in space:
        old = before.get(parameter.name)
        if old is None or same(old, parameter.value):
            continue
        further = step(parameter, _direction(parameter, old))
        if further is not None:
            yield Move(parameter=parameter, to=further)


def _direction(parameter: Parameter, old: Value) -> int:
    if parameter.kind != "choice":
        return 1 if float(parameter.value) > float(old) else -1
    known = any(same(old, choice) for choice in parameter.choices)
    return 1 if not known or choice_index(parameter, parameter.value) > choice_index(parameter, old) else -1


def to_unit(parameter: Parameter, value: Value) -> float:
    """Where ``value`` lies in its range, 0 to 1; logarithms for log, steps of equal size for choices."""
    if parameter.kind == "choice":
        return choice_index(parameter, value) / max(1, len(parameter.choices) - 1)
    low, high, at = parameter.low, parameter.high, float(value)
    if parameter.kind == "log":
        low, high, at = math.log(low), math.log(high), math.log(at)
    return min(max((at - low) / (high - low), 0.0), 1.0)


def from_unit(parameter: Parameter, unit: float) -> Value:
    """The value at that place of the range, rounded to what people write."""
    unit = min(max(unit, 0.0), 1.0)
    if parameter.kind == "choice":
        return parameter.choices[round(unit * (len(parameter.choices) - 1))]
    low, high = parameter.low, parameter.high
    if parameter.kind == "int":
        return round(low + unit * (high - low))
    if parameter.kind == "log":
        return parameter.rounded(low * (high / low) ** unit, DIGITS)
    return parameter.rounded(low + unit * (high - low), DIGITS)


def grid(parameter: Parameter) -> int:
    """How many values there are between the bounds, these included; 0 for a continuum."""
    if parameter.kind == "choice":
        return len(parameter.choices)
    return int(parameter.high - parameter.low) + 1 if parameter.kind == "int" else 0
