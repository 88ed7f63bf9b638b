"""Many tests over many nights, the budget, and what a person should look at."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.decide import Control, PastTest, affordable_pairs, too_good
from daemon.decide.many import share

HISTORY = st.lists(st.builds(PastTest, level=st.floats(1e-6, 0.2), kept=st.booleans()), max_size=30)
CONTROL = Control()


def played(control: Control, kept: list[bool]) -> list[PastTest]:
    history: list[PastTest] = []
    for one in kept:
        history.append(PastTest(level=control.level(history), kept=one))
    return history


def test_the_first_levels_are_the_stake_spread_out() -> None:
    first = played(CONTROL, [False] * 3)
    total = sum(n**-1.6 for n in range(1, 200_000))
    assert [test.level for test in first] == pytest.approx([0.05 * n**-1.6 / total for n in (1, 2, 3)], rel=1e-3)
    assert sum(share(n, 1.6) for n in range(1, 200_000)) == pytest.approx(1, abs=1e-3)


def test_a_keep_earns_what_the_next_tests_may_spend() -> None:
    without, with_one = played(CONTROL, [False, False]), played(CONTROL, [True, False])
    assert with_one[1].level - without[1].level == pytest.approx((0.2 - 0.05) * share(1, 1.6))
    again = played(CONTROL, [True, True, False])
    later = played(CONTROL, [True, False, False])
    assert again[2].level - later[2].level == pytest.approx(0.2 * share(1, 1.6))


@given(st.lists(st.booleans(), max_size=40))
def test_what_is_spent_never_exceeds_what_was_earned(kept: list[bool]) -> None:
    """The estimate that LORD++ keeps below alpha: the levels so far over the keeps so far."""
    history = played(CONTROL, kept)
    assert CONTROL.expected_false_keeps(history) <= CONTROL.alpha * max(1, sum(kept)) + 1e-9
    if not any(kept):
        assert CONTROL.expected_false_keeps(history) <= CONTROL.stake


@given(HISTORY)
def test_a_level_is_a_level_and_the_same_every_time(history: list[PastTest]) -> None:
    level = CONTROL.level(history)
    assert 0 < level < 0.5
    assert level == CONTROL.level(tuple(history))


def test_false_keeps_stay_below_alpha_when_most_ideas_are_worth_nothing() -> None:
    """Independent tests, four of five without a gain, the others found nine times in ten at any level."""
    random, shares = np.random.default_rng(5), []
    for _ in range(300):
        history, false = [], 0
        for _ in range(60):
            level, real = CONTROL.level(history), random.random() < 0.2
            kept = bool(random.random() < (0.9 if real else level))
            false += kept and not real
            history.append(PastTest(level=level, kept=kept))
        shares.append(false / max(1, sum(test.kept for test in history)))
    assert np.mean(shares) <= CONTROL.alpha


@pytest.mark.parametrize(
    "wrong", [{"alpha": 0.0}, {"alpha": 1.0}, {"stake": 0.3}, {"stake": 0.0}, {"decay": 1.0}, {"decay": math.inf}]
)
def test_a_senseless_control_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must hold"):
        Control(**wrong)


def afford(**changed: float) -> int:
    values = {"replicate_seconds": 0, "all_seconds": 0, "pair_seconds": 10, "share": 0.25, "head_start_pairs": 0}
    return affordable_pairs(**{**values, **changed})  # type: ignore[arg-type]


def test_what_replicates_may_take() -> None:
    assert afford() == 0
    assert afford(head_start_pairs=3) == 3
    assert afford(all_seconds=300) == 10  # 100 s of then 400
    assert afford(all_seconds=300, replicate_seconds=70) == 0
    assert afford(all_seconds=300, replicate_seconds=999) == 0


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(1, 1e3), st.floats(0, 0.9))
def test_the_share_is_never_exceeded(spent: float, others: float, pair: float, limit: float) -> None:
    pairs = afford(replicate_seconds=spent, all_seconds=spent + others, pair_seconds=pair, share=limit)
    if pairs:
        assert spent + pairs * pair <= limit * (spent + others + pairs * pair) * (1 + 1e-6) + 1e-6 * pair


@pytest.mark.parametrize("wrong", [{"share": 1.0}, {"share": -0.1}, {"pair_seconds": 0}, {"head_start_pairs": -1}])
def test_a_senseless_budget_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="no budget"):
        afford(**wrong)


def test_too_good_to_be_true() -> None:
    assert too_good(0.031, [0.002, 0.01, -0.5], 3)
    assert not too_good(0.03, [0.002, 0.01], 3)
    assert not too_good(9.0, [], 3)
    assert not too_good(9.0, [-0.1, 0.0], 3)
