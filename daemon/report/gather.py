"""Reads a report off the ledger. Every number comes from there; git gives the diffs, the notebook what to try next."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from daemon import arenas, cost, notebook
from daemon.decide import Noise
from daemon.evidence import Evidence
from daemon.lab import Lab
from daemon.ledger import Ledger
from daemon.memory import TouchedMemory
from daemon.model import Decision, Experiment, Phase, Summary, UserError
from daemon.report.changes import change_of
from daemon.report.values import (
    Gap,
    Group,
    Headline,
    Kept,
    Provenance,
    Reliability,
    Report,
    Times,
    sigmas,
)
from daemon.text import clean

EVERYTHING = "all"
MAX_KEPT, MAX_GROUPS, MAX_NEXT = 50, 12, 12
QUOTED = 200
GAP_BUDGETS = 3.0  # a time without any experiment that is longer than so many budgets is an outage
MIN_GAP_SECONDS = 60.0
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_NEXT = ("Near misses", "Literals that nobody has moved yet")


def gather(lab: Lab, since: str, now: datetime, *, sigma_bpb: float | None = None) -> Report:
    """The report on a lab from ``since`` ("12h", "90m", "2d" or "all") to ``now``.

    ``sigma_bpb`` is the standard deviation of one run's score, where another one is wanted than the ledger tells.

    Raises:
        UserError: ``since`` cannot be understood, or nothing was tried in that time.
    """
    start = beginning(since, now)
    with lab.ledger() as ledger:
        every = ledger.summaries()
        window = [row for row in every if (row.closed_at or row.opened_at) >= start]
        if not window:
            raise UserError(f"nothing was tried in the last {since}; --since all reports on everything")
        # A long run has an arena of its own, and decides nothing.
        fingerprint = next((row.arena for row in reversed(window) if row.proposer != arenas.LONG), window[-1].arena)
        rows = [row for row in window if row.arena == fingerprint]
        before = [row for row in every if row.arena == fingerprint and row.number < rows[0].number]
        decided = [row for row in rows if row.decision is not None]
        champions = {row.number: row.val_bpb for row in every}
        noise = Noise(sigma_bpb=sigma_bpb, runs=0) if sigma_bpb else Evidence(ledger, fingerprint).noise()
        sigma_bpb = noise.sigma_bpb if noise else None
        arena = ledger.arena(fingerprint)
        return Report(
            lab=clean(lab.directory.name, 80),
            since=max(start, rows[0].opened_at),
            until=_iso(now),
            headline=_headline(before, decided, sigma_bpb),
            rows=decided,
            kept=list(_kept(lab, ledger, decided, champions, sigma_bpb)),
            failed=_failed(decided),
            taken_out=list(_taken_out(decided, champions, sigma_bpb)),
            cost=cost.spent(rows, now.strftime("%Y-%m-%d")),
            times=_times(rows, start, now),
            reliability=_reliability(ledger, rows, arena.train_seconds),
            holdout=[look for look in ledger.looks() if look.arena == fingerprint],
            arena=arena,
            other_arenas=len({row.arena for row in window} - {fingerprint}),
            provenance=_provenance(lab, ledger, fingerprint),
            next=_next(lab, ledger, [*before, *rows], noise),
        )


def beginning(since: str, now: datetime) -> str:
    """When a time of that length began, as the ledger writes times.

    Raises:
        UserError: it is no length of time.
    """
    if since == EVERYTHING:
        return ""
    found = re.fullmatch(r"([0-9]{1,5})([mhd])", since)
    if not found:
        raise UserError(
            f"--since takes minutes, hours or days such as 90m, 12h or 2d, or all; not {clean(since, 40)!r}"
        )
    return _iso(now - int(found[1]) * _UNITS[found[2]])


def _headline(before: Sequence[Summary], decided: Sequence[Summary], sigma_bpb: float | None) -> Headline:
    kept = [row for row in decided if row.decision is Decision.KEEP]
    earlier = [row.val_bpb for row in before if row.decision is Decision.KEEP and row.val_bpb is not None]
    here = [row.val_bpb for row in kept if row.val_bpb is not None]
    line = [*earlier[-1:], *here]
    return Headline(
        before_bpb=line[0] if line else None,
        now_bpb=line[-1] if line else None,
        sigma_bpb=sigma_bpb,
        experiments=len(decided),
        kept=sum(row.champion is not None for row in kept),
    )


def _kept(
    lab: Lab, ledger: Ledger, decided: Iterable[Summary], scores: Mapping[int, float | None], sigma_bpb: float | None
) -> Iterator[Kept]:
    """Newest first."""
    kept = [row for row in decided if row.decision is Decision.KEEP]
    for row in kept[: -MAX_KEPT - 1 : -1]:
        experiment = ledger.get(row.number)
        runs = [trial.val_bpb for trial in experiment.trials if trial.val_bpb is not None]
        yield _told(row, scores, sigma_bpb, runs, _diff(lab, row))


def _diff(lab: Lab, row: Summary) -> str:
    """What it changed; a baseline changed nothing."""
    if row.commit is None or row.champion is None:
        return ""
    return lab.workspace.diff(row.base_commit, row.commit)


def _told(
    row: Summary, scores: Mapping[int, float | None], sigma_bpb: float | None, runs: Sequence[float], diff: str
) -> Kept:
    before = scores.get(row.champion) if row.champion is not None else None
    gain = before - row.val_bpb if before is not None and row.val_bpb is not None else None
    gain = gain if row.gain_bpb is None else row.gain_bpb
    return Kept(
        number=row.number,
        hypothesis=clean(row.hypothesis, QUOTED),
        reason=clean(row.reason, 300),
        proposer=clean(row.proposer, 60),
        val_bpb=row.val_bpb,
        gain_bpb=gain,
        gain_sigmas=sigmas(gain, sigma_bpb),
        runs=runs,
        commit=(row.commit or "")[:12],
        change=change_of(diff),
    )


def _taken_out(
    decided: Iterable[Summary], scores: Mapping[int, float | None], sigma_bpb: float | None
) -> Iterator[Kept]:
    """What an ablation showed: the champion without one of its elements, the most costly to miss first."""
    found = [
        _told(row, scores, sigma_bpb, (), "")
        for row in decided
        if row.proposer == "ablation" and row.val_bpb is not None and row.decision is Decision.DISCARD
    ]
    yield from sorted(found, key=lambda told: told.gain_bpb or 0.0)[:MAX_GROUPS]


def _failed(decided: Iterable[Summary]) -> list[Group]:
    """What was not kept, by how it ended and why; the most frequent first."""
    groups: dict[str, list[Summary]] = defaultdict(list)
    for row in decided:
        if row.decision is not None and row.decision is not Decision.KEEP:
            groups[_why(row)].append(row)
    return _groups(groups)


def _why(row: Summary) -> str:
    match row.decision:
        case Decision.DISCARD:
            return "discard: not better"
        case Decision.REFUSED:
            return f"refused: {clean(row.reason, 300).partition(':')[0][:40]}"
        case _:
            return f"{row.decision}: {'out of memory' if row.status == 'oom' else _plain(clean(row.reason, 80))}"


def _plain(reason: str) -> str:
    """Without its numbers, so that what is alike falls together."""
    return re.sub(r"[0-9][0-9.,]*", "…", reason)


def _groups(groups: Mapping[str, Sequence[Summary]]) -> list[Group]:
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        Group(what=what, count=len(rows), last=rows[-1].number, example=clean(rows[-1].hypothesis, 120))
        for what, rows in ordered[:MAX_GROUPS]
    ]


def _times(rows: Sequence[Summary], start: str, now: datetime) -> Times:
    began = max(_at(start), _at(rows[0].opened_at)) if start else _at(rows[0].opened_at)
    ended = max((_at(row.closed_at) for row in rows if row.closed_at), default=now)
    wall = max(0.0, (ended - began).total_seconds())
    startup, training = sum(row.startup_seconds for row in rows), sum(row.train_wall_seconds for row in rows)
    scoring, total = sum(row.score_seconds for row in rows), sum(row.total_seconds for row in rows)
    return Times(
        wall=wall,
        startup=startup,
        training=training,
        scoring=scoring,
        handling=max(0.0, total - startup - training - scoring),
        outside=max(0.0, wall - total),
    )


def _reliability(ledger: Ledger, rows: Sequence[Summary], train_seconds: float) -> Reliability:
    groups: dict[str, list[Summary]] = defaultdict(list)
    for row in rows:
        if row.phase is Phase.INTERRUPTED:
            groups[_interruption(ledger.get(row.number))].append(row)
    return Reliability(
        trials=sum(row.trials + row.rivals for row in rows),
        voided=ledger.voided(rows[0].number),
        interrupted=_groups(groups),
        abandoned=sum(row.phase is Phase.ABANDONED for row in rows),
        invalid=sum(row.decision is Decision.INVALID for row in rows),
        gaps=_gaps(rows, max(MIN_GAP_SECONDS, GAP_BUDGETS * train_seconds)),
    )


def _interruption(experiment: Experiment) -> str:
    last = experiment.events[-1] if experiment.events else ""
    return _plain(clean(last.partition(": ")[2] or last, 120)) or "no reason given"


def _gaps(rows: Sequence[Summary], least_seconds: float) -> list[Gap]:
    """Times between one experiment and the next in which nothing happened, the longest first."""
    found = []
    for one, other in pairwise(rows):
        if one.closed_at and (seconds := (_at(other.opened_at) - _at(one.closed_at)).total_seconds()) > least_seconds:
            found.append(Gap(since=one.closed_at, seconds=seconds))
    return sorted(found, key=lambda gap: -gap.seconds)


def _provenance(lab: Lab, ledger: Ledger, arena: str) -> Provenance:
    champion = ledger.champion(arena)
    return Provenance(
        champion=champion.number if champion else None,
        commit=(champion.commit or "") if champion else "",
        branch=f"autoresearch/{lab.settings.tag}",
        chain_head=ledger.head_hash(),
        events=ledger.events(),
    )


def _next(lab: Lab, ledger: Ledger, rows: Sequence[Summary], noise: Noise | None) -> list[tuple[str, Sequence[str]]]:
    from daemon.lab_desk import champions_file
    from daemon.proposers.literals import SpaceError, read_space

    try:
        space = read_space(champions_file(lab), lab.settings.profile)
    except (SpaceError, UserError):
        space = ()
    touched = TouchedMemory(lab.state / "touched.json").of(rows, ledger)
    text = notebook.build(notebook.Known(rows=rows, noise=noise, touched=touched, space=space))
    sections = [section.split("\n") for section in text.split("\n\n## ")[1:]]
    wanted = [section for section in sections if section[0].startswith(_NEXT)]
    return [(section[0], [line.removeprefix("- ") for line in section[1 : MAX_NEXT + 1]]) for section in wanted]


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
