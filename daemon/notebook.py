"""What the lab knows, as one text for whoever proposes next. Pure: the same ledger gives the same notebook.

It is made of summaries alone, so that a night's thousand experiments cost no more than reading them. Hypotheses,
lessons and reasons are other people's words: each is cleaned, one line long and in quotes, so that it cannot pass for
a heading or a sentence of the lab.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from daemon.decide import Noise
from daemon.model import Decision, Phase, Summary
from daemon.plateau import PLATEAU_AFTER, Plateau, plateau
from daemon.text import clean

if TYPE_CHECKING:  # its module loads libcst
    from daemon.proposers.literals import Parameter

# English takes about four characters a token, names and numbers about three. Of what is not ASCII every byte is
# counted as one: no tokenizer needs more.
CHARACTERS_PER_TOKEN = 3.0
BUDGET_TOKENS = 3200
MIN_BUDGET_TOKENS = 600  # the head and the headings must fit
NEAR_SIGMAS = 2.0
NEAR_SHARE = 0.0025  # of the champion's score, where the noise is not known
QUOTED = 160
MAX_ROWS = 150  # lines that are written for one section; how many of them fit is seen then
OTHER = "other, by their own words"
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that a notebook is made of. ``rows`` are of one arena, oldest first.

    ``touched`` are the names that an experiment's patch changed, by number; ``causes`` the last line of the logs of
    crashes; ``space`` the literals that carry a range. An experiment that is missing there is told with less.
    """

    rows: Sequence[Summary]
    noise: Noise | None = None
    touched: Mapping[int, Sequence[str]] = field(default_factory=dict)
    causes: Mapping[int, str] = field(default_factory=dict)
    space: Sequence[Parameter] = ()
    plateau_after: int = PLATEAU_AFTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and its lines, the most telling first. ``share`` of the budget is its own when all want more.

    ``total`` are all the lines that there could be; ``lines`` those that were written.
    """

    title: str
    share: float
    lines: Sequence[str]
    total: int


@dataclass(frozen=True, slots=True)
class _Told:
    """An experiment with what it gained on the champion it was tried against: bits per byte, more is better."""

    row: Summary
    gain: float


def tokens_of(text: str) -> int:
    """How many tokens a text costs at most, by the rule above."""
    if text.isascii():
        return math.ceil(len(text) / CHARACTERS_PER_TOKEN)
    plain = sum(character.isascii() for character in text)
    return math.ceil(plain / CHARACTERS_PER_TOKEN) + len(text.encode("utf-8", "replace")) - plain


def build(known: Known, budget_tokens: int = BUDGET_TOKENS) -> str:
    """The notebook, in at most ``budget_tokens``; what does not fit is counted, never cut in the middle.

    Raises:
        ValueError: the budget is below ``MIN_BUDGET_TOKENS``.
    """
    if budget_tokens < MIN_BUDGET_TOKENS:
        raise ValueError(f"a notebook of {budget_tokens} tokens would hold nothing; {MIN_BUDGET_TOKENS} are the least")
    rows = [row for row in known.rows if row.decision is not None and row.phase is not Phase.INTERRUPTED]
    if not rows:
        return "The notebook is empty: no experiment has been decided yet."
    told = _told(rows)
    state = plateau(rows, known.plateau_after)
    head = _head(known, rows, state)
    sections = [
        _told_of("The champion and what led to it, newest first", 0.08, _lineage(rows), str),
        _told_of("Best gains, largest first", 0.16, _gains(told), partial(_line, known)),
        _told_of("Near misses, closest first", 0.14, _near(known, told), partial(_line, known)),
        _told_of("Lessons, newest first", 0.18, [row for row in reversed(rows) if row.lesson != ""], _lesson),
        _told_of("What failed, by what it touched, most tried first", 0.18, _failed(known, told), _direction),
        _told_of("Crashes and runs that did not count, newest first", 0.1, _lost(rows), partial(_crash, known)),
        _told_of("Refused by the policies, by rule", 0.06, _refused(rows), _refusals),
        _told_of("Literals that nobody has moved yet", 0.08, _untried(known, rows), _literal),
    ]
    return _fit(head, [section for section in sections if section.lines], budget_tokens)


def shown_crashes(rows: Iterable[Summary], limit: int = 12) -> list[int]:
    """Numbers of the crashes whose cause is worth looking up: the newest."""
    return [row.number for row in rows if row.decision is Decision.CRASH][: -limit - 1 : -1]


def _told_of(title: str, share: float, items: Sequence[_Item], line: Callable[[_Item], str]) -> Section:
    return Section(title=title, share=share, lines=[line(item) for item in items[:MAX_ROWS]], total=len(items))


def _fit(head: str, sections: Sequence[Section], budget_tokens: int) -> str:
    """Give every section its share; what one leaves over goes to those after it, the first ones first."""
    room = budget_tokens - tokens_of(head) - sum(tokens_of(section.title) + 16 for section in sections)
    shares = sum(section.share for section in sections)
    wants = [sum(tokens_of(line) + 1 for line in section.lines) for section in sections]
    given = [min(want, int(room * section.share / shares)) for want, section in zip(wants, sections, strict=True)]
    spare = room - sum(given)
    for at, want in enumerate(wants):
        more = max(0, min(want - given[at], spare))
        given[at], spare = given[at] + more, spare - more
    return "\n\n".join([head, *map(_section, sections, given)])


def _section(section: Section, room: int) -> str:
    shown = []
    for line in section.lines:
        room -= tokens_of(line) + 1
        if room < 0:
            break
        shown.append(line)
    if left := section.total - len(shown):
        shown.append(f"- ({left} more)")
    return "\n".join([f"## {section.title}", *shown])


def _head(known: Known, rows: Sequence[Summary], state: Plateau) -> str:
    counts = {decision: sum(row.decision is decision for row in rows) for decision in Decision}
    tally = ", ".join(f"{count} {decision.value}" for decision, count in counts.items() if count)
    noise = known.noise
    if noise is None:
        size = "The noise of a score is not known here: take a small gain for chance."
    else:
        size = f"One run's score has a standard deviation σ = {noise.sigma_bpb:.5f} bpb ({noise.runs} runs)."
    return (
        f"# Notebook: {len(rows)} experiments decided ({tally})\n"
        "Scores are val_bpb by the referee, lower is better; a gain is counted against the champion of its day. "
        f"{size}\n"
        f"{state.sentence}"
    )


def _told(rows: Sequence[Summary]) -> list[_Told]:
    scores = {row.number: row.val_bpb for row in rows}
    found = []
    for row in rows:
        before = scores.get(row.champion) if row.champion is not None else None
        if before is not None and row.val_bpb is not None:
            found.append(_Told(row, before - row.val_bpb))
    return found


def _lineage(rows: Sequence[Summary]) -> list[str]:
    """The champion in words, then those before it in numbers; their words stand among the best gains."""
    by_number = {row.number: row for row in rows}
    at = next((row for row in reversed(rows) if row.decision is Decision.KEEP), None)
    if at is None:
        return []
    line: list[Summary] = [at]
    while (before := by_number.get(at.champion) if at.champion is not None else None) and before.number < at.number:
        line.append(at := before)
    lines = [f"- {_name(line[0])} {_bpb(line[0].val_bpb)} {_quoted(line[0])}"]
    for start in range(1, len(line), 8):
        lines.append("- before it " + ", ".join(f"{_name(row)} {_bpb(row.val_bpb)}" for row in line[start : start + 8]))
    return lines


def _gains(told: Sequence[_Told]) -> list[_Told]:
    return _by_gain(entry for entry in told if entry.row.decision is Decision.KEEP)


def _near(known: Known, told: Sequence[_Told]) -> list[_Told]:
    return _by_gain(entry for entry in told if entry.row.decision is Decision.DISCARD and _is_near(known, entry))


def _by_gain(entries: Iterable[_Told]) -> list[_Told]:
    return sorted(entries, key=lambda entry: (-entry.gain, -entry.row.number))


def _is_near(known: Known, entry: _Told) -> bool:
    score = entry.row.val_bpb or 0.0
    return entry.gain >= -(NEAR_SIGMAS * known.noise.sigma_bpb if known.noise else NEAR_SHARE * score)


def _failed(known: Known, told: Sequence[_Told]) -> list[tuple[str, list[_Told], int]]:
    """For each name that was touched: who touched it, and how many touched nothing else. The most tried first."""
    groups: dict[str, list[_Told]] = defaultdict(list)
    alone: Counter[str] = Counter()
    for entry in told:
        if entry.row.decision is Decision.DISCARD and not _is_near(known, entry):
            names = known.touched.get(entry.row.number) or (OTHER,)
            for name in names:
                groups[name].append(entry)
                alone[name] += len(names) == 1
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), -item[1][-1].row.number, item[0]))
    return [(name, entries, alone[name]) for name, entries in ordered]


def _direction(group: tuple[str, list[_Told], int]) -> str:
    name, entries, alone = group
    gains = [entry.gain for entry in entries]
    spread = f"best {max(gains):+.5f}, median {statistics.median(gains):+.5f} bpb"
    last = f"last {_name(entries[-1].row)} {_quoted(entries[-1].row, 90)}"
    return f"- {clean(name, 80)}: {len(entries)} × worse ({alone} alone), {spread}; {last}"


def _lesson(row: Summary) -> str:
    return f"- {_name(row)} {row.decision}: {_quote(clean(row.lesson, 300))}"


def _lost(rows: Sequence[Summary]) -> list[Summary]:
    return [row for row in reversed(rows) if row.decision in (Decision.CRASH, Decision.TIMEOUT, Decision.INVALID)]


def _crash(known: Known, row: Summary) -> str:
    cause = clean(known.causes.get(row.number) or row.reason or "no reason given", QUOTED)
    what = "out of memory" if row.status == "oom" else row.decision
    return f"- {_name(row)} {what}: {_quote(cause)} on {_quoted(row, 100)}"


def _refused(rows: Sequence[Summary]) -> list[tuple[str, list[Summary]]]:
    """By rule, the most frequent first."""
    groups: dict[str, list[Summary]] = defaultdict(list)
    for row in rows:
        if row.decision is Decision.REFUSED:
            groups[clean(row.reason, 300).partition(":")[0][:40]].append(row)
    return sorted(groups.items(), key=lambda item: (-len(item[1]), -item[1][-1].number))


def _refusals(group: tuple[str, list[Summary]]) -> str:
    rule, found = group
    return f"- {rule}: {len(found)} ×, last {_name(found[-1])} {_quote(clean(found[-1].reason, QUOTED))}"


def _untried(known: Known, rows: Sequence[Summary]) -> list[Parameter]:
    ran = {row.number for row in rows if row.decision is not Decision.REFUSED}
    moved = {name for number, names in known.touched.items() if number in ran for name in names}
    return [parameter for parameter in known.space if parameter.name not in moved]


def _literal(p: Parameter) -> str:
    return f"- {clean(p.name, 60)} = {clean(repr(p.value), 40)}, {p.kind} {clean(p.range_text(), 80)}"


def _line(known: Known, entry: _Told) -> str:
    names = known.touched.get(entry.row.number)
    where = f" [{clean(', '.join(names[:4]), 100)}]" if names else ""
    return f"- {_name(entry.row)} {_bpb(entry.row.val_bpb)}{_size(known.noise, entry.gain)}{where} {_quoted(entry.row)}"


def _name(row: Summary) -> str:
    return f"#{row.number}"


def _bpb(score: float | None) -> str:
    return f"{score:.5f}" if score is not None else "no score"


def _size(noise: Noise | None, gain: float | None) -> str:
    """A gain with its sign, in bits per byte and, where the noise is known, in σ."""
    if gain is None:
        return ""
    sigmas = f", {gain / noise.sigma_bpb:+.1f} σ" if noise and noise.sigma_bpb > 0 else ""
    return f" ({gain:+.5f} bpb{sigmas})"


def _quoted(row: Summary, limit: int = QUOTED) -> str:
    return _quote(clean(row.hypothesis, limit))


def _quote(cleaned: str) -> str:
    """Quotation marks inside a quotation would end it."""
    return '"' + cleaned.replace('"', "'") + '"'
