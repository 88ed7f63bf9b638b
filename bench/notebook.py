"""How long the notebook of a long night takes, against merely reading the lines that it is made of.

    python bench/notebook.py [--experiments 1000] [--rounds 20]

A ledger is filled with the given number of closed experiments of the shipped train.py: each moves one to three literals
or edits a method, one in 25 is kept, the others are discarded, refused or crash in the mix of a real night, and every
third carries a lesson. Compared in one process, alternating: ``desk.notebook()`` as a proposer asks for it (ledger
opened, summaries read, notebook written and fenced) and opening the ledger and reading the same summaries. What the
patches touched is worked out once and remembered beside the ledger; that first time is printed by itself.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import REPOSITORY, machine

from daemon.desk import LabDesk
from daemon.ledger import Committed, Ledger, TrialStarted
from daemon.memory import TouchedMemory
from daemon.model import (
    Arena,
    Decision,
    Experiment,
    Lesson,
    Outcome,
    Patch,
    Proposal,
    Score,
    TrialResult,
    TrialStatus,
)
from daemon.notebook import BUDGET_TOKENS, tokens_of
from daemon.proposers.literals import Parameter, read_space, rewrite
from policies.interface import Finding, Verdict

ARENA = Arena(
    prepare_sha256="a" * 64, manifest_sha256="b" * 64, image_contents="c" * 64, device="bench", torch_version="0",
    train_seconds=300.0, clock="release", sandbox="none",
)  # fmt: skip
WORDS = (
    "raising",
    "the",
    "rate",
    "of",
    "embeddings",
    "should",
    "help",
    "because",
    "the",
    "model",
    "is",
    "limited",
    "by",
    "tokens",
)


def fill(ledger: Ledger, count: int, seed: int = 1) -> None:
    """A night: a baseline and ``count - 1`` experiments after it."""
    chance = random.Random(seed)
    base = (REPOSITORY / "train.py").read_bytes()
    champion = _one(ledger, None, base, Decision.KEEP, 1.2, "baseline", "")
    best = 1.2
    for number in range(1, count):
        train_py, what = _change(chance, base)
        decision = _decision(chance, number)
        score = best - 0.001 if decision is Decision.KEEP else best + abs(chance.gauss(0.004, 0.006))
        hypothesis = f"{what}: {' '.join(chance.sample(WORDS, 12))}"
        lesson = f"expected a gain, saw {score:.4f}; {' '.join(chance.sample(WORDS, 9))}" if number % 3 == 0 else ""
        done = _one(ledger, champion, train_py, decision, score, hypothesis, lesson)
        if decision is Decision.KEEP:
            champion, base, best = done, train_py, score


def _change(chance: random.Random, base: bytes) -> tuple[bytes, str]:
    if chance.random() < 0.2:
        name = f"forward{chance.randrange(10**6)}"
        return re.sub(rb"functional\.\w+\(self\.widen", f"functional.{name}(self.widen".encode(), base), "an activation"
    space = read_space(base, "gpu")
    values = {p.name: _value(chance, p) for p in chance.sample(space, chance.randint(1, 3))}
    return rewrite(base, "gpu", values), ", ".join(f"{name} to {value}" for name, value in values.items())


def _value(chance: random.Random, parameter: Parameter) -> bool | int | float | str:
    if parameter.kind == "choice":
        return chance.choice(parameter.choices)
    if parameter.kind == "int":
        return chance.randint(int(parameter.low), int(parameter.high))
    return parameter.rounded(chance.uniform(parameter.low, parameter.high))


def _decision(chance: random.Random, number: int) -> Decision:
    if number % 25 == 0:
        return Decision.KEEP
    others = (Decision.DISCARD, Decision.REFUSED, Decision.CRASH, Decision.TIMEOUT)
    return chance.choices(others, (80, 8, 10, 2))[0]


def _one(
    ledger: Ledger, champion: Experiment | None, train_py: bytes, decision: Decision, score: float, hypothesis: str,
    lesson: str,
) -> Experiment:  # fmt: skip
    base = champion.commit if champion and champion.commit else "0" * 40
    experiment = ledger.open(
        arena=ARENA, base_commit=base, champion=champion.number if champion else None, program="be bold"
    )
    patch = Patch(train_py=train_py, base_commit=base)
    experiment = ledger.add(experiment, Proposal(hypothesis=hypothesis, patch=patch, proposer="bench"))
    refused = decision is Decision.REFUSED
    finding = Finding(rule="imports", line=1, column=1, message="imports socket", instead="torch")
    experiment = ledger.add(experiment, Verdict(rules=("imports",), findings=(finding,) if refused else ()))
    if not refused:
        experiment = ledger.add(ledger.add(experiment, TrialStarted(seed=1)), _trial(decision, score))
    experiment = ledger.add(experiment, Outcome(decision=decision, reason="imports: line 1: imports socket"))
    experiment = ledger.add(experiment, Committed(commit=f"{experiment.number + 1:040x}"))
    experiment = ledger.close(experiment)
    return ledger.add(experiment, Lesson(text=lesson)) if lesson else experiment


def _trial(decision: Decision, score: float) -> TrialResult:
    if decision in (Decision.KEEP, Decision.DISCARD):
        value = Score(
            val_bpb=score, corrected_bpb=score, tokens=1000, bytes=4000, referee_sha256="d" * 64, audit={"moved": 0}
        )
        return TrialResult(status=TrialStatus.OK, reason="", seed=1, score=value, log_tail="step\n" * 1000)
    status = TrialStatus.TIMEOUT if decision is Decision.TIMEOUT else TrialStatus.CRASH
    return TrialResult(status=status, reason="exited with 1", seed=1, log_tail="step\n" * 1000 + "ValueError: shape\n")


def milliseconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="autoresearch-bench-") as folder:
        path = Path(folder) / "ledger.sqlite"
        with Ledger(path) as ledger:
            fill(ledger, options.experiments)
            champion = ledger.champion(ARENA.fingerprint)
        assert champion is not None and champion.proposal is not None
        train_py = champion.proposal.patch.train_py
        desk = LabDesk(
            ledger=lambda: Ledger(path), profile="gpu", train_py=lambda: train_py, file=lambda _: b"",
            diff=lambda _: "", judge=lambda _: Verdict(rules=(), findings=()),
            memory=TouchedMemory(Path(folder) / "touched.json"),
        )  # fmt: skip
        _report(desk, path, options.rounds)


def _report(desk: LabDesk, path: Path, rounds: int) -> None:
    def read() -> None:
        with Ledger(path) as ledger:
            ledger.summaries(arena=ARENA.fingerprint)

    first = milliseconds(desk.notebook)
    pairs = [(milliseconds(read), milliseconds(desk.notebook)) for _ in range(rounds)]
    reading, writing = (statistics.median(column) for column in zip(*pairs, strict=True))
    worst = max(pair[1] for pair in pairs)
    text = desk.notebook()
    print(f"the first time, what each patch touched included: {first:.0f} ms")
    print(f"after that: median {writing:.1f} ms, worst {worst:.1f} ms of {rounds}; reading the lines {reading:.1f} ms")
    print(f"ratio notebook / reading the same summaries: {writing / reading:.1f}")
    print(f"its size: {tokens_of(text)} tokens with its fence, {BUDGET_TOKENS} are its budget; {len(text)} characters")


if __name__ == "__main__":
    main()
