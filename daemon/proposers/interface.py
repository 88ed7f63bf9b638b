"""The seam of the proposers: what one is told, what it answers, and the registry of those that there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, TypeVar, cast, runtime_checkable

from pydantic import BaseModel, ConfigDict, SkipValidation, ValidationError

from daemon.credentials import KeySource
from daemon.model import Experiment, Lesson, Proposal, Usage, UserError
from policies.interface import Verdict

# Name in lab.toml -> module. Imported on demand: one that needs an SDK costs nothing until it is chosen.
_MODULES = {
    "ablation": "daemon.proposers.ablation",
    "anthropic": "daemon.proposers.anthropic_llm",
    "command": "daemon.proposers.command",
    "hybrid": "daemon.proposers.hybrid",
    "optuna": "daemon.proposers.optuna_search",
    "replay": "daemon.proposers.replay",
}


class NothingToPropose(Exception):  # noqa: N818 - an end, not an error: the loop stops cleanly
    """A finite proposer is at its end."""


class ProposalFailed(Exception):  # noqa: N818 - named like OurFault and UserError, after what it is
    """The provider gave nothing usable this time; it is recorded, with what it cost, and the loop goes on."""

    def __init__(self, message: str, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.usage = usage


class Desk(Protocol):
    """The verbs a researcher has. Every answer is text that is cleaned, bounded and fenced."""

    def read(self, name: str) -> str:
        """``train.py`` (the champion's), ``prepare.py`` or ``program.md``; UserError for anything else."""
        ...

    def experiments(self, *, decision: str | None = None, limit: int = 30, before: int | None = None) -> str: ...

    def experiment(self, number: int) -> str: ...

    def search(self, words: str, limit: int = 20) -> str: ...

    def notebook(self) -> str: ...

    def check(self, train_py: bytes) -> Verdict: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """All that a proposer is told.

    ``train_py`` is the champion's file and ``base_commit`` the commit that holds it. ``history`` are the closed
    experiments of this arena, oldest first, the baseline included. ``desk`` answers what a researcher looks up.
    ``pending`` are experiments that are being tried while this is asked: not to be proposed again, not yet decided.
    """

    champion: Experiment
    train_py: bytes
    base_commit: str
    history: Sequence[Experiment]
    program: str
    profile: str
    pending: Sequence[Experiment] = ()
    experiments_left: int | None = None
    rng_seed: int = 0
    desk: Desk | None = None


class Proposer(Protocol):
    """Suggests the next change. The same context must give the same answer: a restart repeats nothing."""

    @property
    def name(self) -> str: ...

    def propose(self, context: Context) -> Proposal:
        """Return a hypothesis of at most ``MAX_HYPOTHESIS_CHARACTERS`` and a patch against ``base_commit``.

        Raises:
            NothingToPropose: there will never be another.
            ProposalFailed: not this time.
            UserError: a mistake in the lab that only a person can mend.
            OurFault: the provider cannot be reached.
        """
        ...


@runtime_checkable
class Reflects(Protocol):
    """A proposer that also writes down what it learnt when an experiment has ended."""

    def reflect(self, context: Context, experiment: Experiment) -> Lesson | None:
        """Return a lesson, or None when there is none. May raise as :meth:`Proposer.propose` does."""
        ...


class Options(BaseModel):
    """What every proposer is given: its seed, the lab's folder, which relative paths are relative to, and the key.

    ``usd_capped`` says that a cap in US dollars is set, which cannot be kept where a price is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seed: int = 1
    lab: str = "."
    keys: SkipValidation[KeySource] = KeySource()
    usd_capped: bool = False


class _Module(Protocol):
    def build(self, options: Mapping[str, object]) -> Proposer: ...


def load(name: str, options: Mapping[str, object]) -> Proposer:
    """Import the proposer's module and build it from ``[proposer.options]`` of lab.toml.

    Raises:
        UserError: the name is unknown, or an option is unknown or wrong.
    """
    if name not in _MODULES:
        raise UserError(f"there is no proposer {name!r}; the known ones are {', '.join(sorted(_MODULES))}")
    return cast(_Module, import_module(_MODULES[name])).build(options)


GIVEN = ("lab", "keys", "usd_capped")  # by the lab, not by lab.toml
_SomeOptions = TypeVar("_SomeOptions", bound=Options)


def parse(proposer: str, form: type[_SomeOptions], options: Mapping[str, object]) -> _SomeOptions:
    """Check ``options`` against a proposer's own form.

    Raises:
        UserError: naming the first key that is unknown, missing or wrong.
    """
    try:
        return form.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        known = ", ".join(name for name in form.model_fields if name not in GIVEN)
        problem = (
            f"is unknown; there are {known}" if first["type"] == "extra_forbidden" else f"is wrong: {first['msg']}"
        )
        raise UserError(f"lab.toml: the option {key!r} of the proposer {proposer} {problem}") from error
