"""The report as Markdown that reads well as it is. Foreign text stands in code spans, where nothing of it is markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from daemon.report import words
from daemon.report.values import Change, Kept, Report
from daemon.text import clean

MAX_SHOWN = 20


def markdown(report: Report) -> str:
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# {code(report.lab)}: {words.headline(report.headline)}"
    yield from ["", f"{words.counts(report)}. {words.noise(report.headline)}", ""]
    yield from ["## Kept, newest first", ""]
    yield from _listed(_kept(report.kept), "Nothing was kept.")
    yield from ["## Not kept", ""]
    failed = [
        f"- {group.count} × {code(group.what)}, last #{group.last} {code(group.example)}" for group in report.failed
    ]
    yield from _listed(failed, "Everything was kept.")
    if report.taken_out:
        yield from ["## What the champion loses without it", ""]
        yield from [
            f"- {words.gain(told)}: #{told.number} {code(clean(told.hypothesis, 300))}" for told in report.taken_out
        ]
        yield ""
    yield from _section("Cost", words.costs(report))
    yield from _section(
        f"Time: {words.seconds(report.times.wall)}", [(n, f"{s} ({p})") for n, s, p in words.times(report)]
    )
    yield from _section("Reliability", words.troubles(report))
    yield from ["## What to try next", ""]
    for title, lines in report.next:
        yield from [f"{title}:", "", *(f"- {code(line)}" for line in lines), ""]
    if not report.next:
        yield from ["The notebook has no near misses, and no literals that nobody has moved.", ""]
    yield from _section("Arena and provenance", words.conditions(report))
    yield "`autoresearch verify` checks that ledger, git and files tell this story;"
    yield "`autoresearch replay N` runs one again."


def _listed(lines: Iterable[str], none: str) -> Iterator[str]:
    found = list(lines)
    yield from found or [none]
    yield ""


def _section(title: str, facts: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield from [f"## {title}", ""]
    yield from [f"- {name}: {code_if_needed(fact)}" for name, fact in facts]
    yield ""


def _kept(kept: Sequence[Kept]) -> Iterator[str]:
    for told in kept[:MAX_SHOWN]:
        head = f"- #{told.number} {words.score(told.val_bpb)} ({words.gain(told)}), by {code(told.proposer)}"
        yield f"{head}: {code(clean(told.hypothesis, 300))}"
        if runs := words.runs(told):
            yield f"  - runs: {runs}"
        yield f"  - why: {code(clean(told.reason, 300))}"
        yield from _change(told.change, told.commit)
    if len(kept) > MAX_SHOWN:
        yield f"- and {len(kept) - MAX_SHOWN} more"


def _change(change: Change, commit: str) -> Iterator[str]:
    if not change.lines:
        return
    fence = "`" * max(3, 1 + max(_ticks(line) for line in change.lines))
    yield f"  - change: +{change.added} −{change.removed} lines, commit {commit}"
    yield from ["", f"    {fence}diff", *(f"    {line}" for line in change.lines)]
    if change.left_out:
        yield f"    # {change.left_out} more lines: autoresearch diff"
    yield from [f"    {fence}", ""]


def _ticks(line: str) -> int:
    return max((len(run) for run in re.findall("`+", line)), default=0)


def code(text: str) -> str:
    """A text that others wrote, as a code span: no link, no HTML, no emphasis. It has one line."""
    plain = text.replace("`", "'").replace("\n", " ").strip()
    return f"`{plain}`" if plain else "–"


def code_if_needed(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9 #.,:;()%/×–σ-]*", text) else code(text)
