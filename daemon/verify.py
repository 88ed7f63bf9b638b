"""Do the ledger, git and the lab's files still tell one story? The first thing that does not fit is named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.markup import escape

from daemon import arenas, models
from daemon.history import BRANCHES, Broken, BrokenStory, Claim, check_branch
from daemon.lab import Lab
from daemon.ledger import Ledger, LedgerBroken
from daemon.model import Experiment, OurFault, Phase, UserError
from daemon.output import print_json
from daemon.text import clean
from daemon.workspace import ledger_head_of
from daemon.workspace.git import Git
from daemon.workspace.objects import Commit, Missing, read_commits, refs

EXPERIMENTS = "refs/experiments"
MAX_WORDS = 600
RESTORE = (
    "stop the run, put a backup of .autoresearch/ledger.sqlite in its place (see Backup in docs/operations.md) and "
    "verify again; nothing should be decided on this one"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found. ``counts`` is what was looked at; ``notes`` are worth knowing and break nothing."""

    broken: Broken | None
    counts: Mapping[str, int]
    notes: Sequence[str]

    @property
    def ok(self) -> bool:
        return self.broken is None


def verify(lab: Lab) -> Report:
    """Check the lab, reading only: the ledger's chain, each experiment's commit, the branch, the arena's files.

    Memory grows by less than a kilobyte an experiment. A run may go on meanwhile.

    Raises:
        UserError: the folder is no lab.
        OurFault: git or the ledger could not be read at all, which says nothing of their content.
    """
    counts = {"events": 0, "experiments": 0, "commits": 0, "keeps": 0, "models": 0}
    notes: list[str] = []
    try:
        for note in _check(lab, counts):
            notes.append(clean(note, MAX_WORDS))
    except LedgerBroken as error:
        return Report(
            broken=Broken(what=clean(str(error), MAX_WORDS), number=None, mend=RESTORE), counts=counts, notes=notes
        )
    except BrokenStory as story:
        return Report(broken=story.broken, counts=counts, notes=notes)
    return Report(broken=None, counts=counts, notes=notes)


def _check(lab: Lab, counts: dict[str, int]) -> Iterator[str]:
    lab.workspace  # noqa: B018 - a folder that is no repository has a sentence of its own
    git = Git(lab.directory)
    # Before the ledger: what has a ref was on the ledger by then, so that a run in progress looks sound.
    tips = refs(git, BRANCHES)
    recorded = {int(name): commit for name, commit in refs(git, EXPERIMENTS).items() if name.isdecimal()}
    if not (lab.state / "ledger.sqlite").exists():
        if recorded:
            raise LedgerBroken(0, f"it is gone, and git has the commits of {len(recorded)} experiments")
        yield "nothing was run in this lab yet"
        return
    with lab.ledger() as ledger:
        claims = [_claim(ledger, experiment) for experiment in ledger.audit()]
        counts |= {"events": ledger.events(), "experiments": len(claims)}
        _check_cut_off(recorded, len(claims))
        counts["commits"] = _check_commits(git, claims, recorded)
        counts["keeps"] = sum(claim.kept for claim in claims)
        yield from check_branch(git, lab.settings.tag, claims, tips)
        counts["models"] = _check_models(lab, ledger, {claim.number for claim in claims if claim.decision})
        yield from _arena_notes(lab, ledger, claims)


def _claim(ledger: Ledger, experiment: Experiment) -> Claim:
    outcome, proposal = experiment.outcome, experiment.proposal
    return Claim(
        number=experiment.number,
        arena=experiment.arena,
        champion=experiment.champion,
        base=experiment.base_commit,
        commit=experiment.commit,
        decision=outcome.decision if outcome else None,
        final=experiment.phase in (Phase.CLOSED, Phase.INTERRUPTED),
        train_py_sha256=proposal.patch.sha256 if proposal else None,
        head=ledger.decision_hash(experiment.number) if outcome else None,
    )


def _check_cut_off(recorded: Mapping[int, str], experiments: int) -> None:
    if beyond := [number for number in recorded if number >= experiments]:
        raise BrokenStory(
            f"git has a commit of experiment {min(beyond)}, and the ledger ends with {experiments} experiments: "
            "events were cut off, or an old ledger was put in its place",
            number=min(beyond),
            mend=RESTORE,
        )


def _check_commits(git: Git, claims: Sequence[Claim], recorded: Mapping[int, str]) -> int:
    bases = _bases(git, claims)
    with_commit = []
    for claim in claims:
        _check_ref(git, claim, recorded)
        if claim.commit is not None:
            with_commit.append(claim)
    found = read_commits(git, [claim.commit or "" for claim in with_commit])
    for claim, commit in zip(with_commit, found, strict=True):
        _check_commit(claim, commit, bases)
    return len(with_commit)


def _check_ref(git: Git, claim: Claim, recorded: Mapping[int, str]) -> None:
    ref = f"{EXPERIMENTS}/{claim.number}"
    present = recorded.get(claim.number)
    if claim.commit is None:
        if present is not None and claim.final:
            raise BrokenStory(
                f"{ref} is there, and the ledger knows of no commit of experiment {claim.number}",
                number=claim.number,
                mend=f"look at `git log -1 {ref}`; `git update-ref -d {ref}` removes it",
            )
        return
    present = present or git.resolve(ref)  # it may have been made since
    if present != claim.commit:
        state = f"is {present[:10]}" if present else "is gone"
        raise BrokenStory(
            f"{ref} {state}, and the ledger says {claim.commit[:10]}",
            number=claim.number,
            mend=f"`git update-ref {ref} {claim.commit}` puts it back; if git has none, fetch it from a backup",
        )


def _bases(git: Git, claims: Sequence[Claim]) -> dict[str, bytes | str]:
    """What each base holds besides train.py, as a digest; why, where it cannot be read."""
    names = list(dict.fromkeys(claim.base for claim in claims if claim.commit is not None))
    found = read_commits(git, names)
    return {one.name: _digest(one) if isinstance(one, Commit) else one.why for one in found}


def _check_models(lab: Lab, ledger: Ledger, decided: set[int]) -> int:
    """Each kept model is the one that the referee scored in a trial of its experiment."""
    kept = models.of_lab(lab.state)
    for number in kept.numbers():
        mend = f"`rm -r {kept.folder / str(number)}`; `autoresearch replay {number}` trains it again"
        try:
            one, trials = kept.get(number), ledger.get(number).trials
        except UserError as error:
            raise BrokenStory(f"a kept model: {error}", number=number, mend=mend) from error
        scored = {trial.score.audit.get("sealed_sha256") for trial in trials if trial.score}
        wrong = models.problem(one)
        if number in decided and one.sealed_sha256 not in scored:
            wrong = wrong or "it is none that the ledger has a score of"
        if wrong:
            raise BrokenStory(f"the kept model of experiment {number}: {wrong}", number=number, mend=mend)
    return len(kept.numbers())


def _digest(commit: Commit) -> bytes:
    return hashlib.sha256(repr(sorted(commit.others.items())).encode()).digest()


def _check_commit(claim: Claim, commit: Commit | Missing, bases: Mapping[str, bytes | str]) -> None:
    number, name = claim.number, commit.name[:10]
    base, problem = bases[claim.base], None
    if isinstance(commit, Missing):
        problem = f"cannot be read: {commit.why}"
    elif commit.parents != (claim.base,):
        problem = f"does not stand on {claim.base[:10]}, which the ledger names as its base"
    elif isinstance(base, str):
        problem = f"stands on {claim.base[:10]}, which cannot be read: {base}"
    elif commit.train_py is None or hashlib.sha256(commit.train_py).hexdigest() != claim.train_py_sha256:
        problem = "holds another train.py than the ledger"
    elif _digest(commit) != base:
        problem = "changes more than train.py"
    elif ledger_head_of(commit.text) != claim.head:
        problem = "carries another Ledger-Head than the ledger has for its decision"
    if problem is not None:
        raise BrokenStory(
            f"the commit {name} of experiment {number} {clean(problem, MAX_WORDS)}",
            number=number,
            mend=f"fetch it from a backup: `git fetch BACKUP +{EXPERIMENTS}/{number}:{EXPERIMENTS}/{number}`",
        )


def _arena_notes(lab: Lab, ledger: Ledger, claims: Sequence[Claim]) -> Iterator[str]:
    """Where the lab's files are not the arena's of the last experiment: then the next run begins a new one."""
    fingerprint = arenas.current(ledger)
    claims = [claim for claim in claims if claim.arena == fingerprint]
    if fingerprint is None or not claims:
        return
    arena = ledger.arena(fingerprint)
    begins = "the next run begins a new arena, with a baseline"
    try:
        if hashlib.sha256(lab.read("prepare.py")).hexdigest() != arena.prepare_sha256:
            yield f"prepare.py has changed since experiment {claims[-1].number}: {begins}"
        if lab.dataset.manifest_sha256 != arena.manifest_sha256:
            yield f"the data are others than those of experiment {claims[-1].number}: {begins}"
    except (UserError, OurFault) as error:
        yield str(error)
    times = lab.settings.time
    if (times.train_seconds, times.clock) != (arena.train_seconds, arena.clock):
        yield f"[time] of lab.toml has changed since experiment {claims[-1].number}: {begins}"


def show(report: Report, console: Console, *, as_json: bool) -> None:
    """Print what was found."""
    if as_json:
        broken = asdict(report.broken) if report.broken else None
        print_json({"ok": report.ok, "broken": broken, "counts": dict(report.counts), "notes": list(report.notes)})
        return
    if report.broken:
        console.print(f"[bold red]broken[/]: {escape(report.broken.what)}", highlight=False, soft_wrap=True)
        console.print(f"  what to do: {escape(report.broken.mend)}", highlight=False, soft_wrap=True)
    else:
        counted = ", ".join(f"{count} {what}" for what, count in report.counts.items())
        console.print(f"[bold green]OK[/]: {counted}", highlight=False, soft_wrap=True)
    for note in report.notes:
        console.print(f"  note: {escape(note)}", highlight=False, soft_wrap=True)
