"""A lab whose experiments take a moment, its daemon in a process of its own, and what must hold whatever befell it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from daemon import lab as labs
from daemon import results
from daemon.control import ask
from daemon.lab import Lab
from daemon.model import UserError
from daemon.proposing import MAX_INTERRUPTIONS
from daemon.verify import verify
from sandbox.docker_engine import Engine

ENTRY = Path(__file__).with_name("night_entry.py")
PATIENCE_SECONDS = 60.0
TERMINAL = ("closed", "interrupted", "abandoned", "quarantined")
TRAIN_PY = """\
import os
import time

NUMBER = 0
SLEEP = 0.05
print("@@autoresearch ready@@", flush=True)
while not os.path.exists("/data/train/index.json"):
    time.sleep(0.005)
time.sleep(SLEEP)
with open("/out/number", "w") as file:
    file.write(str(NUMBER))
"""
POLICY = "version: 1\nrules:\n" + "".join(
    f"  {rule}:\n    enabled: false\n" for rule in ("imports", "calls", "contract", "history", "secrets")
)


def make_lab(directory: Path, image: str = "autoresearch-train:cpu", train_seconds: float = 3.0) -> Lab:
    """A lab with four small data files and policies that let everything pass which is a short program."""
    labs.init(directory, "cpu", "night")
    (directory / "train.py").write_text(TRAIN_PY)
    (directory / "policy.yaml").write_text(POLICY)
    settings = (directory / "lab.toml").read_text()
    for pattern, text in (
        (r"(?m)^train_seconds = \S+", f"train_seconds = {train_seconds}"),
        (r'(?m)^name = "optuna"', 'name = "night"'),
        (r"(?m)^lookahead = 0", "lookahead = 1"),
        (r'(?m)^listen = "\S+"', 'listen = ""'),
        (r'(?m)^image = "\S+"', f'image = "{image}"'),
        (r"(?m)^baseline_runs = \S+", "baseline_runs = 2"),
        (r"(?m)^settle_runs = \S+", "settle_runs = 2"),
        (r"(?m)^looks = \S+", "looks = 0"),
    ):
        settings, count = re.subn(pattern, text, settings)
        assert count, pattern
    (directory / "lab.toml").write_text(settings)
    git(directory, "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qam", "a lab for the night")
    _prepare(directory / ".autoresearch" / "data")
    return Lab(directory)


def _prepare(data: Path) -> None:
    files = {"common/tokenizer.json": b"{}", "train/index.json": b"{}", "train/tokens": b"0" * 4096}
    files |= {"val/index.json": b"{}", "val/tokens": b"1" * 4096}
    facts = {}
    for name, content in files.items():
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        facts[name] = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    manifest = {"version": 1, "profile": "cpu", "source": "none", "licence": "none", "vocab_size": 256}
    manifest |= {"max_seq_len": 256, "splits": {}, "files": facts}
    (data / "manifest.json").write_text(json.dumps(manifest))
    data.parent.chmod(0o700)


def git(directory: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(directory), *words], check=True, capture_output=True, text=True).stdout


@dataclass
class Night:
    """One start of the daemon."""

    lab: Lab
    environment: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""

    def __post_init__(self) -> None:
        self.log = self.lab.directory.parent / "log"
        environment = {**os.environ, "NIGHT_IMPATIENT": "1", **self.environment}
        environment |= {"AUTORESEARCH_FAULT": self.fault} if self.fault else {}
        with self.log.open("ab") as out:
            self._from = out.tell()
            self.process = subprocess.Popen(
                [sys.executable, str(ENTRY), "daemon", "--lab", str(self.lab.directory)],
                stdout=out, stderr=subprocess.STDOUT, env=environment, cwd=self.lab.directory.parent,
            )  # fmt: skip

    def said(self) -> str:
        return self.log.read_bytes()[self._from :].decode(errors="replace")

    def until(self, seen: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
        until = time.monotonic() + seconds
        while not seen():
            assert self.process.poll() is None, f"it ended while waiting for {what}: {self.said()[-2000:]}"
            assert time.monotonic() < until, f"no {what} in {seconds} s: {self.said()[-2000:]}"
            time.sleep(0.02)

    def ask(self, verb: str, **fields: str) -> dict[str, object] | None:
        """The answer; None where nobody answers."""
        try:
            return ask(self.lab.control_socket, {"verb": verb, **fields})
        except UserError:
            return None

    def killed(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until it has ended itself at its fault point."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.fault} was not reached in {seconds} s: {self.said()[-3000:]}") from None
        assert code == -signal.SIGKILL, f"{self.fault}: it ended with {code}: {self.said()[-3000:]}"

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it did not stop: {self.said()[-3000:]}") from None
        assert code == 0, f"it ended with {code}: " + self.said()[-3000:]


def decided(lab: Lab) -> int:
    """How many experiments have a decision; read without a lock, as a person would."""
    path = lab.state / "ledger.sqlite"
    if not path.exists():
        return 0
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5) as db:
        try:
            return int(db.execute("SELECT count(*) FROM experiments WHERE phase = 'closed'").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


@dataclass(frozen=True)
class Tally:
    """What a lab has been through."""

    experiments: int
    closed: int
    kept: int
    interrupted: int
    given_up: int


def check(lab: Lab, engine: Engine | None = None) -> Tally:
    """Everything that must hold of a lab whose daemon has stopped.

    Raises:
        AssertionError: something does not.
    """
    report = verify(lab)
    assert report.ok, report.broken
    with lab.ledger() as ledger:
        rows = ledger.summaries()
        assert [row.phase for row in rows if row.phase not in TERMINAL] == []
        keeps = [row for row in rows if row.decision == "keep"]
        assert not keeps or lab.workspace.tip() == keeps[-1].commit, "the branch does not stand on the last keep"
        results.write(lab.directory.parent / "expected.tsv", rows)
    with sqlite3.connect(lab.state / "ledger.sqlite") as db:
        ends = db.execute(
            "SELECT experiment, sum(kind = 'decided'), sum(kind = 'interrupted' OR kind = 'abandoned'), "
            "sum(kind = 'closed') FROM events GROUP BY experiment"
        ).fetchall()
    wrong = [row for row in ends if row[1] + row[2] != 1 or row[3] != row[1]]
    assert not wrong, f"experiments that did not end exactly once: {wrong}"
    assert (lab.directory / "results.tsv").read_text() == (lab.directory.parent / "expected.tsv").read_text()
    given_up = _check_patches(lab, rows)
    _check_nothing_is_left(lab, engine)
    closed = sum(row.phase == "closed" for row in rows)
    return Tally(len(rows), closed, len(keeps), sum(row.phase == "interrupted" for row in rows), given_up)


def _check_patches(lab: Lab, rows: list) -> int:  # type: ignore[type-arg]
    """No patch was decided twice; none was lost but what was interrupted too often, or is taken up next."""
    tries: dict[str, list] = {}  # type: ignore[type-arg]
    for row in rows:
        if row.patch_sha256 and row.proposer != "baseline":
            tries.setdefault(row.patch_sha256, []).append(row)
    twice = [sha for sha, its in tries.items() if sum(row.decision is not None for row in its) > 1]
    assert not twice, f"patches that were decided twice: {twice}"
    open_ones = [its for its in tries.values() if all(row.phase == "interrupted" for row in its)]
    given_up = [its for its in open_ones if len(its) >= MAX_INTERRUPTIONS]
    waiting = [its for its in open_ones if len(its) < MAX_INTERRUPTIONS]
    newest = max((its[-1].number for its in tries.values()), default=None)
    lost = [its[-1].number for its in waiting if its[-1].number != newest]
    assert not lost, f"experiments that were interrupted and never taken up again: {lost}"
    return len(given_up)


def _check_nothing_is_left(lab: Lab, engine: Engine | None) -> None:
    left = list(lab.runs_dir.iterdir())
    left += [path for path in lab.directory.rglob("*.tmp") if ".git" not in path.parts]
    left += list((lab.directory / ".git").rglob("*.lock"))
    left += [lab.control_socket] if lab.control_socket.exists() else []
    assert not left, f"left behind: {left}"
    with (lab.state / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if engine is not None:
        assert engine.ours(lab.id) == ([], [])
