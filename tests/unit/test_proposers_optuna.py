"""The embedded default: stays near the champion, repeats nothing, and beats random search where trials are few."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median

import pytest
from proposer_conformance import ProposerConformance, after, closed, context_of
from values import CRASH

from daemon.model import MAX_HYPOTHESIS_CHARACTERS, Decision, Patch, Proposal, TrialStatus
from daemon.proposers.interface import Context, NothingToPropose, Proposer, load
from daemon.proposers.literals import SpaceError, Value, read_space, rewrite

REAL = (Path(__file__).parents[2] / "train.py").read_bytes()
FAKE = b"""import prepare
if True:
    # --- hyperparameters (cpu profile)
    DEPTH = 4  # int 1..8; layers
    BATCH = 2**13  # choice 2**11 2**12 2**13 2**14; tokens
    MATRIX_LR = 0.02  # log 0.002..0.5; Muon
    HEAD_LR = 0.004  # log 0.0004..0.1
    DECAY = 0.3  # lin 0..0.5
    WARMDOWN = 0.2  # lin 0..1
    PATTERN = "L"  # choice "L" "SL" "SSL"
    # --- end
"""
TINY = b"# --- hyperparameters (cpu profile)\nDEPTH = 1  # int 1..2\nKIND = 'a'  # choice 'a' 'b'\n# --- end\n"


def proposer(**options: object) -> Proposer:
    return load("optuna", options)


def values_of(train_py: bytes) -> dict[str, Value]:
    return {p.name: p.value for p in read_space(train_py, "cpu")}


def changed(context: Context, proposal: Proposal) -> dict[str, Value]:
    old = values_of(context.train_py)
    return {name: value for name, value in values_of(proposal.patch.train_py).items() if old[name] != value}


class TestOptunaFirst(ProposerConformance):
    def proposer(self) -> Proposer:
        return proposer(seed=7)

    def context(self) -> Context:
        return context_of(REAL)


class TestOptunaLater(ProposerConformance):
    def proposer(self) -> Proposer:
        return proposer(seed=7, startup_trials=2)

    def context(self) -> Context:
        context = context_of(FAKE)
        for bpb in (1.6, 1.55, 1.7):
            context = after(context, self.proposer().propose(context), bpb)
        return context


def test_the_first_proposals_move_one_likely_literal_by_a_step_that_shows() -> None:
    context, seen = context_of(REAL), []
    for _ in range(8):
        proposal = proposer(seed=3).propose(context)
        ((name, value),) = changed(context, proposal).items()
        assert {"LR", "BATCH", "DEPTH", "WIDTH"} & set(name.split("_"))
        old = values_of(context.train_py)[name]
        if name.endswith("_LR"):
            assert float(value) / float(old) in (pytest.approx(2), pytest.approx(0.5))
        assert proposal.hypothesis.startswith(f"{name} {old} → {value}: one step from the champion (")
        seen.append((name, value))
        context = after(context, proposal, 1.6)
    assert len(set(seen)) == 8


def test_seeds_shuffle_the_order() -> None:
    first = {proposer(seed=seed).propose(context_of(REAL)).hypothesis for seed in range(8)}
    assert len(first) > 3
    assert proposer().propose(context_of(REAL, rng_seed=0)) == proposer().propose(context_of(REAL, rng_seed=0))


def test_what_helped_is_moved_further() -> None:
    context = context_of(FAKE)
    train_py = rewrite(FAKE, "cpu", {"MATRIX_LR": 0.04})
    gain = Proposal(hypothesis="up", patch=Patch(train_py=train_py, base_commit=context.base_commit), proposer="x")
    context = after(context, gain, 1.4, keep=True)
    proposal = proposer().propose(context)
    assert changed(context, proposal) == {"MATRIX_LR": 0.08}
    assert "one step further" in proposal.hypothesis
    context = after(context, proposal, 1.5)
    assert "MATRIX_LR" not in changed(context, proposer().propose(context))


def test_tpe_moves_few_literals_and_stays_near() -> None:
    context = context_of(FAKE)
    for number in range(25):
        proposal = proposer(startup_trials=0).propose(context)
        moved = changed(context, proposal)
        assert 1 <= len(moved) <= 3
        assert "suggested by TPE" in proposal.hypothesis
        assert len(proposal.hypothesis) <= MAX_HYPOTHESIS_CHARACTERS
        assert all(0.01 <= float(value) / 0.02 <= 4.001 for name, value in moved.items() if name == "MATRIX_LR")
        context = after(context, proposal, 1.5 + number / 100)


def test_nothing_is_proposed_twice_and_a_finite_space_ends() -> None:
    context, tried = context_of(TINY), {TINY}
    with pytest.raises(NothingToPropose):
        for _ in range(20):
            proposal = proposer(startup_trials=1).propose(context)
            assert proposal.patch.train_py not in tried
            tried.add(proposal.patch.train_py)
            context = after(context, proposal, 1.6)
    assert 3 <= len(tried) <= 4


def test_every_kind_of_history_is_borne() -> None:
    context = context_of(FAKE)
    odd = [
        closed(1, b"not a block", 1.6),
        closed(2, FAKE.replace(b"DEPTH = 4", b"DEPTH = 99"), 1.6),
        closed(3, FAKE.replace(b"    DECAY = 0.3  # lin 0..0.5\n", b""), 1.6),
        closed(4, rewrite(FAKE, "cpu", {"DEPTH": 8}), CRASH, decision=Decision.CRASH),
        closed(5, rewrite(FAKE, "cpu", {"DEPTH": 7}), replace(CRASH, status=TrialStatus.TIMEOUT)),
        closed(6, rewrite(FAKE, "cpu", {"DEPTH": 6}), None, decision=Decision.REFUSED),
        closed(7, rewrite(FAKE, "cpu", {"DEPTH": 2}), math.nan),
        replace(closed(8, FAKE, 1.6), proposal=None),
    ]
    context = replace(context, history=[*context.history, *odd])
    for startup in (0, 100):
        moved = changed(context, proposer(startup_trials=startup).propose(context))
        assert 1 <= len(moved) <= 3


def test_regions_that_crash_are_avoided() -> None:
    """Depth 6 and more crashes: TPE must learn to go there far less often than it did at first."""
    context, deep = context_of(FAKE), []
    for _ in range(40):
        proposal = proposer(startup_trials=0).propose(context)
        depth = int(values_of(proposal.patch.train_py)["DEPTH"])
        deep.append(depth >= 6)
        context = after(context, proposal, CRASH if depth >= 6 else 1.5 + 0.001 * depth)
    assert sum(deep[20:]) <= 3


def test_a_champion_that_cannot_be_searched_says_where() -> None:
    with pytest.raises(SpaceError, match=r"line 4: DEPTH = 44 is outside its range 1\.\.8"):
        proposer().propose(context_of(FAKE.replace(b"DEPTH = 4", b"DEPTH = 44")))


def true_bpb(values: dict[str, Value]) -> float:
    """A made-up surface: five literals matter, two do not; the best is 1.2, the start 1.34."""
    v = {name: float(value) for name, value in values.items() if not isinstance(value, str)}
    return (
        1.2
        + 0.015 * (v["DEPTH"] - 2) ** 2
        + 0.02 * math.log2(v["BATCH"] / 2**12) ** 2
        + 0.015 * math.log2(v["MATRIX_LR"] / 0.06) ** 2
        + 0.004 * math.log2(v["HEAD_LR"] / 0.008) ** 2
        + 0.05 * (v["WARMDOWN"] - 0.5) ** 2
    )


def search(propose: Callable[[Context], Proposal], seed: int) -> float:
    """The true score of the champion after 40 noisy experiments, judged greedily."""
    noise, context = Random(seed), context_of(FAKE, rng_seed=seed)
    champion = true_bpb(values_of(FAKE))
    for _ in range(40):
        proposal = propose(context)
        bpb = true_bpb(values_of(proposal.patch.train_py)) + noise.gauss(0, 0.005)
        keep = bpb < champion - 0.002
        champion = bpb if keep else champion
        context = after(context, proposal, bpb, keep=keep)
    return true_bpb(values_of(context.train_py))


def at_random(context: Context) -> Proposal:
    rng, values = Random(f"{context.rng_seed}:{len(context.history)}"), {}
    for p in read_space(FAKE, "cpu"):
        if p.kind == "choice":
            values[p.name] = rng.choice(p.choices)
        elif p.kind == "int":
            values[p.name] = rng.randint(int(p.low), int(p.high))
        elif p.kind == "log":
            values[p.name] = math.exp(rng.uniform(math.log(p.low), math.log(p.high)))
        else:
            values[p.name] = rng.uniform(p.low, p.high)
    patch = Patch(train_py=rewrite(FAKE, "cpu", values), base_commit=context.base_commit)
    return Proposal(hypothesis="random", patch=patch, proposer="random")


def test_it_beats_random_search_in_forty_experiments() -> None:
    ours = [search(proposer().propose, seed) for seed in range(10)]
    random = [search(at_random, seed) for seed in range(10)]
    assert median(ours) < median(random)
    assert median(ours) < 1.23
    assert max(ours) < true_bpb(values_of(FAKE))
