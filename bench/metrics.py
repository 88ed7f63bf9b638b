"""What the metrics cost: a scrape, the start from a long ledger, and memory.

python bench/metrics.py --experiments 10000
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import machine
from notebook import ARENA, fill, milliseconds

from daemon.cost import Caps
from daemon.ledger import Ledger
from daemon.sections import TimeSettings

TIMES = TimeSettings(train_seconds=300.0, startup_seconds=300.0, startup_margin_seconds=20.0, score_seconds=300.0)
IN_MEMORY = Path("/dev/shm")


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    print(machine())
    # Filling is no part of the figures, and a disk would take minutes over it.
    where = IN_MEMORY if IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="autoresearch-bench-", dir=where) as folder:
        with Ledger(Path(folder) / "ledger.sqlite") as ledger:
            fill(ledger, options.experiments)
        with Ledger(Path(folder) / "ledger.sqlite") as ledger:
            _report(ledger, Path(folder), options.rounds)


def _report(ledger: Ledger, folder: Path, rounds: int) -> None:
    before = resident_mib()
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

    from daemon.metrics.publish import Facts, instruments
    from daemon.metrics.server import serving

    facts = Facts(
        arena=ARENA, program_sha256="0" * 64, times=TIMES, caps=Caps(), directory=folder, inbox_count=lambda: 0
    )
    reading = milliseconds(lambda: ledger.summaries(arena=ARENA.fingerprint))
    registry = CollectorRegistry()
    starting = milliseconds(lambda: instruments(registry, facts, ledger))
    ProcessCollector(registry=registry)
    with serving(("127.0.0.1", 0), registry) as port:

        def scrape() -> None:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read()

        scrapes = [milliseconds(scrape) for _ in range(rounds)]
    text = generate_latest(registry).decode()
    series = sum(not line.startswith("#") for line in text.splitlines())
    print(f"a scrape: median {statistics.median(scrapes):.1f} ms, worst {max(scrapes):.1f} ms of {rounds}")
    print(f"{series} series, {len(text)} bytes")
    print(f"start from {ledger.count()} experiments: {starting:.0f} ms; reading their lines alone {reading:.0f} ms")
    print(f"memory: +{resident_mib() - before:.1f} MiB, the library included")


if __name__ == "__main__":
    main()
