"""Every attack of the corpus: through the policies alone, against the whole wall, and against a broken one."""

from __future__ import annotations

from pathlib import Path

import pytest
from breaking import seen_through
from walls import WALLS, named

from daemon.selftest import corpus
from daemon.selftest.corpus import GROUPS, Attack
from daemon.selftest.judge import policies_as_expected, policy_word, succeeded
from daemon.selftest.run import Range, by_policies, default_rules, run_one

ATTACKS = corpus.load()
RULES = default_rules()


def each(attacks: list[Attack]) -> list[object]:
    marks = {True: (), False: (pytest.mark.slow_attack,)}
    return [pytest.param(attack, marks=marks[attack.about.quick], id=attack.name) for attack in attacks]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_policies_alone(attack: Attack) -> None:
    found = policy_word(by_policies(attack, RULES))
    assert policies_as_expected(found, attack), f"{found}, expected {attack.about.policies}"


@pytest.mark.parametrize("attack", each(ATTACKS))
def test_sandbox_alone(attack: Attack, ground: Range, honest_bpb: float) -> None:
    result = run_one(ground, attack, honest_bpb)
    assert result.correct, (result.verdict, result.expected, result.detail)


@pytest.mark.parametrize("attack", each([attack for attack in ATTACKS if attack.wall]))
def test_succeeds_against_a_broken_wall(attack: Attack, ground: Range, honest_bpb: float, tmp_path: Path) -> None:
    seen = seen_through(attack, ground, honest_bpb, tmp_path)
    assert succeeded(seen, attack), (seen, attack.about.success)


def test_the_corpus_is_large_and_covers_every_group() -> None:
    assert len(ATTACKS) >= 90
    assert {attack.group for attack in ATTACKS} == set(GROUPS)
    assert 15 <= sum(attack.about.quick for attack in ATTACKS) <= 30


def test_every_wall_is_broken_by_somebody_and_every_attack_breaks_one_or_says_why_not() -> None:
    assert {name for attack in ATTACKS for name in named(attack)} == set(WALLS)
    without = [attack.name for attack in ATTACKS if attack.wall is None]
    assert len(without) <= 20, without
    assert all(attack.about.success for attack in ATTACKS if attack.wall)


def test_a_residual_risk_is_named_where_an_attack_is_scored_on_another_merit() -> None:
    own = [attack for attack in ATTACKS if attack.about.merit == "own"]
    assert all(attack.about.residual for attack in own)
