"""A believable night of a lab, written through the real ledger: for screenshots, and to be looked at."""

# ruff: noqa: E501 - sentences are easier to read in one piece

from __future__ import annotations

import math
import random
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from specs import REPOSITORY

from daemon.ledger import Committed, Ledger, TrialStarted
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
from policies.interface import Finding, Verdict

ARENA = Arena(
    prepare_sha256="5b1f" * 16, manifest_sha256="c07a" * 16, image_contents="9e44" * 16, device="NVIDIA H100 80GB HBM3",
    torch_version="2.13.0+cu130", train_seconds=300.0, clock="release", sandbox="docker runsc",
)  # fmt: skip
BEGAN = datetime(2026, 11, 20, 21, 4, 12, tzinfo=UTC)
LOG = """step 00950 | loss 3.4127 | lr 1.00 | 412,310 tok/s | 62.4 %
step 01000 | loss 3.3986 | lr 0.93 | 412,288 tok/s | 65.7 %
step 01250 | loss 3.3311 | lr 0.58 | 412,401 tok/s | 82.1 %
step 01500 | loss 3.2874 | lr 0.09 | 412,377 tok/s | 98.6 %
sealed
---
val_bpb: nan
training_seconds: 297.8
peak_vram_mb: 41822.0
mfu_percent: 38.9
total_tokens_M: 122.8
num_steps: 1521
num_params_M: 50.3
depth: 8
"""
# What was tried: hypothesis, setting, its new value, gain in thousandths of a bit per byte (None: it ended otherwise).
IDEAS = (
    ("Halving the total batch doubles the steps; at 300 s this run is limited by steps, not by noise of the gradient.", "TOTAL_BATCH_SIZE", "262144", 14.8),
    ("A warm-down over 70 % of the budget instead of half: the loss still falls steeply when the rate ends.", "WARMDOWN_FRACTION", "0.7", 4.1),
    ("Muon at 0.055: the matrices move too little per step now that there are more steps.", "MATRIX_LR", "0.055", -1.9),
    ("Context windows SSL instead of SSSL, so that one layer more sees everything.", "WINDOW_PATTERN", '"SSL"', -0.8),
    ("Ten layers at the same width; capacity was never the limit in the first minutes, but is at the end.", "DEPTH", "10", -6.3),
    ("Embedding rate up to 1.0: rare tokens get too few updates in 120 M tokens.", "EMBEDDING_LR", "1.0", 3.2),
    ("RoPE base of 50,000, for smoother long positions at context 2048.", "ROPE_BASE", "50000.0", -0.3),
    ("Softcap at 30: logits are squeezed harder than the data asks for.", "LOGIT_SOFTCAP", "30.0", 1.4),
    ("Batch of 131,072 tokens, one more halving while the noise allows it.", "TOTAL_BATCH_SIZE", "131072", 6.9),
    ("Weight decay 0.1 with the smaller batch: its pull per token has doubled.", "WEIGHT_DECAY", "0.1", 2.2),
    ("Adam's second moment at 0.98: with small batches a longer memory is calmer.", "ADAM_BETA2", "0.98", 0.9),
    ("A width of 640: the GPU is not full, and the tokens saved by width cost little.", "WIDTH", "640", None),
    ("Final rate of 5 %: the last steps should still learn something.", "FINAL_LR_FRACTION", "0.05", -2.6),
    ("Warm-up over 2 %: the first updates of Muon overshoot.", "WARMUP_FRACTION", "0.02", -0.4),
    ("Scalars learn slower, 0.2: they drift in the warm-down.", "SCALAR_LR", "0.2", 0.6),
    ("An MLP of ratio 3 with nine layers in place of ratio 4 with eight.", "MLP_RATIO", "3", None),
    ("Momentum of 0.92: fresher directions suit a short run.", "MUON_MOMENTUM", "0.92", 1.8),
    ("Unembedding rate doubled: the softmax lags behind the body.", "UNEMBEDDING_LR", "0.008", 2.7),
)  # fmt: skip
LESSONS = (
    "Expected about 0.010 and saw more: the run is bound by steps up to here. Look at even smaller batches before depth.",
    "The gain is real but small; the warm-down interacts with the batch size, so try it again after the next change.",
    "No effect within the noise. The positions are not what limits a context of 2048.",
    "More layers cost a fifth of the tokens, and the loss per token does not make up for it in 300 seconds.",
)  # fmt: skip


class Clock:
    """The ledger's time, moved by hand."""

    def __init__(self) -> None:
        self.at = BEGAN

    def __call__(self) -> str:
        return self.at.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"

    def pass_by(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def night(path: Path, count: int = 96, seed: int = 7) -> None:
    """A baseline and ``count - 1`` experiments after it."""
    chance, clock = random.Random(seed), Clock()
    source = (REPOSITORY / "train.py").read_bytes()
    brief = (REPOSITORY / "program.md").read_text()
    with Ledger(path, now=clock) as ledger:
        best, champion = 1.0947, None
        for number in range(count):
            program = (
                brief
                if number < 34
                else brief.replace("# focus: [optimiser, batch size] ", "focus: [schedule, batch size] ")
            )
            if number >= 71:
                program = program.replace("# boldness: normal ", "boldness: high ")
            hypothesis, name, value, gain = IDEAS[(number - 1) % len(IDEAS)] if number else ("baseline", "", "", 0.0)
            if number > len(IDEAS):
                gain = (
                    None
                    if gain is None
                    else gain * math.exp(-number / 45) * chance.uniform(-0.4, 1.1) - abs(chance.gauss(0, 0.9))
                )
                value = re.sub(r"\d+$", lambda found, more=number: str(int(found[0]) + more), value)
                hypothesis = f"Again with the new champion: {hypothesis[0].lower()}{hypothesis[1:]}"
            decision = _decision(chance, number, gain)
            score = best - (gain or 0.0) / 1000
            changed = _changed(source, name, value)
            done = _one(ledger, clock, champion, changed, decision, score, hypothesis, program, chance, number)
            if decision is Decision.KEEP:
                best, champion, source = score, done, changed


def _changed(source: bytes, name: str, value: str) -> bytes:
    if not name:
        return source
    return re.sub(rb"(?m)^" + name.encode() + rb" = [^\s#]+", f"{name} = {value}".encode(), source, count=1)


def _decision(chance: random.Random, number: int, gain: float | None) -> Decision:
    if number == 0:
        return Decision.KEEP
    if gain is None:
        return chance.choices([Decision.CRASH, Decision.TIMEOUT, Decision.REFUSED, Decision.INVALID], [6, 3, 4, 1])[0]
    return Decision.KEEP if gain > 0.5 else Decision.DISCARD


def _one(
    ledger: Ledger, clock: Clock, champion: Experiment | None, train_py: bytes, decision: Decision, score: float,
    hypothesis: str, program: str, chance: random.Random, number: int,
) -> Experiment:  # fmt: skip
    base = champion.commit if champion and champion.commit else "4be1" * 10
    experiment = ledger.open(
        arena=ARENA, base_commit=base, champion=champion.number if champion else None, program=program
    )
    clock.pass_by(chance.uniform(0.2, 9))
    proposer = "baseline" if number == 0 else chance.choices(["anthropic", "optuna", "ablation"], [5, 4, 1])[0]
    patch = Patch(train_py=train_py, base_commit=base)
    experiment = ledger.add(experiment, Proposal(hypothesis=hypothesis, patch=patch, proposer=proposer))
    clock.pass_by(0.21)
    finding = Finding(
        rule="imports", line=21, column=1, message="imports `subprocess`, which starts programs",
        instead="leave it out: the container has no other programs to start",
    )  # fmt: skip
    refused = decision is Decision.REFUSED
    rules = ("calls", "contract", "history", "imports", "scope", "secrets", "size", "syntax", "text")
    experiment = ledger.add(experiment, Verdict(rules=rules, findings=(finding,) if refused else ()))
    if not refused:
        experiment = ledger.add(experiment, TrialStarted(seed=1337))
        trial = _trial(decision, score, chance)
        clock.pass_by(trial.total_seconds)
        experiment = ledger.add(experiment, trial)
    reason = {
        Decision.KEEP: "better than the champion by more than 0.0005 bits per byte",
        Decision.DISCARD: "not better than the champion by more than 0.0005 bits per byte",
        Decision.REFUSED: "imports: line 21: imports `subprocess`, which starts programs",
        Decision.CRASH: "it exited with status 1: torch.OutOfMemoryError",
        Decision.TIMEOUT: "it was still running when its 300 s had passed",
        Decision.INVALID: "the model looks ahead: 2,031 of 2,048 cuts moved",
    }[decision]
    experiment = ledger.add(experiment, Outcome(decision=decision, reason=reason))
    commit = f"{random.Random(number).getrandbits(160):040x}"
    experiment = ledger.add(experiment, Committed(commit=commit))
    clock.pass_by(0.05)
    experiment = ledger.close(experiment)
    if proposer != "anthropic":
        return experiment
    clock.pass_by(4.2)
    return ledger.add(experiment, Lesson(text=LESSONS[number % len(LESSONS)]))


def _trial(decision: Decision, score: float, chance: random.Random) -> TrialResult:
    startup, train = chance.uniform(21, 27), chance.uniform(296.5, 299.4)
    if decision in (Decision.KEEP, Decision.DISCARD):
        value = Score(
            val_bpb=score, corrected_bpb=score, tokens=20_971_520, bytes=87_911_004, referee_sha256="7d20" * 16,
            audit={"moved": 0, "cuts": 2048, "parameters": 50_331_656, "nodes": 610, "power": "a cheat on 0.2 % of the rows is found with 98 %"},
        )  # fmt: skip
        claimed = {"training_seconds": 297.8, "total_tokens_M": 122.8, "num_params_M": 50.3, "num_steps": 1521.0,
                   "mfu_percent": 38.9, "peak_vram_mb": 41822.0, "depth": 8.0}  # fmt: skip
        return TrialResult(
            status=TrialStatus.OK, reason="", seed=1337, score=value, claimed=claimed, exit_code=0,
            startup_seconds=startup, train_wall_seconds=train, score_seconds=chance.uniform(38, 44),
            total_seconds=startup + train + 46, log_tail=LOG,
        )  # fmt: skip
    if decision is Decision.CRASH:
        log = LOG.split("step 01250")[0] + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB\n"
        crash = TrialResult(status=TrialStatus.CRASH, reason="exit status 1", seed=1337, exit_code=1, log_tail=log)
        return replace(crash, startup_seconds=startup, train_wall_seconds=203.1, total_seconds=230.9)
    status = TrialStatus.TIMEOUT if decision is Decision.TIMEOUT else TrialStatus.INVALID
    late = TrialResult(status=status, reason="killed at the deadline", seed=1337, log_tail=LOG)
    return replace(late, startup_seconds=startup, train_wall_seconds=300.0, total_seconds=startup + 303)
