"""Bring what the lab found onto a branch of people's: one commit that can be reviewed, with where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from daemon import arenas
from daemon.decide import audited_bpb
from daemon.lab import Lab
from daemon.ledger import Ledger
from daemon.model import Arena, Decision, Experiment, UserError
from daemon.text import clean
from daemon.workspace.git import Git
from daemon.workspace.promoting import Branch

MAX_SUBJECT_CHARACTERS = 100
MAX_TITLE_CHARACTERS = 4000
MAX_LINES = 50  # of the lineage; what is older is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What was done. ``gain_bpb`` is against the baseline of the same arena, in bits per byte."""

    number: int
    branch: str
    commit: str
    gain_bpb: float | None
    lineage: Sequence[int]


def promote(lab: Lab, number: int | None = None, *, branch: str = "main", title: str = "") -> Promotion:
    """Put the train.py of the champion, or of the kept experiment ``number``, onto a branch as one commit.

    Raises:
        UserError: nothing was kept, that experiment was not, the branch has it already or has changed train.py since,
            or train.py has uncommitted changes.
        OurFault: git or the ledger failed; branch and work tree are as they were.
    """
    lab.workspace  # noqa: B018 - a folder that is no repository has a sentence of its own
    with lab.ledger() as ledger:
        kept = _kept(ledger, number)
        line = _lineage(ledger, kept)
        text = _text(line, ledger.arena(kept.arena), ledger.decision_hash(kept.number), title)
    assert kept.proposal is not None  # noqa: S101 - it was kept
    target = Branch(Git(lab.directory), branch)
    _check(target, line)
    commit = target.commit(kept.proposal.patch.train_py, text)
    numbers = [experiment.number for experiment in line]
    return Promotion(number=kept.number, branch=branch, commit=commit, gain_bpb=_gain(line), lineage=numbers)


def sentence(done: Promotion) -> str:
    """What was done, for a person."""
    gain = "" if done.gain_bpb is None else f", {done.gain_bpb:.6f} bits per byte better than its baseline"
    return f"{done.branch} is at {done.commit[:10]}: experiment {done.number}{gain}; `git show {done.branch}` shows it"


def _kept(ledger: Ledger, number: int | None) -> Experiment:
    if number is None:
        champion = arenas.champion(ledger)
        if champion is None:
            raise UserError("there is no champion to promote yet; `autoresearch run --experiments 5` looks for one")
        return champion
    experiment = ledger.get(number)
    if experiment.decision is not Decision.KEEP:
        ended = experiment.decision.value if experiment.decision else experiment.phase.value
        raise UserError(f"experiment {number} ended as {ended}, and only what was kept can be promoted")
    return experiment


def _lineage(ledger: Ledger, kept: Experiment) -> list[Experiment]:
    """The keeps that it stands on, oldest first, through every baseline that was measured on the way."""
    keeps = {row.commit: row.number for row in ledger.summaries() if row.decision is Decision.KEEP and row.commit}
    line = [kept]
    while (below := keeps.get(line[0].base_commit)) is not None:
        line.insert(0, ledger.get(below))
    return line


def _check(target: Branch, line: Sequence[Experiment]) -> None:
    """The branch must hold what one of the lineage held: then nobody's change is lost by taking the new one whole."""
    present = target.train_py()
    held = [experiment.proposal.patch.train_py for experiment in line if experiment.proposal]
    if present == held[-1]:
        raise UserError(f"{target.name} has the train.py of experiment {line[-1].number} already")
    if present in held:
        return
    last = line[-1]
    raise UserError(
        f"{target.name} has changed train.py since the lab's baseline ({target.changed_by()[:10]}), and experiment "
        f"{last.number} does not have that change: `git diff {line[0].base_commit[:10]} {(last.commit or '')[:10]} -- "
        "train.py | git apply --3way` merges it for you to look at, or begin anew from there with a new tag in lab.toml"
    )


def _gain(line: Sequence[Experiment]) -> float | None:
    """By how much the last is better than the newest baseline below it: only they share an arena for sure."""
    baseline = next(experiment for experiment in reversed(line) if experiment.champion is None)
    first, last = audited_bpb(baseline.counted), audited_bpb(line[-1].trials)
    return first - last if first is not None and last is not None and baseline is not line[-1] else None


def _text(line: Sequence[Experiment], arena: Arena, head: str, title: str) -> str:
    last, gain = line[-1], _gain(line)
    said = clean(title, MAX_TITLE_CHARACTERS, lines=True) if title else ""
    subject = said or f"Promote experiment {last.number}: {clean(last.hypothesis, MAX_SUBJECT_CHARACTERS)}"
    better = f"{gain:.6f} bits per byte better than its baseline" if gain is not None else "a baseline itself"
    older = [f"  ({len(line) - MAX_LINES} older ones)"] if len(line) > MAX_LINES else []
    where = f"{clean(arena.device, 100)}, {arena.train_seconds:g} s, torch {clean(arena.torch_version, 40)}"
    return (
        f"{subject}\n\nIt is {better}.\nWhat was kept on the way, with bits per byte (comparable within an arena):\n\n"
        + "\n".join([*older, *map(_line, line[-MAX_LINES:])])
        + f"\n\nArena {arena.fingerprint}: {where}.\n\n"
        + f"Experiment: {last.number}\nExperiment-Commit: {last.commit}\nLedger-Head: {head}\n"
    )


def _line(experiment: Experiment) -> str:
    bpb = audited_bpb(experiment.counted)
    score = f"{bpb:.6f}" if bpb is not None else "no score"
    text = clean(experiment.hypothesis, MAX_SUBJECT_CHARACTERS)
    return f"  #{experiment.number}  {score}  {experiment.arena}  {text}"
