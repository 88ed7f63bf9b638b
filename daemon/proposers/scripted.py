"""A proposer that follows a script: for tests of everything that stands on proposers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from daemon.model import Patch, Proposal
from daemon.proposers.interface import Context, NothingToPropose

NAME = "scripted"
Step = tuple[str, bytes | Callable[[Context], bytes]] | Exception


class ScriptedProposer:
    """Proposes (hypothesis, train.py) pairs in order; an exception in the script is raised once, in its turn.

    The position is the number of its experiments in the history plus the exceptions raised so far, so the same
    context gives the same proposal, and an experiment that was interrupted is proposed again.
    """

    def __init__(self, script: Sequence[Step], name: str = NAME) -> None:
        self._script = tuple(script)
        self._name = name
        self._raised = 0

    @property
    def name(self) -> str:
        return self._name

    def propose(self, context: Context) -> Proposal:
        """Follow the script.

        Raises:
            NothingToPropose: the script is at its end.
            Exception: whatever the script says.
        """
        done = sum(1 for e in context.history if e.proposal is not None and e.proposal.proposer == self._name)
        position = done + self._raised
        if position >= len(self._script):
            raise NothingToPropose(f"the script of {len(self._script)} steps is at its end")
        step = self._script[position]
        if isinstance(step, Exception):
            self._raised += 1
            raise step
        hypothesis, content = step
        train_py = content if isinstance(content, bytes) else content(context)
        return Proposal(
            hypothesis=hypothesis,
            patch=Patch(train_py=train_py, base_commit=context.base_commit),
            proposer=self._name,
        )
