"""Numbers as people read them; shared by both forms of the report."""

from __future__ import annotations

from datetime import datetime

from daemon.report.values import Headline, Kept, Report
from daemon.text import clean

MAX_GAPS = 5


def headline(line: Headline) -> str:
    """``2.0310 → 1.9120 bits per byte, −0.1190 (−5.9 %, 12.3 σ)``."""
    if line.before_bpb is None or line.now_bpb is None:
        return "Nothing has been kept yet."
    if not line.gain_bpb:
        return f"{line.now_bpb:.4f} bits per byte, as before."
    size = f", {line.gain_sigmas:.1f} σ" if line.gain_sigmas is not None else ""
    share = 100 * line.gain_bpb / line.before_bpb
    return f"{line.before_bpb:.4f} → {line.now_bpb:.4f} bits per byte: {-line.gain_bpb:+.4f} ({-share:+.2f} %{size})"


def noise(line: Headline) -> str:
    if line.sigma_bpb:
        return f"One run's score has a standard deviation of σ = {line.sigma_bpb:.5f} bits per byte."
    return "The noise of a score is not known here: take a small gain for chance."


def counts(report: Report) -> str:
    line = report.headline
    noun = "experiment" if line.experiments == 1 else "experiments"
    return f"{line.experiments} {noun}, {line.kept} kept, from {moment(report.since)} to {moment(report.until)}"


def gain(kept: Kept) -> str:
    """A gain is a score that fell."""
    if kept.gain_bpb is None:
        return "baseline"
    size = f" ({kept.gain_sigmas:.1f} σ)" if kept.gain_sigmas is not None else ""
    return f"{-kept.gain_bpb:+.5f}{size}"


def score(bpb: float | None) -> str:
    return f"{bpb:.5f}" if bpb is not None else "–"


def runs(kept: Kept) -> str:
    """Its scores one by one, where it was run more than once."""
    return ", ".join(f"{run:.5f}" for run in kept.runs) if len(kept.runs) > 1 else ""


def seconds(count: float) -> str:
    """``2 h 05 min``, ``3 min 20 s``, ``4.2 s``."""
    whole = round(count)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{count:.1f} s"


def share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole > 0 else "–"


def moment(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"


def money(usd: float | None) -> str:
    return f"{usd:.2f} USD" if usd is not None else "–"


def times(report: Report) -> list[tuple[str, str, str]]:
    """What the time went into: a name, how long, and its share."""
    t = report.times
    parts = [
        ("training", t.training),
        ("start-up of trials", t.startup),
        ("the referee", t.scoring),
        ("making and clearing away containers", t.handling),
        ("outside of trials: proposing, checks, waits", t.outside),
    ]
    return [(name, seconds(spent), share(spent, t.wall)) for name, spent in parts]


def costs(report: Report) -> list[tuple[str, str]]:
    spent = report.cost
    if not spent.tokens:
        return [("providers", "none was asked")]
    return [
        ("the provider's list prices", money(spent.usd)),
        ("tokens", f"{spent.tokens:,}"),
        ("for each kept experiment", money(spent.usd_per_keep)),
        ("for each 0.01 bits per byte gained", money(spent.usd_per_gain)),
    ]


def troubles(report: Report) -> list[tuple[str, str]]:
    r = report.reliability
    found = [
        ("trials", f"{r.trials}"),
        ("void by the host's own fault", f"{r.voided}"),
        ("interrupted, taken up again", f"{sum(group.count for group in r.interrupted)}"),
        ("given up by the operator", f"{r.abandoned}"),
        ("models that the referee found invalid", f"{r.invalid}"),
        ("times without any experiment, three budgets and more", f"{len(r.gaps)}"),
    ]
    if report.holdout:
        last = report.holdout[-1]
        what = f"looks at the holdout: {len(report.holdout)}; the last, of #{last.number}"
        found.append((what, f"{last.gap_bpb:+.5f} above val"))
    found += [(f"interrupted {group.count} ×", group.what) for group in r.interrupted]
    return found + [
        (f"nothing ran from {moment(gap.since)} on", f"for {seconds(gap.seconds)}") for gap in r.gaps[:MAX_GAPS]
    ]


def conditions(report: Report) -> list[tuple[str, str]]:
    """The arena and where the result can be checked; texts that others may have written are cleaned."""
    arena, made = report.arena, report.provenance
    facts = [
        ("arena", arena.fingerprint),
        ("device", clean(arena.device, 200)),
        ("budget", f"{arena.train_seconds:g} s, clock from {arena.clock}"),
        ("sandbox, torch", clean(f"{arena.sandbox}, {arena.torch_version}", 200)),
        ("champion", f"#{made.champion}, {made.branch}, commit {made.commit}" if made.commit else "none"),
        ("head of the ledger's chain", f"{made.chain_head} ({made.events} events)"),
    ]
    if report.other_arenas:
        facts.append(("other arenas in this time", f"{report.other_arenas}; their scores are not compared with these"))
    return facts
