"""What each view shows, gathered from a read-only ledger. No view waits for anything but that."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from daemon import live
from daemon.ledger import LedgerError
from daemon.ledger.looking import Looking, Point, Sort, Wanted
from daemon.live import Live
from daemon.model import Decision, Experiment, UserError
from daemon.text import clean
from daemon.web import chart, diffs, memory, words
from daemon.web.settings import Facts
from daemon.web.story import bars_of, steps_of

ROWS = 50
MAX_PAGE = 1_000_000
RECENT = 8
VERSIONS = 8
MAX_WORDS = 200
MAX_PROGRAM = 65_536
SORTS: Mapping[str, Sort] = {"number": "number", "score": "score", "gain": "gain", "seconds": "seconds"}
Query = Mapping[str, str]
Context = dict[str, Any]


class NotThere(Exception):  # noqa: N818 - an answer of the page
    """There is no such view; the message says why."""


class Views:
    """The views of one lab. Thread-safe: each opens the ledger for itself."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._pictures, self._briefs = memory.Pictures(), memory.Briefs()

    def live(self) -> Live | None:
        """What the loop is at; None where nobody says so."""
        return live.read(Path(self._facts.state) / live.FILE, time.time())

    def moved(self) -> int:
        """Grows with every event of the ledger; 0 where there is none."""
        ledger = self._open()
        if ledger is None:
            return 0
        with ledger:
            return ledger.moved()

    def now(self, _query: Query) -> Context:
        ledger = self._open()
        if ledger is None:
            return {"empty": True}
        with ledger:
            arena = _newest_arena(ledger)
            if arena is None:
                return {"empty": True}
            champion = ledger.champion(arena)
            listed, total = ledger.page(Wanted(limit=RECENT))
            picture, _ = self._pictures.of(ledger, arena)
            first = picture.steps[0] if picture.steps else None
            return {
                "champion": champion,
                "first": first,
                "won": _difference(first, champion),
                "listed": listed,
                "total": total,
                "tally": (tally := ledger.tally(arena)),
                "kept": tally.get(Decision.KEEP, 0),
                "chart": picture,
            }

    def progress(self, query: Query) -> Context:
        ledger = self._open()
        if ledger is None:
            return {"empty": True}
        with ledger:
            arenas = ledger.arenas()
            arena = _chosen(query.get("arena", ""), [fingerprint for fingerprint, _ in arenas])
            if arena is None:
                return {"empty": True}
            picture, points = self._pictures.of(ledger, arena)
            numbers = [step.number for step in picture.steps[-200:]]
            hypotheses = ledger.hypotheses(numbers)
        scores = [None, *(step.val_bpb for step in picture.steps)]
        gains = [_less(before, step.val_bpb) for before, step in zip(scores, picture.steps, strict=False)]
        steps = list(zip(picture.steps, gains, strict=True))[-200:][::-1]
        return {
            "chart": picture,
            "steps": [(step, gain, words.line(hypotheses.get(step.number, ""))) for step, gain in steps],
            "all_steps": len(picture.steps),
            "decided": len(points),
            "tally": _tally(points),
            "arena": arena,
            "arenas": arenas,
        }

    def points(self, query: Query) -> Context:
        """All places of the chart, for its script."""
        ledger = self._open()
        if ledger is None:
            return {}
        with ledger:
            arena = _chosen(query.get("arena", ""), [fingerprint for fingerprint, _ in ledger.arenas()])
            if arena is None:
                return {}
            picture, points = self._pictures.of(ledger, arena)
        return {**chart.places(picture.frame, points)}

    def brief(self, number: int) -> Context:
        """One experiment in a line, for the chart's script."""
        with self._needed() as ledger:
            experiment = _get(ledger, number)
        return {
            "number": experiment.number,
            "decision": words.said(experiment.decision),
            "val_bpb": words.bpb(experiment.val_bpb),
            "hypothesis": clean(experiment.hypothesis, 500),
        }

    def experiments(self, query: Query) -> Context:
        decision = next((known for known in Decision if known.value == query.get("decision")), None)
        sort = SORTS.get(query.get("sort", ""), "number")
        wanted = Wanted(
            decision=decision,
            proposer=clean(query.get("by", ""), MAX_WORDS) or None,
            words=clean(query.get("q", ""), MAX_WORDS),
            sort=sort,
            ascending=query.get("order") == "up",
            limit=ROWS,
            offset=ROWS * (_whole(query.get("page", "1"), 1, MAX_PAGE) - 1),
        )
        ledger = self._open()
        if ledger is None:
            return {"empty": True}
        with ledger:
            listed, total = ledger.page(wanted)
            return {
                "listed": listed,
                "total": total,
                "wanted": wanted,
                "page": wanted.offset // ROWS + 1,
                "pages": max(1, -(-total // ROWS)),
                "proposers": [words.line(name, MAX_WORDS) for name in ledger.proposers()],
                "decisions": list(Decision),
                "link": lambda **changes: _link(query, changes),
            }

    def experiment(self, number: int) -> Context:
        with self._needed() as ledger:
            experiment = _get(ledger, number)
            story = ledger.story(number)
            base, base_number = _base_of(ledger, experiment)
            proposal = experiment.proposal
            return {
                "e": experiment,
                "gain": _less(ledger.get(base_number).val_bpb if base_number is not None else None, experiment.val_bpb),
                "arena": ledger.arena(experiment.arena),
                "head": ledger.decision_hash(number) if experiment.outcome else None,
                "steps": steps_of(story),
                "bars": bars_of(experiment),
                "base_number": base_number,
                "diff": diffs.compare(base, proposal.patch.train_py) if proposal and base is not None else None,
                "last": ledger.count() - 1,
            }

    def program(self, query: Query) -> Context:
        text = memory.read_file(Path(self._facts.directory) / "program.md", MAX_PROGRAM)
        context: Context = {"text": words.lines(_decoded(text or b""), MAX_PROGRAM), "versions": []}
        ledger = self._open()
        if ledger is None:
            return context
        with ledger:
            versions = self._briefs.versions(ledger)
            end = len(versions) - VERSIONS * (_whole(query.get("page", "1"), 1, MAX_PAGE) - 1)
            shown = []
            for at in range(end - 1, max(-1, end - 1 - VERSIONS), -1):
                before = ledger.brief(versions[at - 1].sha256) if at else None
                after = ledger.brief(versions[at].sha256)
                change = None
                if before is not None and after is not None:
                    change = diffs.compare(before.encode(), after.encode(), python=False)
                shown.append((at + 1, versions[at], change))
        return {
            **context,
            "versions": shown,
            "all_versions": len(versions),
            "page": _whole(query.get("page", "1"), 1, MAX_PAGE),
            "more": end - VERSIONS > 0,
        }

    def system(self, _query: Query) -> Context:
        state = Path(self._facts.state)
        context: Context = {"facts": self._facts, "self_check": memory.self_check(state), "arena": None}
        ledger = self._open()
        if ledger is None:
            return context
        with ledger:
            arena = _newest_arena(ledger)
            return {
                **context,
                "arena": ledger.arena(arena) if arena else None,
                "fingerprint": arena,
                "events": ledger.moved(),
                "head": ledger.head_hash(),
                "bytes": self._facts.ledger.stat().st_size,
            }

    def _open(self) -> Looking | None:
        """The ledger; None where there is none yet."""
        return Looking(self._facts.ledger) if self._facts.ledger.exists() else None

    def _needed(self) -> Looking:
        ledger = self._open()
        if ledger is None:
            raise NotThere("there are no experiments yet")
        return ledger


def _get(ledger: Looking, number: int) -> Experiment:
    try:
        return ledger.get(number)
    except UserError:
        raise NotThere(f"there is no experiment {number}") from None


def _newest_arena(ledger: Looking) -> str | None:
    return next((fingerprint for fingerprint, _ in ledger.arenas()), None)


def _chosen(wanted: str, there: list[str]) -> str | None:
    return wanted if wanted in there else next(iter(there), None)


def _base_of(ledger: Looking, experiment: Experiment) -> tuple[bytes | None, int | None]:
    """The train.py that an experiment changed, and whose it is; None where that is no experiment's."""
    if experiment.champion is None or experiment.champion == experiment.number:
        return None, None
    try:
        champion = ledger.get(experiment.champion)
    except (UserError, LedgerError):
        return None, None
    same = champion.commit == experiment.base_commit and champion.proposal is not None
    return (champion.proposal.patch.train_py if same and champion.proposal else None), champion.number


def _difference(first: Point | None, champion: Experiment | None) -> float | None:
    return _less(first.val_bpb if first else None, champion.val_bpb if champion else None)


def _less(before: float | None, after: float | None) -> float | None:
    return before - after if before is not None and after is not None else None


def _tally(points: Iterable[Point]) -> dict[Decision, int]:
    counts = dict.fromkeys(Decision, 0)
    for point in points:
        counts[point.decision] += 1
    return counts


def _whole(text: str, least: int, most: int) -> int:
    return min(most, max(least, int(text))) if text.isascii() and text.isdigit() and len(text) < 10 else least


def _link(query: Query, changes: Mapping[str, object]) -> str:
    """This view with other wishes; what is at its default is left out."""
    known = ("decision", "by", "q", "sort", "order", "page")
    values = {name: clean(query.get(name, ""), MAX_WORDS) for name in known} | {k: str(v) for k, v in changes.items()}
    return "/experiments?" + urlencode({name: value for name, value in values.items() if value})


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", errors="replace")
