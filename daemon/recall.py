"""Experiments in full, read when they are looked at: a long history costs those who read it, and nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

from daemon.model import Experiment, Summary

MOST_REMEMBERED = 1000  # each holds a whole train.py: 25 MB in all


@dataclass(frozen=True, slots=True)
class Remembered:
    """Experiments that were read once. One counts as long as its line is the same; used by one thread."""

    read: Callable[[int], Experiment]
    _known: dict[int, tuple[Summary, Experiment]] = field(default_factory=dict)

    def get(self, row: Summary) -> Experiment:
        line, experiment = self._known.get(row.number, (None, None))
        if experiment is None or line != row:
            experiment = self.read(row.number)
            if row.number in self._known or len(self._known) < MOST_REMEMBERED:
                self._known[row.number] = (row, experiment)
        return experiment


class History(Sequence[Experiment]):
    """The experiments of these lines, each read at its first use."""

    def __init__(self, rows: Sequence[Summary], remembered: Remembered) -> None:
        self._rows = rows
        self._remembered = remembered

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Experiment: ...

    @overload
    def __getitem__(self, index: slice) -> History: ...

    def __getitem__(self, index: int | slice) -> Experiment | History:
        if isinstance(index, slice):
            return History(self._rows[index], self._remembered)
        return self._remembered.get(self._rows[index])

    def __iter__(self) -> Iterator[Experiment]:
        return (self._remembered.get(row) for row in self._rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]
