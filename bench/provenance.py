"""What `verify` and `export` take in a lab of so many experiments: seconds, and the most memory they held.

    python bench/provenance.py [--experiments 10000 1000]

A lab is filled through the real ledger with closed experiments of the shipped train.py, one in 25 kept; the commits are
written as git would write them, without starting it. Then each verb runs in a process of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "unit"))

from common import REPOSITORY, machine
from nights import Night, a_lab, arena_of

from daemon.lab import Lab
from daemon.model import Decision, Patch
from daemon.workspace import Workspace

VERBS = {
    "import alone": "pass",
    "verify": "from daemon.verify import verify; report = verify(lab); assert report.ok; print(dict(report.counts))",
    "export parquet": "from daemon.export import export; export(lab, 'parquet', force=True)",
    "export csv": "from daemon.export import export; export(lab, 'csv', force=True)",
    "export jsonl": "from daemon.export import export; export(lab, 'jsonl', force=True)",
    "disk use": "from daemon.retention import disk_use; print(disk_use(lab))",
}
PROGRAM = """
import re, sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from daemon.lab import Lab
from daemon import columns, verify, export
lab = Lab(Path(sys.argv[1]))
began, worked = time.monotonic(), time.process_time()
{act}
most = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
worked = time.process_time() - worked
print(f"{{time.monotonic() - began:.2f}} s ({{worked:.2f}} s of a core), {{most:.0f}} MiB at most")
"""


class QuickWorkspace:
    """Writes the objects that the workspace would, and remembers the refs instead of writing ten thousand files."""

    def __init__(self, lab: Lab) -> None:
        self._objects, self._tip = lab.directory / ".git" / "objects", lab.workspace.tip()
        self._real: Workspace = lab.workspace
        self._files = {self._tip: lab.workspace.read(self._tip)}
        self._tree = [(name.encode(), entry) for name, entry in lab.workspace._git.tree(self._tip).items()]
        self.refs: dict[str, str] = {}

    def tip(self) -> str:
        return self._tip

    def read(self, commit: str) -> bytes:
        return self._files[commit]

    def record(self, number: int, patch: Patch, message: str, at: str) -> str:
        from datetime import datetime

        blob = self._write("blob", patch.train_py)
        parts = (
            entry.mode.encode() + b" " + name + b"\0" + bytes.fromhex(blob if name == b"train.py" else entry.sha)
            for name, entry in sorted(self._tree)
        )
        tree = self._write("tree", b"".join(parts))
        who = f"autoresearchd <autoresearchd@localhost> {int(datetime.fromisoformat(at).timestamp())} +0000"
        text = f"tree {tree}\nparent {patch.base_commit}\nauthor {who}\ncommitter {who}\n\n{message}"
        commit = self._write("commit", text.encode())
        self.refs[f"refs/experiments/{number}"] = commit
        self._pending = (commit, patch.train_py)
        return commit

    def advance(self, commit: str, _expected: str) -> None:
        self._tip, train_py = commit, self._pending[1]
        self._files = {commit: train_py}

    def _write(self, kind: str, content: bytes) -> str:
        whole = f"{kind} {len(content)}\0".encode() + content
        name = hashlib.sha1(whole).hexdigest()
        file = self._objects / name[:2] / name[2:]
        file.parent.mkdir(exist_ok=True)
        if not file.exists():
            file.write_bytes(zlib.compress(whole, 1))
        return name


def fill(directory: Path, experiments: int) -> Lab:
    lab = a_lab(directory)
    quick = QuickWorkspace(lab)
    with lab.ledger() as ledger:
        ledger._db.execute("PRAGMA synchronous = OFF")
        night = Night(lab, ledger, arena_of(lab))
        lab.__dict__["workspace"] = quick
        for number in range(experiments):
            kept = number % 25 == 0
            night.add(Decision.KEEP if kept else Decision.DISCARD, 2.0 - number * 1e-5, hypothesis="a longer idea " * 6)
    quick.refs["refs/heads/autoresearch/night"] = quick.tip()
    lines = "".join(f"update {ref} {commit}\n" for ref, commit in quick.refs.items())
    subprocess.run(["git", "update-ref", "--stdin"], input=lines, text=True, cwd=directory, check=True)
    return Lab(directory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--experiments", type=int, nargs="+", default=[10000, 1000])
    print(machine())
    for experiments in parser.parse_args().experiments:
        with tempfile.TemporaryDirectory(prefix="autoresearch-bench-") as folder:
            began = time.monotonic()
            lab = fill(Path(folder) / "lab", experiments)
            print(f"{experiments} experiments, written in {time.monotonic() - began:.0f} s")
            for name, act in VERBS.items():
                program = PROGRAM.format(act=act)
                done = subprocess.run(
                    [sys.executable, "-c", program, str(lab.directory), str(REPOSITORY)], capture_output=True, text=True
                )
                print(f"  {name:15s} {' '.join((done.stdout or done.stderr[-500:]).split())}", flush=True)


if __name__ == "__main__":
    main()
