"""What to try when later runs contradict a keep: the program it had replaced, then each other change it stood on.

Nothing is erased. The old program comes back as an experiment of its own, a commit on top of the branch with the reason
in its message; the changes that fell with it are carried over to it and tested like any proposal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from daemon.evidence import Evidence
from daemon.ledger import Ledger
from daemon.model import MAX_HYPOTHESIS_CHARACTERS, Experiment, Patch, Phase, Proposal, Summary
from daemon.rebase import rebase
from daemon.text import clean

PROPOSER = "demotion"
MAX_ATTEMPTS = 3  # on one champion; what was interrupted so often is given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """Reads the ledger alone, so that it says the same after a kill."""

    ledger: Ledger
    evidence: Evidence

    def next(self, champion: Experiment) -> Proposal | None:
        """What must be tried before anything new; None when nothing is contradicted."""
        for hypothesis, train_py, by_others in [*self._back(champion), *self._again(champion)]:
            patch = Patch(train_py=train_py, base_commit=champion.commit or "")
            if not self._was_tried(champion, patch, by_others):
                return Proposal(hypothesis=hypothesis, patch=patch, proposer=PROPOSER)
        return None

    def _back(self, champion: Experiment) -> Iterator[tuple[str, bytes, bool]]:
        if found := self.evidence.contradiction(champion):
            yield found.sentence, self._program(found.ancestor), False

    def _again(self, champion: Experiment) -> Iterator[tuple[str, bytes, bool]]:
        """The changes that fell when ``champion`` came back, each on top of it: but not the demoted program itself."""
        undone = self.evidence.undone(champion)
        for number in undone:
            experiment = self.ledger.get(number)
            if experiment.champion is None or experiment.proposal is None:
                continue
            base = self._program(experiment.champion)
            moved = rebase(experiment.proposal.patch.train_py, base, self._program(champion.number))
            if moved is not None and moved != self._program(undone[-1]):
                words = clean(experiment.hypothesis, MAX_HYPOTHESIS_CHARACTERS - 60)
                yield f"#{number} again, without what #{undone[-1]} was demoted for: {words}", moved, True

    def _was_tried(self, champion: Experiment, patch: Patch, by_others: bool) -> bool:
        """Whether it came to an end. That a proposer had the ancestor for an idea, and in vain, settles nothing."""
        rows = [row for row in self.ledger.summaries(arena=champion.arena) if by_others or row.proposer == PROPOSER]
        same = [row for row in rows if (row.base_commit, row.patch_sha256) == (patch.base_commit, patch.sha256)]
        return len(same) >= MAX_ATTEMPTS or any(_ended(row) for row in same)

    def _program(self, number: int) -> bytes:
        proposal = self.ledger.get(number).proposal
        return proposal.patch.train_py if proposal else b""


def _ended(row: Summary) -> bool:
    return row.decision is not None or row.phase in (Phase.QUARANTINED, Phase.ABANDONED)
