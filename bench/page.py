"""What the page costs with a long ledger: each view in the server, the first paint in Chromium, and memory.

    python bench/page.py [--experiments 10000] [--rounds 20] [--ledger FILE]

A ledger is filled as bench/notebook.py does it, and served by the page's own process. Of each view the time is taken
from the server's own timing header and as a client waits for it, over all rounds after one that is not counted (the
first one is printed by itself: what is remembered between two events of the ledger is worked out there). First paint is
Chromium's own first-contentful-paint of the progress view, with an empty cache each time. Memory is what the process
keeps for itself (private dirty pages) and all that it has mapped, after the rounds.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import REPOSITORY, machine
from notebook import fill

from daemon.ledger import Ledger
from daemon.web.settings import Facts, to_json

IN_MEMORY = Path("/dev/shm")
PATIENCE_SECONDS = 30.0
VIEWS = {
    "now": "/",
    "progress": "/progress",
    "progress, points": "/progress/points.json",
    "experiments": "/experiments",
    "experiments, by gain": "/experiments?sort=gain",
    "experiments, words": "/experiments?q=tokens",
    "experiments, words that nothing has": "/experiments?q=zzzz",
    "experiments, last page": "/experiments?page={last}",
    "experiment": "/experiments/{middle}",
    "experiment, brief": "/experiments/{middle}/brief.json",
    "notebook": "/notebook",
    "program": "/program",
    "system": "/system",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--ledger", type=Path, help="one that was filled before")
    options = parser.parse_args()
    print(machine())
    # Filling is no part of the figures, and a disk would take minutes over it.
    where = IN_MEMORY if IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="autoresearch-bench-", dir=where) as folder:
        path = Path(folder) / "ledger.sqlite"
        if options.ledger:
            shutil.copy(options.ledger, path)
        else:
            with Ledger(path) as ledger:
                fill(ledger, options.experiments)
        with Ledger(path) as ledger:
            count = ledger.count()
        shutil.copy(REPOSITORY / "program.md", folder)
        print(f"{count} experiments, {path.stat().st_size / 2**20:.0f} MiB")
        with serving(Path(folder)) as (port, pid):
            at_rest = memory(pid)
            worst = views(port, pid, count, options.rounds)
            after = memory(pid)
            print(f"slowest view: {worst[1]} ({worst[0]:.1f} ms at its median)")
            print("memory: {:.1f} MiB its own, {:.1f} MiB mapped; at rest {:.1f} and {:.1f}".format(*after, *at_rest))
            paint(port)


def views(port: int, pid: int, count: int, rounds: int) -> tuple[float, str]:
    slowest = (0.0, "")
    print(f"milliseconds in the server; client: at the median; cpu: of the process, mean; {rounds} rounds")
    print(f"{'view':36s} {'first':>8s} {'median':>8s} {'worst':>8s} {'client':>8s} {'cpu':>6s} {'KiB':>6s}")
    for name, address in VIEWS.items():
        target = address.format(last=-(-count // 50), middle=count // 2)
        first, *_ = ask(port, target)
        settle(port, target)
        before = cpu_seconds(pid)
        rest = [ask(port, target) for _ in range(rounds)]
        cpu = 1000 * (cpu_seconds(pid) - before) / rounds
        middle = statistics.median(server for server, _, _ in rest)
        client = statistics.median(waited for _, waited, _ in rest)
        worst = max(server for server, _, _ in rest)
        print(f"{name:36s} {first:8.1f} {middle:8.1f} {worst:8.1f} {client:8.1f} {cpu:6.0f} {rest[0][2] / 1024:6.0f}")
        slowest = max(slowest, (middle, name))
    return slowest


def ask(port: int, target: str) -> tuple[float, float, int]:
    """Milliseconds in the server and for the client, and bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    began = time.perf_counter()
    connection.request("GET", target)
    answer = connection.getresponse()
    content = answer.read()
    waited = 1000 * (time.perf_counter() - began)
    assert answer.status == 200, f"{target}: {answer.status}"
    timing = re.search(r"dur=([\d.]+)", answer.getheader("server-timing") or "")
    connection.close()
    return float(timing[1]) if timing else waited, waited, len(content)


def settle(port: int, target: str) -> None:
    """Until a notebook that is being written is there."""
    until = time.monotonic() + PATIENCE_SECONDS
    while target == "/notebook" and time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        connection.request("GET", target)
        if b"data-again" not in connection.getresponse().read():
            return
        time.sleep(0.1)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[int, int]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    facts = Facts(directory=str(folder), state=str(folder), tag="bench", profile="gpu", host="127.0.0.1", port=port)
    environment = {**os.environ, "MALLOC_ARENA_MAX": "2"}
    process = subprocess.Popen([sys.executable, "-I", "-m", "daemon.web.serve"], stdin=subprocess.PIPE, env=environment)
    assert process.stdin is not None
    try:
        process.stdin.write(to_json(facts).encode() + b"\n")
        process.stdin.flush()
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        time.sleep(0.5)
        yield port, process.pid
    finally:
        process.stdin.close()
        process.wait(10)


def cpu_seconds(pid: int) -> float:
    """What a process has used so far: on a busy machine it says more than the clock."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> tuple[float, float]:
    """MiB that a process alone has written to, and all that it has mapped."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    own, resident = (int(re.search(rf"^{name}:\s+(\d+)", text, re.M)[1]) for name in ("Private_Dirty", "Rss"))  # type: ignore[index]
    return own / 1024, resident / 1024


def paint(port: int, rounds: int = 5) -> None:
    """Chromium's first paint of the progress view."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    if program is None:
        print("first paint: not measured, there is no chromium")
        return
    script = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1"
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        times = []
        for _ in range(rounds):
            context = browser.new_context()
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{port}/progress", wait_until="load")
            until = time.monotonic() + PATIENCE_SECONDS
            while page.evaluate(script) < 0 and time.monotonic() < until:
                time.sleep(0.05)
            times.append(page.evaluate(script))
            context.close()
        browser.close()
    print(f"first paint of progress: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms of {rounds}")


if __name__ == "__main__":
    main()
