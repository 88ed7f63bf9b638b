"""What was spent, and when it is enough."""

from __future__ import annotations

import pytest
from values import summary

from daemon.cost import Caps, reached, spent
from daemon.model import Decision, Summary

TODAY = "2026-03-02"


def night() -> list[Summary]:
    evening, morning = "2026-03-01T22:00:00Z", f"{TODAY}T01:00:00Z"
    return [
        summary(0, Decision.KEEP, 2.00, champion=None, opened_at=evening),
        summary(1, Decision.KEEP, 1.95, champion=0, opened_at=evening, usd=1.0, tokens=10),
        summary(2, Decision.DISCARD, 1.99, champion=1, opened_at=morning, usd=2.0, tokens=20),
        summary(3, Decision.KEEP, 1.90, champion=1, opened_at=morning, usd=3.0, tokens=30),
    ]


def test_the_account_of_a_night() -> None:
    account = spent(night(), TODAY)
    assert (account.usd, account.usd_today, account.tokens) == (6.0, 5.0, 60)
    assert account.usd_per_keep == 3.0
    assert account.usd_per_gain == pytest.approx(0.6)


def test_nothing_spent_and_nothing_kept() -> None:
    account = spent([], TODAY)
    assert (account.usd, account.tokens, account.usd_per_keep, account.usd_per_gain) == (0.0, 0, None, None)
    assert reached(account, Caps()) is None


@pytest.mark.parametrize(
    ("caps", "words"),
    [
        (Caps(max_usd=6.0), "cost.max_usd = 6"),
        (Caps(max_usd_per_day=5.0), "cost.max_usd_per_day = 5"),
        (Caps(max_tokens=60), "cost.max_tokens = 60"),
        (Caps(max_usd=0.0), "cost.max_usd = 0"),
        (Caps(max_usd=6.01, max_usd_per_day=5.01, max_tokens=61), None),
    ],
)
def test_a_cap_is_reached_when_it_is_spent(caps: Caps, words: str | None) -> None:
    sentence = reached(spent(night(), TODAY), caps)
    assert sentence is None if words is None else words in (sentence or "")
