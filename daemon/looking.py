"""Looks at the holdout: one for each keep, as many as the lab allows, on the ledger and for people alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from daemon.ledger import Ledger, Look, Looked
from daemon.model import Decision, Experiment, OurFault, UserError
from daemon.observe import FaultSeen, HoldoutSeen, Notice, Observers

GROWING_LOOKS = 3  # so many gaps in a row, each larger than the one before, are told


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """Looks when a champion is made. ``score`` gives what its sealed model scores there, None
    where none was kept.

    A look is spent for good: a split that was looked at often enough has become another validation set.
    """

    ledger: Ledger
    looks: int
    score: Callable[[Experiment], Looked | None]
    observers: Observers

    def kept(self, experiment: Experiment) -> None:
        """Take a look, where one is left. Whatever goes wrong is told, and changes nothing else."""
        if experiment.decision is not Decision.KEEP or not self.looks:
            return
        taken = self._taken(experiment.arena)
        if any(look.number == experiment.number for look in taken):
            return
        if len(taken) >= self.looks:
            self.observers.notify(Notice(message=spent(self.looks)))
            return
        try:
            looked = self.score(experiment)
            if looked is None:
                return
            self.ledger.add(experiment, looked)
        except (OurFault, UserError) as error:
            self.observers.notify(FaultSeen(message=f"no look at the holdout: {error}", retry_seconds=None))
            return
        self._tell(experiment.number, looked, taken)

    def _tell(self, number: int, looked: Looked, before: list[Look]) -> None:
        self.observers.notify(
            HoldoutSeen(
                number=number,
                holdout_bpb=looked.holdout_bpb,
                val_bpb=looked.val_bpb,
                left=self.looks - len(before) - 1,
            )
        )
        gaps = [*(look.gap_bpb for look in before), looked.holdout_bpb - looked.val_bpb]
        if grows(gaps):
            self.observers.notify(Notice(message=GROWS))

    def _taken(self, arena: str) -> list[Look]:
        """Those at the same data: a new arena over the same split looks at the same rows."""
        manifest = self.ledger.arena(arena).manifest_sha256
        looks = self.ledger.looks()
        same = {name for name in {look.arena for look in looks} if self.ledger.arena(name).manifest_sha256 == manifest}
        return [look for look in looks if look.arena in same]


GROWS = (
    f"the gap between holdout and validation has grown {GROWING_LOOKS} keeps in a row: the lab begins to fit the "
    "validation rows; look at `autoresearch holdout`"
)


def grows(gaps: list[float]) -> bool:
    """Whether the last ``GROWING_LOOKS`` gaps each grew."""
    last = gaps[-GROWING_LOOKS - 1 :]
    return len(last) > GROWING_LOOKS and all(before < after for before, after in pairwise(last))


def spent(looks: int) -> str:
    """What to do when no look is left."""
    return (
        f"the {looks} looks at the holdout are spent. Prepare the data anew with another one (`autoresearch prepare "
        "--holdout N`), which begins a new arena, or allow more in [holdout] looks"
    )
