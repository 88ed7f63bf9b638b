"""Which proposer gets farthest in a short night: best score so far, as differences against random in the same run.

    make train-env
    .venv/bin/python bench/proposers.py --seeds 5 --proposals 12 --cores 0,1

Every method searches the same train.py (cpu profile), and every trial is a real training run of .venv-train, scored
by prepare.py itself on all validation rows: no container and no clock. A trial's number of steps is fixed beforehand,
so its score does not depend on how busy the machine is, and the same file gives the same score again: it is trained
once (`--cache`). With `--equal compute` a dearer model or batch gets fewer steps, as it would in a fixed time; the
price of a step is counted from the literals (multiplications of forward, backward and Muon), so a change of the code
that costs time is not charged. `--equal steps` gives every trial the same steps; there, bigger is nearly always better.

The judge is the rule of a fresh lab: greedy, with the least gain of the cpu profile. A seed is the proposer's; the
training seed is the same for all. So the winners are trained again with other training seeds (`--check-seeds`): what
is left of the gain there is not luck with one seed.

`hybrid` and `hybrid-cma` stand in for a model by a list of edits, written down beforehand, that a well-read model
might try: it shows what the mixture makes of such a list, not what a model is worth.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from common import REPOSITORY, machine
from fixed_steps import PROFILE, TRAIN_SEED, Trainer, prepare, price

from daemon.model import (
    Decision,
    Experiment,
    Outcome,
    Patch,
    Phase,
    Proposal,
    Score,
    TrialResult,
    TrialStatus,
)
from daemon.proposers import ablation, optuna_search
from daemon.proposers.hybrid import Component, HybridProposer
from daemon.proposers.interface import Context, NothingToPropose, Proposer
from daemon.proposers.literals import Value, rewrite
from daemon.settings import default_lab_toml
from policies.interface import Verdict

BASE = "0" * 40
# Literals by name, or code by search and replace.
Edit = Mapping[str, Value] | tuple[str, str]

SCRIPT: Sequence[tuple[str, Edit]] = (
    ("half the batch: more steps for the same compute", {"TOTAL_BATCH_SIZE": 1024}),
    (
        "sharper attention: normed queries and keys times 1.2",
        (
            "q, k = rms_norm(rotate(q, cos, sin)), rms_norm(rotate(k, cos, sin))",
            "q, k = 1.2 * rms_norm(rotate(q, cos, sin)), 1.2 * rms_norm(rotate(k, cos, sin))",
        ),
    ),
    ("a longer warmdown suits a short run", {"WARMDOWN_FRACTION": 0.8}),
    (
        "let a little of the negative side through: squared leaky ReLU",
        (
            "functional.relu(self.widen(rms_norm(x))).square()",
            "functional.leaky_relu(self.widen(rms_norm(x)), 0.1).square()",
        ),
    ),
    ("a higher rate for the matrices: the run is short", {"MATRIX_LR": 0.06}),
    ("value embeddings in every layer", ("return (DEPTH - 1 - layer) % 2 == 0", "return layer >= 0")),
    ("a third layer", {"DEPTH": 3}),
    (
        "no cap on the logits: the run is too short for it to matter",
        ("        logits = LOGIT_SOFTCAP * torch.tanh(logits / LOGIT_SOFTCAP)\n", ""),
    ),
)


class ScriptedModel:
    """The stand-in for a model: the first edit of the script that still fits the champion and was not tried."""

    name = "scripted-model"

    def propose(self, context: Context) -> Proposal:
        done = {e.hypothesis for e in context.history if e.proposal is not None and e.proposal.proposer == self.name}
        for hypothesis, edit in SCRIPT:
            train_py = _edited(context.train_py, edit)
            if hypothesis not in done and train_py is not None:
                patch = Patch(train_py=train_py, base_commit=context.base_commit)
                return Proposal(hypothesis=hypothesis, patch=patch, proposer=self.name)
        raise NothingToPropose("the script is at its end")


def _edited(train_py: bytes, edit: Edit) -> bytes | None:
    if isinstance(edit, tuple):
        search, replacement = (text.encode() for text in edit)
        return train_py.replace(search, replacement) if train_py.count(search) == 1 else None
    edited = rewrite(train_py, PROFILE, edit)
    return edited if edited != train_py else None


def _mixture(optimiser: Mapping[str, object]) -> Callable[[int], Proposer]:
    def build(seed: int) -> Proposer:
        parts = [
            Component(proposer=ScriptedModel(), weight=0.3),
            Component(proposer=optuna_search.build({"seed": seed, **optimiser}), weight=0.6),
            Component(proposer=ablation.build({}), weight=0.1),
        ]
        return HybridProposer(parts, seed)

    return build


def _optimiser(**options: object) -> Callable[[int], Proposer]:
    return lambda seed: optuna_search.build({"seed": seed, **options})


METHODS: Mapping[str, Callable[[int], Proposer]] = {
    "random": _optimiser(sampler="random"),
    "tpe": _optimiser(sampler="tpe", startup_trials=0),
    "cma-es": _optimiser(sampler="cma-es", startup_trials=0),
    "steps+tpe": _optimiser(),
    "steps+cma-es": _optimiser(sampler="cma-es"),
    "hybrid": _mixture({}),
    "hybrid-cma": _mixture({"sampler": "cma-es", "startup_trials": 0}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One method with one seed: the champion's score after each proposal, and the last champion's file."""

    method: str
    seed: int
    best_bpb: Sequence[float]
    champion_py: bytes
    failed: int


def experiment(number: int, proposal: Proposal, score: float | None, champion: Experiment | None) -> Experiment:
    least_gain = _least_gain_bpb()
    keep = score is not None and (champion is None or score < (champion.val_bpb or math.inf) - least_gain)
    decision = Decision.KEEP if keep else Decision.CRASH if score is None else Decision.DISCARD
    return Experiment(
        number=number,
        arena="bench",
        base_commit=BASE,
        champion=champion.number if champion is not None else None,
        phase=Phase.CLOSED,
        opened_at="2026-01-01T00:00:00.000Z",
        proposal=proposal,
        verdict=Verdict(rules=("none: a bench",), findings=()),
        trials=(_trial(score),),
        outcome=Outcome(decision=decision, reason=""),
        commit=f"{number:040x}",
    )


def _least_gain_bpb() -> float:
    line = next(line for line in default_lab_toml(PROFILE, "bench").splitlines() if line.startswith("min_gain_bpb"))
    return float(line.split("=")[1].split("#")[0])


def _trial(score: float | None) -> TrialResult:
    if score is None:
        return TrialResult(status=TrialStatus.CRASH, reason="it failed", seed=TRAIN_SEED)
    judged = Score(val_bpb=score, corrected_bpb=score, tokens=1, bytes=1, referee_sha256="0" * 64, audit={})
    return TrialResult(status=TrialStatus.OK, reason="", seed=TRAIN_SEED, score=judged)


def search(method: str, seed: int, trainer: Trainer, train_py: bytes, proposals: int) -> Series:
    proposer = METHODS[method](seed)
    patch = Patch(train_py=train_py, base_commit=BASE)
    baseline = Proposal(hypothesis="baseline", patch=patch, proposer="baseline")
    champion = experiment(0, baseline, trainer.score(train_py), None)
    history, best = [champion], []
    for number in range(1, proposals + 1):
        assert champion.proposal is not None and champion.val_bpb is not None
        context = Context(
            champion=champion,
            train_py=champion.proposal.patch.train_py,
            base_commit=BASE,
            history=tuple(history),
            program="",
            profile=PROFILE,
        )
        proposal = proposer.propose(context)
        done = experiment(number, proposal, trainer.score(proposal.patch.train_py), champion)
        history.append(done)
        champion = done if done.decision is Decision.KEEP else champion
        best.append(champion.val_bpb or math.nan)
        shown = f"{done.val_bpb:.4f}" if done.val_bpb is not None else "failed"
        print(f"{method} seed {seed} #{number}: {shown} {done.decision}: {proposal.hypothesis[:150]}", file=sys.stderr)
    assert champion.proposal is not None
    failed = sum(e.decision is Decision.CRASH for e in history)
    return Series(method=method, seed=seed, best_bpb=best, champion_py=champion.proposal.patch.train_py, failed=failed)


def difference(values: Sequence[float], reference: Sequence[float]) -> str:
    """Mean of the one less mean of the other, with its standard error."""
    if any(map(math.isnan, (*values, *reference))):
        return "not run"
    if len(values) < 2:
        return f"{statistics.mean(values) - statistics.mean(reference):+.4f}        "
    error = math.sqrt(sum(statistics.variance(v) / len(v) for v in (values, reference)))
    return f"{statistics.mean(values) - statistics.mean(reference):+.4f} ± {error:.4f}"


def spread(values: Sequence[float]) -> str:
    if any(map(math.isnan, values)):
        return "not run"
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values) if len(values) > 1 else math.nan:.4f}"


def report(
    series: Sequence[Series], checked: Mapping[bytes, float], methods: Sequence[str], marks: Sequence[int]
) -> None:
    def at(method: str, mark: int) -> list[float]:
        return [s.best_bpb[mark - 1] for s in series if s.method == method]

    def again(method: str) -> list[float]:
        return [checked[s.champion_py] for s in series if s.method == method]

    print("champion's val_bpb after so many proposals, mean ± standard deviation; 'again': with other training seeds")
    print("".join(f"{head:>20}" for head in ("", *marks, "again", "failed trials")))
    for method in methods:
        failed = sum(s.failed for s in series if s.method == method)
        print(
            "".join(
                f"{cell:>20}"
                for cell in (method, *(spread(at(method, m)) for m in marks), spread(again(method)), failed)
            )
        )
    if "random" not in methods:
        return
    print("difference against random, bpb: mean ± standard error; below 0 is better")
    for method in methods:
        cells = [difference(at(method, m), at("random", m)) for m in marks]
        print("".join(f"{cell:>20}" for cell in (method, *cells, difference(again(method), again("random")))))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="random,tpe,cma-es,steps+tpe,hybrid,hybrid-cma", help=", ".join(METHODS))
    parser.add_argument("--seeds", type=int, default=5, help="of the proposers")
    parser.add_argument("--proposals", type=int, default=12, help="after the baseline")
    parser.add_argument("--steps", type=int, default=30, help="of the baseline")
    parser.add_argument("--equal", choices=("compute", "steps"), default="compute", help="between trials")
    parser.add_argument("--check-seeds", type=int, default=2, help="training seeds for the winners, afterwards")
    parser.add_argument("--cores", default="0,1", help="one trial at a time on each")
    parser.add_argument("--data", type=Path, help="prepared data of the cpu profile (default: the sample, made anew)")
    parser.add_argument("--cache", type=Path, default=REPOSITORY / "build" / "bench-proposers", help="of scores")
    options = parser.parse_args()
    options.methods = options.methods.split(",")
    if unknown := set(options.methods) - set(METHODS):
        parser.error(f"there is no method {min(unknown)}; there are {', '.join(METHODS)}")
    return options


def main() -> None:
    options = arguments()
    prepare(options)
    train_py = (REPOSITORY / "train.py").read_bytes()
    trainer = Trainer(options, price(train_py))
    cores = [int(core) for core in options.cores.split(",")]
    for core in cores:
        trainer.cores.put(core)
    begun = time.monotonic()
    print(f"{machine()}; {len(cores)} trials at a time, {options.steps} steps a baseline, equal {options.equal}")
    baseline = trainer.score(train_py)
    if baseline is None:
        sys.exit("the baseline failed; run train.py by hand to see why")
    with ThreadPoolExecutor(len(cores)) as pool:
        jobs = [(method, seed) for seed in range(1, options.seeds + 1) for method in options.methods]
        series = list(pool.map(lambda job: search(*job, trainer, train_py, options.proposals), jobs))
        winners = {train_py, *(s.champion_py for s in series)}
        checked = dict(
            zip(winners, pool.map(lambda file: check(file, trainer, options.check_seeds), winners), strict=True)
        )
    print(f"baseline {baseline:.4f}, with other training seeds {checked[train_py]:.4f}")
    marks = sorted({max(1, options.proposals // 4), max(1, options.proposals // 2), options.proposals})
    report(series, checked, options.methods, marks)
    minutes = (time.monotonic() - begun) / 60
    print(f"{trainer.asked} trials asked, {len(trainer.runs)} different ones, {minutes:.1f} minutes")


def check(train_py: bytes, trainer: Trainer, seeds: int) -> float:
    scores = [trainer.score(train_py, TRAIN_SEED + 1 + extra) for extra in range(seeds)]
    return statistics.mean(math.nan if score is None else score for score in scores) if scores else math.nan


if __name__ == "__main__":
    main()
