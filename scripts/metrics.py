#!/usr/bin/env python3
"""Write the table of docs/metrics.md from the registry itself; --check only compares."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from daemon.cost import Caps
from daemon.ledger import Ledger
from daemon.metrics.publish import Facts, instruments
from daemon.model import Arena
from daemon.sections import TimeSettings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"
BEGIN, END = "<!-- made by scripts/metrics.py: begin -->\n", "<!-- made by scripts/metrics.py: end -->\n"
ARENA = Arena(
    prepare_sha256="", manifest_sha256="", image_contents="", device="", torch_version="",
    train_seconds=300.0, clock="release", sandbox="docker",
)  # fmt: skip
TIMES = TimeSettings(train_seconds=300.0, startup_seconds=300.0, startup_margin_seconds=20.0, score_seconds=300.0)


def families() -> list[Metric]:
    """What a run with every cap set serves, but for the process's own."""
    registry = CollectorRegistry()
    caps = Caps(max_usd=1.0, max_usd_per_day=1.0, max_tokens=1)
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        here = Path(folder)
        facts = Facts(arena=ARENA, program_sha256="", times=TIMES, caps=caps, directory=here, inbox_count=lambda: 0)
        instruments(registry, facts, ledger)
        return sorted(registry.collect(), key=lambda family: family.name)


def table() -> str:
    head = "| metric | kind | labels | what it is |\n| --- | --- | --- | --- |\n"
    return head + "".join(
        f"| `{name_of(f)}` | {kind_of(f)} | {labels_of(f)} | {f.documentation} |\n" for f in families()
    )


def name_of(family: Metric) -> str:
    """As it is scraped."""
    return family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")


def kind_of(family: Metric) -> str:
    return {"stateset": "gauge, 1 for one state", "info": "info, always 1"}.get(family.type, family.type)


def labels_of(family: Metric) -> str:
    return "; ".join(described(family)) or "–"


def described(family: Metric) -> Iterator[str]:
    samples = [sample.labels for sample in family.samples]
    names = dict.fromkeys(name for labels in samples for name in labels if name != "le")
    for name in names:
        values = dict.fromkeys(labels[name] for labels in samples if name in labels)
        listed = family.type != "info"
        yield f"`{name}`: {', '.join(values)}" if listed else f"`{name}`"


def page() -> str:
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 when docs/metrics.md is out of date"
    )
    made = page()
    if not parser.parse_args().check:
        PAGE.write_text(made, encoding="utf-8")
        return 0
    current = PAGE.read_text(encoding="utf-8") == made
    if not current:
        print("docs/metrics.md is out of date: run scripts/metrics.py", file=sys.stderr)
    return 0 if current else 1


if __name__ == "__main__":
    sys.exit(main())
