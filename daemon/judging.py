"""What a candidate's trials are worth, by a lab's rule and by what its ledger holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from daemon.decide import Answer, Rule, decide, to_beat
from daemon.ledger import Ledger, Quarantined
from daemon.model import Experiment


@dataclass(frozen=True, slots=True, kw_only=True)
class OneLook:
    """Judges by the champion's own score, as a rule without replicates does."""

    ledger: Ledger
    rule: Rule

    def answer(self, experiment: Experiment, champion: Experiment | None) -> Answer | Quarantined:
        saved = experiment.verdict.saved_nodes if experiment.verdict else 0
        return decide(self._to_beat(champion), experiment.trials, None, self.rule, saved)

    def reach(self, champion: Experiment | None) -> float | None:
        bar = self._to_beat(champion)
        return math.nextafter(self.rule.reach(bar), math.inf) if bar is not None else None

    def _to_beat(self, champion: Experiment | None) -> float | None:
        return to_beat(champion, self.ledger.summaries(arena=champion.arena)) if champion else None
