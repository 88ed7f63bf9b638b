"""The embedded default: stays near the champion, repeats nothing, and beats random search where trials are few."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median

import pytest
from proposer_conformance import ProposerConformance, after, closed, context_of
from values import CRASH

from daemon.model import MAX_HYPOTHESIS_CHARACTERS, Decision, Patch, Proposal, TrialStatus
from daemon.proposers import moves, observations, samplers
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
    return {p.name: p.value for p in read_space(train_py, "cpu", strict=False)}


def changed(context: Context, proposal: Proposal) -> dict[str, Value]:
    old = values_of(context.train_py)
    return {name: value for name, value in values_of(proposal.patch.train_py).items() if old[name] != value}


class TestOptunaFirst(ProposerConformance):
    def proposer(self) -> Proposer:
        return proposer(seed=7)

    def context(self) -> Context:
        return context_of(REAL)


class TestCmaEs(ProposerConformance):
    def proposer(self) -> Proposer:
        return proposer(seed=7, sampler="cma-es", startup_trials=2)

    def context(self) -> Context:
        context = context_of(FAKE)
        for number in range(20):
            context = after(context, self.proposer().propose(context), 1.6 - 0.01 * (number % 5))
        return context


class TestRandom(ProposerConformance):
    def proposer(self) -> Proposer:
        return proposer(seed=7, sampler="random")

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


def test_what_helped_among_many_is_not_guessed() -> None:
    many: dict[str, Value] = {"MATRIX_LR": 0.04, "HEAD_LR": 0.008, "DECAY": 0.2, "DEPTH": 3, "WARMDOWN": 0.3}
    context = with_champion(context_of(FAKE), rewrite(FAKE, "cpu", many), 1.4)
    assert "one step further" not in proposer().propose(context).hypothesis


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


def test_a_baseline_that_cannot_be_searched_says_where() -> None:
    with pytest.raises(SpaceError, match=r"line 4: DEPTH = 4\.5 is no value"):
        proposer().propose(context_of(FAKE.replace(b"DEPTH = 4", b"DEPTH = 4.5")))


def test_what_a_proposer_wrote_is_searched_as_far_as_it_can_be() -> None:
    broken = FAKE.replace(b"DEPTH = 4", b"DEPTH = 2 + 2").replace(b"DECAY = 0.3  # lin 0..0.5", b"NEW = 3  # int 1..9")
    context = with_champion(context_of(FAKE), broken, 1.4)
    for startup in (0, 24):
        for sampler in ("tpe", "cma-es", "random"):
            moved = changed(context, proposer(startup_trials=startup, sampler=sampler).propose(context))
            assert moved
            assert not {"DEPTH", "DECAY"} & set(moved)


def test_a_champion_outside_its_range_stretches_it_and_says_so() -> None:
    context = context_of(TINY.replace(b"DEPTH = 1", b"DEPTH = 5"))
    hypothesis = proposer().propose(context).hypothesis
    assert hypothesis.startswith("DEPTH 5 → 4: ")
    assert hypothesis.endswith("; stretched to hold the champion's value: the range of DEPTH")


@pytest.mark.parametrize("startup", [0, 100])
@pytest.mark.parametrize("sampler", ["tpe", "cma-es", "random"])
def test_memory_is_no_first_move(sampler: str, startup: int) -> None:
    context = context_of(REAL)
    for number in range(12):
        proposal = proposer(sampler=sampler, startup_trials=startup).propose(context)
        assert "DEVICE_BATCH_SIZE" not in changed(context, proposal)
        context = after(context, proposal, 1.6 + number / 100)


def test_memory_is_the_last_of_the_single_moves() -> None:
    for seed in range(5):
        order = [move.parameter.name for move in moves.one_by_one(read_space(REAL, "cpu"), Random(seed))]
        assert set(order[-2:]) == {"DEVICE_BATCH_SIZE"}
        assert order.count("DEVICE_BATCH_SIZE") == 2


def with_champion(context: Context, train_py: bytes, bpb: float) -> Context:
    patch = Patch(train_py=train_py, base_commit=context.base_commit)
    return after(context, Proposal(hypothesis="x", patch=patch, proposer="model"), bpb, keep=True)


def test_random_is_random_from_the_start_and_says_so() -> None:
    context = context_of(FAKE)
    proposal = proposer(sampler="random").propose(context)
    assert proposal.hypothesis.startswith("drawn at random: ")
    assert len(changed(context, proposal)) > 3


def test_cma_es_moves_many_literals_in_small_steps_and_says_so() -> None:
    context = context_of(FAKE)
    proposal = proposer(sampler="cma-es", startup_trials=0).propose(context)
    assert proposal.hypothesis.startswith("suggested by CMA-ES from 1 scores: ")
    assert len(changed(context, proposal)) > 3


@pytest.mark.parametrize("sampler", ["tpe", "cma-es"])
def test_the_sampler_is_told_what_others_tried(sampler: str) -> None:
    """Two histories that differ only in the scores of a stranger's experiments lead to different proposals."""
    answers = set()
    for sign in (1, -1):
        context = context_of(FAKE)
        for at in range(1, 13):
            values: dict[str, Value] = {"MATRIX_LR": 0.02 * 1.2**at, "DECAY": 0.02 * at, "HEAD_LR": 0.004 * 0.9**at}
            patch = Patch(train_py=rewrite(FAKE, "cpu", values), base_commit=context.base_commit)
            stranger = Proposal(hypothesis="x", patch=patch, proposer="model")
            context = after(context, stranger, 1.6 + sign * at / 100)
        answers.add(proposer(sampler=sampler, startup_trials=0).propose(context).patch.sha256)
    assert len(answers) == 2


def test_a_change_of_code_does_not_speak_against_the_literals_it_carries() -> None:
    space, bad_code = read_space(FAKE, "cpu"), FAKE + b"worse = True\n"
    history = [
        closed(0, FAKE, 1.5, champion=None, decision=Decision.KEEP),
        closed(1, bad_code, 1.8),
        closed(2, rewrite(bad_code, "cpu", {"DEPTH": 5}), 1.7, champion=1),
        closed(3, rewrite(FAKE, "cpu", {"DEPTH": 3}), 1.45),
        closed(4, FAKE + b"crash()\n", CRASH, decision=Decision.CRASH),
        closed(5, rewrite(FAKE, "cpu", {"DEPTH": 8}), CRASH, decision=Decision.CRASH),
    ]
    known = observations.points(history, space, "cpu")
    told = [(point.values["DEPTH"], point.val_bpb) for point in known]
    assert told == [(4, 1.5), (4, 1.5), (5, pytest.approx(1.4)), (3, 1.45), (8, None)]


def test_history_is_mapped_onto_the_champions_literals_by_name() -> None:
    champion = FAKE.replace(b"    DECAY = 0.3  # lin 0..0.5\n", b"    CLIP = 2.0  # log 1..9\n")
    champion = champion.replace(b"int 1..8", b"int 1..4")
    space = read_space(champion, "cpu")
    others = b"# --- hyperparameters (cpu profile)\nDEPTH = 2  # int 1..4\nWHAT = 1  # int 1..2\n# --- end\n"
    history = [
        closed(0, FAKE, 1.5, champion=None),
        closed(1, rewrite(FAKE, "cpu", {"DEPTH": 8}), 1.4),
        closed(2, others, 1.3),
    ]
    (point,) = observations.points(history, space, "cpu")
    assert set(point.values) == {p.name for p in space}
    assert point.values["CLIP"] == 2.0


def test_risky_is_where_the_nearest_run_failed() -> None:
    space = read_space(TINY.replace(b"1..2", b"1..9"), "cpu")
    known = [
        observations.Point(values={"DEPTH": 2, "KIND": "a"}, val_bpb=1.5),
        observations.Point(values={"DEPTH": 8, "KIND": "a"}, val_bpb=None),
    ]
    risky = [d for d in range(1, 10) if observations.is_risky(space, known, {"DEPTH": d, "KIND": "a"})]
    assert risky == [6, 7, 8, 9]
    assert not observations.is_risky(space, known[:1], {"DEPTH": 9, "KIND": "a"})


def test_tpe_is_told_of_a_failure_as_a_broken_constraint() -> None:
    space = read_space(FAKE, "cpu")
    for trial, broken in ((CRASH, True), (1.6, False)):
        (point,) = observations.points([closed(0, FAKE, 1.5, champion=None), closed(1, FAKE, trial)], space, "cpu")[1:]
        study = samplers.study(space, [point, replace(point, val_bpb=1.5)], seed=1)
        assert [value > 0 for value in study.trials[0].constraints.values()] == [broken]


def test_cma_es_does_not_draw_where_the_nearest_run_failed() -> None:
    space = read_space(FAKE, "cpu")
    rates = [0.004, 0.008, 0.016, 0.03, 0.06, 0.12]
    history = [
        closed(n, rewrite(FAKE, "cpu", {"MATRIX_LR": r}), CRASH if r > 0.02 else 1.5) for n, r in enumerate(rates)
    ]
    known = observations.points([closed(9, FAKE, 1.5, champion=None), *history], space, "cpu")
    drawn = list(islice(samplers.cma_es(space, known, seed=1), 20))
    assert not any(observations.is_risky(space, known, values) for values in drawn)
    assert max(float(values["MATRIX_LR"]) for values in drawn) < 0.04


def test_what_is_being_tried_is_not_proposed_again() -> None:
    context = context_of(FAKE)
    first = proposer().propose(context)
    running = replace(closed(1, first.patch.train_py, None), outcome=None)
    second = proposer().propose(replace(context, pending=(running,)))
    assert second.patch != first.patch


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


def test_it_beats_random_search_in_forty_experiments() -> None:
    ours = [search(proposer().propose, seed) for seed in range(10)]
    random = [search(proposer(sampler="random", seed=seed).propose, seed) for seed in range(10)]
    assert median(ours) < median(random)
    assert median(ours) < 1.23
    assert max(ours) < true_bpb(values_of(FAKE))


def test_so_does_cma_es() -> None:
    ours = [search(proposer(sampler="cma-es", startup_trials=0).propose, seed) for seed in range(6)]
    random = [search(proposer(sampler="random", seed=seed).propose, seed) for seed in range(6)]
    assert median(ours) < median(random)
