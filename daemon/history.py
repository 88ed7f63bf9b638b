"""The branches that the keeps of a ledger stand on, held against the ledger; and what a verification may find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from daemon.model import Decision
from daemon.workspace.git import Git
from daemon.workspace.objects import first_parents, refs

BRANCHES = "refs/heads/autoresearch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The first thing that does not fit: in a sentence, of which experiment where it is one's, and what to do."""

    what: str
    number: int | None
    mend: str


class BrokenStory(Exception):  # noqa: N818 - what was found, not an operation that failed
    """Carries a :class:`Broken` out of the checks."""

    def __init__(self, what: str, *, number: int | None, mend: str) -> None:
        super().__init__(what)
        self.broken = Broken(what=what, number=number, mend=mend)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the ledger says of one experiment's place in git. ``head`` is the hash of its decision's event."""

    number: int
    arena: str
    champion: int | None
    base: str
    commit: str | None
    decision: Decision | None
    final: bool
    train_py_sha256: str | None
    head: str | None

    @property
    def kept(self) -> bool:
        return self.decision is Decision.KEEP


def check_branch(git: Git, tag: str, claims: Sequence[Claim], tips: Mapping[str, str]) -> Iterator[str]:
    """The keeps follow each other, and the last one stands on its branch; yields what is merely worth knowing.

    ``tips`` were read before the claims, so that the ledger knows all commits of ours below them. People may
    put commits below a baseline, and move the branch: the loop then measures a new baseline.

    Raises:
        BrokenStory: a keep's base is no keep, or the last keep is on no branch, or the branch holds what was not kept.
    """
    keeps = {claim.number: claim for claim in claims if claim.kept and claim.commit}
    for keep in keeps.values():
        _check_base(keep, keeps)
    final = [keep for keep in keeps.values() if keep.final]
    histories = _histories(git, tips)
    by_commit = {claim.commit: claim for claim in claims if claim.commit}
    if tag in histories:
        yield from _check_history(tag, histories[tag], by_commit)
    standing = {commit for history in histories.values() for commit in history}
    if final and final[-1].commit not in standing:  # a run that goes on may have kept it since
        tips = refs(git, BRANCHES)
        standing = {commit for history in _histories(git, tips).values() for commit in history}
    yield from _check_last(tag, tips, standing, final)


def _histories(git: Git, tips: Mapping[str, str]) -> dict[str, list[str]]:
    return {name: first_parents(git, tip) for name, tip in tips.items()}


def _check_base(keep: Claim, keeps: Mapping[int, Claim]) -> None:
    if keep.champion is None:
        return
    champion = keeps.get(keep.champion)
    if champion is None or champion.commit != keep.base or champion.number > keep.number:
        raise BrokenStory(
            f"experiment {keep.number} was kept on {keep.base[:10]}, which is not the commit of its champion, "
            f"experiment {keep.champion}",
            number=keep.number,
            mend="keep this lab as it is for whoever looks into it, and go on from a backup",
        )


def _check_history(tag: str, history: Sequence[str], by_commit: Mapping[str, Claim]) -> Iterator[str]:
    above = 0
    for depth, commit in enumerate(history):
        claim = by_commit.get(commit)
        if claim is None:
            above += above == depth
        elif not claim.kept:
            raise BrokenStory(
                f"autoresearch/{tag} holds the commit {commit[:10]} of experiment {claim.number}, which was not kept",
                number=claim.number,
                mend=f"`git log autoresearch/{tag}` shows who put it there; a new tag in lab.toml begins anew",
            )
    if above and above < len(history):
        yield f"{above} commits above the last keep of autoresearch/{tag}: the next run begins with a baseline on them"


def _check_last(tag: str, tips: Mapping[str, str], standing: set[str], keeps: Sequence[Claim]) -> Iterator[str]:
    if not keeps:
        return
    last = keeps[-1]
    if last.commit not in standing:
        where = f"stands on {tips[tag][:10]}" if tag in tips else "is gone"
        raise BrokenStory(
            f"the branch autoresearch/{tag} {where}, and experiment {last.number}, the last keep, is not below it",
            number=last.number,
            mend=f"`git update-ref {BRANCHES}/{tag} {last.commit}` puts it back; if somebody moved it on purpose, "
            "the next run begins with a baseline where it stands",
        )
    if left := [keep.number for keep in keeps if keep.commit not in standing]:
        yield f"{len(left)} earlier keeps, from experiment {left[0]} on, stand on no branch: one was moved or removed"
