"""The seam of the proposers: what one is told, what it answers, and the registry of those that there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from daemon.model import Experiment, Proposal, UserError

# Name in lab.toml -> module. Imported on demand: one that needs an SDK costs nothing until it is chosen.
_MODULES = {
    "optuna": "daemon.proposers.optuna_search",
    "replay": "daemon.proposers.replay",
}


class NothingToPropose(Exception):  # noqa: N818 - an end, not an error: the loop stops cleanly
    """A finite proposer is at its end."""


class ProposalFailed(Exception):  # noqa: N818 - named like OurFault and UserError, after what it is
    """The provider gave nothing usable this time; it is recorded and the loop goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """All that a proposer is told.

    ``train_py`` is the champion's file and ``base_commit`` the commit that holds it. ``history`` are the closed
    experiments of this arena, oldest first, the baseline included.
    """

    champion: Experiment
    train_py: bytes
    base_commit: str
    history: Sequence[Experiment]
    program: str
    profile: str
    experiments_left: int | None = None
    rng_seed: int = 0


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


class Options(BaseModel):
    """What every proposer is given: its seed, and the lab's folder, which relative paths are relative to."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seed: int = 1
    lab: str = "."


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
        known = ", ".join(name for name in form.model_fields if name != "lab")
        problem = (
            f"is unknown; there are {known}" if first["type"] == "extra_forbidden" else f"is wrong: {first['msg']}"
        )
        raise UserError(f"lab.toml: the option {key!r} of the proposer {proposer} {problem}") from error
