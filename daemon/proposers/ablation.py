"""Local search: takes one thing out of the champion at a time, to see what it is worth. Needs no key and no network.

A champion is a pile of kept changes, and some were kept by luck. Its elements are

- what one experiment of its lineage changed beyond the literals: carried back out by a merge of lines, left alone
  where later changes touch the same lines;
- a literal that differs from the baseline's: set back;
- a literal whose range reaches 0: switched off.

Each is proposed once for a champion, the one with the smallest suspected contribution first and the largest last. A
kept change is suspected of the gain it was kept for, shared among what it changed; nothing is known of what the
baseline came with, so switching that off comes at the end. What would also make the file shorter is worth more: the
contribution counts per line that goes. An equal score with fewer lines is for the rule of the lab to keep. What an
ablation took out is not put back.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from daemon.model import MAX_HYPOTHESIS_CHARACTERS, Experiment, Patch, Proposal
from daemon.proposers.interface import Context, NothingToPropose, Options, parse
from daemon.proposers.literals import SpaceError, Value, read_block, read_space, rewrite
from daemon.proposers.observations import values_of
from daemon.proposers.ranges import Parameter, same
from daemon.rebase import rebase
from daemon.text import clean

NAME = "ablation"
MAX_LINEAGE = 200  # kept experiments that are looked at, the latest


class AblationOptions(Options):
    """``[proposer.options]`` for ``name = "ablation"``: none of its own."""


def build(options: Mapping[str, object]) -> AblationProposer:
    parse(NAME, AblationOptions, options)
    return AblationProposer()


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One thing the champion has and could do without: the file without it, and what it is suspected to bring."""

    train_py: bytes
    hypothesis: str
    suspected_bpb: float
    lines_saved: int = 0

    @property
    def rank(self) -> float:
        return self.suspected_bpb / max(1, self.lines_saved)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keep:
    """A kept experiment of the champion's lineage, with its file, the one it was made of, and its gain."""

    experiment: Experiment
    train_py: bytes
    parent_py: bytes
    gain_bpb: float
    values: Mapping[str, Value]
    parent_values: Mapping[str, Value]
    by_ablation: bool

    @property
    def changed(self) -> set[str]:
        """The literals that it gave another value."""
        both = self.values.keys() & self.parent_values.keys()
        return {name for name in both if not same(self.values[name], self.parent_values[name])}


class AblationProposer:
    """The champion without one of its elements."""

    @property
    def name(self) -> str:
        return NAME

    def propose(self, context: Context) -> Proposal:
        """Return the champion without the element that seems to matter least, of those that were not tried.

        Raises:
            NothingToPropose: it was tried without each of them.
        """
        known = [e.proposal.patch.sha256 for e in (*context.history, *context.pending) if e.proposal is not None]
        tried = {*known, hashlib.sha256(context.train_py).hexdigest()}
        for element in sorted(elements(context), key=lambda element: element.rank):  # stable: ties in the file's order
            if hashlib.sha256(element.train_py).hexdigest() not in tried:
                return Proposal(
                    hypothesis=clean(element.hypothesis, MAX_HYPOTHESIS_CHARACTERS),
                    patch=Patch(train_py=element.train_py, base_commit=context.base_commit),
                    proposer=NAME,
                )
        raise NothingToPropose("the champion was tried without each of its elements")


def elements(context: Context) -> Iterator[Element]:
    """All that could be taken out, in no order of merit."""
    lineage = _lineage(context)
    yield from _changes(context, lineage)
    try:
        space = read_space(context.train_py, context.profile, strict=False)
    except SpaceError:
        return
    yield from _moved_literals(context, space, lineage)
    yield from _switches(context, space)


def _changes(context: Context, lineage: Sequence[_Keep]) -> Iterator[Element]:
    for keep in lineage:
        if keep.by_ablation or not _changes_code(keep, context.profile):
            continue
        parent_py, train_py = (_with_literals_of(context, file) for file in (keep.parent_py, keep.train_py))
        without = rebase(parent_py, train_py, context.train_py)
        if without is None:
            continue
        saved = context.train_py.count(b"\n") - without.count(b"\n")
        size = f"{abs(saved)} lines {'fewer' if saved >= 0 else 'more'}"
        yield Element(
            train_py=without,
            hypothesis=f"without what experiment {keep.experiment.number} brought ({size}): it was kept for a gain of "
            f"{keep.gain_bpb:.4f}; is it still needed? It was: {clean(keep.experiment.hypothesis, 200)}",
            suspected_bpb=keep.gain_bpb,
            lines_saved=saved,
        )


def _with_literals_of(context: Context, train_py: bytes) -> bytes:
    """The file with the champion's values, so that literals which moved since then do not stand in the way."""
    try:
        wanted = {p.name: p.value for p in read_space(context.train_py, context.profile, strict=False)}
        space = read_space(train_py, context.profile, strict=False)
    except SpaceError:
        return train_py
    values = {p.name: wanted[p.name] for p in space if p.name in wanted and p.allows(wanted[p.name])}
    return rewrite(train_py, context.profile, values)


def _changes_code(keep: _Keep, profile: str) -> bool:
    try:
        return read_block(keep.train_py, profile).skeleton != read_block(keep.parent_py, profile).skeleton
    except SpaceError:
        return True


def _share(keep: _Keep, profile: str) -> float:
    """What each thing that a keep changed is suspected of; its code counts as one."""
    return keep.gain_bpb / (len(keep.changed) + _changes_code(keep, profile))


def _moved_literals(context: Context, space: Sequence[Parameter], lineage: Sequence[_Keep]) -> Iterator[Element]:
    """Literals that stand elsewhere than in the baseline, each set back."""
    baseline = lineage[0].parent_values if lineage else {}
    for parameter in space:
        name, old = parameter.name, baseline.get(parameter.name)
        movers = [keep for keep in lineage if name in keep.changed]
        if old is None or same(old, parameter.value) or not parameter.allows(old) or not movers:
            continue
        if not movers[-1].by_ablation:
            yield Element(
                train_py=rewrite(context.train_py, context.profile, {name: old}),
                hypothesis=f"{name} {parameter.spell(parameter.value)} → {parameter.spell(old)}, as in the baseline: "
                f"was the change worth keeping?",
                suspected_bpb=sum(_share(keep, context.profile) for keep in movers),
            )


def _switches(context: Context, space: Sequence[Parameter]) -> Iterator[Element]:
    for parameter in space:
        off: Value = 0 if parameter.kind == "int" else 0.0
        if parameter.kind in ("lin", "int") and parameter.value and parameter.allows(off):
            yield Element(
                train_py=rewrite(context.train_py, context.profile, {parameter.name: off}),
                hypothesis=f"{parameter.name} {parameter.spell(parameter.value)} → {parameter.spell(off)}, switched "
                "off: is it needed at all?",
                suspected_bpb=math.inf,
            )


def _lineage(context: Context) -> list[_Keep]:
    """The keeps that the champion is made of, oldest first."""
    by_number = {experiment.number: experiment for experiment in context.history}
    found: list[_Keep] = []
    at: Experiment | None = context.champion
    while at is not None and at.champion is not None and len(found) < MAX_LINEAGE:
        parent = by_number.get(at.champion)
        if parent is not None and parent.number < at.number:
            found += _keep(at, parent, context.profile)
            at = parent
        else:
            at = None
    return found[::-1]


def _keep(experiment: Experiment, parent: Experiment, profile: str) -> list[_Keep]:
    if experiment.proposal is None or parent.proposal is None:
        return []
    new, old = experiment.val_bpb, parent.val_bpb
    keep = _Keep(
        experiment=experiment,
        train_py=experiment.proposal.patch.train_py,
        parent_py=parent.proposal.patch.train_py,
        gain_bpb=old - new if new is not None and old is not None else 0.0,
        values=values_of(experiment, profile),
        parent_values=values_of(parent, profile),
        by_ablation=experiment.proposal.proposer == NAME,
    )
    return [keep]
