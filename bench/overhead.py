"""What an experiment costs besides its training: seconds of the loop, in a lab of 10 and of 10,000 experiments.

    python bench/overhead.py [--experiments 10 10000] [--steps 20] [--profile]

A lab is filled as for provenance.py. Then the real loop runs in it, with the real ledger, git, policy process, desk and
notebook, results.tsv and bookkeeping of models; the sandbox answers at once. The proposer changes a comment and reads
the notebook, as a language model's would. What is timed is a whole step, proposal included.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "unit"))

from common import machine
from nights import arena_of
from provenance import fill

from daemon import assembly
from daemon.checker import Checker
from daemon.checking import policy_text
from daemon.credentials import KeySource
from daemon.evidence import Evidence
from daemon.lab import Lab
from daemon.loop import Loop
from daemon.model import Patch, Proposal
from daemon.proposers import interface
from daemon.proposers.interface import Context
from daemon.steering import Steering
from daemon.walls import Wall
from sandbox.fake import FakeRun, FakeSandbox

MOST_SECONDS = 0.3


@dataclass
class Commenter:
    """Each proposal differs in one literal, so that no policy knows it already."""

    name: str = "optuna"
    notebooks: int = 0

    def propose(self, context: Context) -> Proposal:
        assert context.desk is not None
        self.notebooks += len(context.desk.notebook())
        train_py = context.train_py + f"\nBENCH = {len(context.history)}\n".encode()
        return Proposal(
            hypothesis="a longer idea " * 6,
            patch=Patch(train_py=train_py, base_commit=context.base_commit),
            proposer=self.name,
        )


@contextmanager
def a_loop(directory: Path) -> Iterator[Loop]:
    """The lab's own loop over a sandbox that scores everything a little worse than what was filled in."""
    lab = Lab(directory)
    # What is done once an hour is not timed.
    retention = lab.settings.retention.model_copy(update={"every_seconds": 0.0})
    lab.settings = lab.settings.model_copy(update={"retention": retention})
    sandbox = FakeSandbox(lambda spec: FakeRun(val_bpb=3.0 + spec.seed * 1e-9))
    lab.__dict__["wall"] = Wall(sandbox=sandbox, name="fake", contents="-", torch_version="-")
    manifest = SimpleNamespace(max_seq_len=256, vocab_size=2048)
    lab.__dict__["dataset"] = SimpleNamespace(manifest=manifest, check_sizes=lambda: None)
    lab.__dict__["arena"] = arena_of(lab)
    steering, keys = Steering(), KeySource()
    with (
        lab.ledger() as ledger,
        lab.ledger(one_thread=False) as reader,
        patch.object(interface, "load", lambda *_: Commenter()),
        assembly._observed(lab, [assembly.ResultsFile(lab, ledger), assembly.Tidying(lab, ledger)]) as (told, watch),
        Checker(policy_text(lab)) as checker,
    ):
        source = assembly._source(lab, ledger, reader, told, steering, watch, checker, keys)
        yield assembly._loop(lab, ledger, told, steering, source, checker, Evidence(ledger, lab.arena.fingerprint))
        source.ahead.close()


def seconds_of_steps(loop: Loop, steps: int) -> list[float]:
    if loop.source.desk is not None:
        loop.source.desk.notebook()  # works out once what each patch touched, as a real night does little by little
    taken = []
    for _ in range(steps + 1):
        began = time.monotonic()
        loop.step(loop.champion_or_baseline())
        taken.append(time.monotonic() - began)
    print(f"  the first step after a start: {taken[0]:.3f} s")
    return taken[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--experiments", type=int, nargs="+", default=[10, 10000])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    options = parser.parse_args()
    print(machine())
    slow = False
    for experiments in options.experiments:
        with tempfile.TemporaryDirectory(prefix="autoresearch-bench-") as folder:
            fill(Path(folder) / "lab", experiments)
            with a_loop(Path(folder) / "lab") as loop:
                profile = cProfile.Profile()
                if options.profile:
                    profile.enable()
                taken = seconds_of_steps(loop, options.steps)
                profile.disable()
            middle = statistics.median(taken)
            print(f"{experiments:6d} experiments: median {middle:.3f} s a step, {min(taken):.3f} to {max(taken):.3f}")
            slow = slow or middle > MOST_SECONDS
            if options.profile:
                pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()
