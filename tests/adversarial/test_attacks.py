"""Every attack of the corpus: through the policies alone, against the whole wall, and against a broken one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from breaking import seen_through
from walls import WALLS, named

from daemon.selftest import corpus
from daemon.selftest.corpus import GROUPS, Attack
from daemon.selftest.judge import FAULT, NO_EFFECT, policies_as_expected, policy_word, succeeded
from daemon.selftest.run import CONTROL, Range, by_policies, default_rules, run_one

ATTACKS = corpus.load()
HONEST = next(attack for attack in ATTACKS if attack.name == CONTROL)
AT_FAULT = {attack.wall: attack for attack in ATTACKS if FAULT in attack.about.success or len(named(attack)) > 1}
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


@pytest.mark.parametrize("attack", each(list(AT_FAULT.values())))
def test_an_honest_program_is_scored_behind_the_broken_wall(
    attack: Attack, ground: Range, honest_bpb: float, tmp_path: Path
) -> None:
    """Or the breaking alone would be what a referee that gives up is taken for."""
    seen = seen_through(replace(attack, program=HONEST.program), ground, honest_bpb, tmp_path)
    assert seen.verdict == NO_EFFECT, (seen, attack.wall)


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
