"""The price table: shipped figures, a file of one's own, and models that nobody has priced."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.model import UserError
from daemon.pricing import Tokens, load

MILLION = 1_000_000
EACH = Tokens(input=MILLION, cache_write_5m=MILLION, cache_write_1h=MILLION, cache_read=MILLION, output=MILLION)


def test_each_kind_of_token_has_its_price() -> None:
    prices = load()
    for kind, usd in {
        "input": 4.0,
        "cache_write_5m": 5.0,
        "cache_write_1h": 8.0,
        "cache_read": 0.2,
        "output": 20.0,
    }.items():
        assert prices.usd("claude-opus-5-5", Tokens(**{kind: MILLION})) == pytest.approx(usd)
    assert prices.usd("claude-opus-5-5", EACH) == pytest.approx(37.2)
    assert prices.usd("claude-opus-5-5", Tokens()) == 0.0


def test_a_dated_name_is_the_model_itself() -> None:
    assert load().usd("claude-haiku-4-5-20251001", Tokens(output=MILLION)) == pytest.approx(5.0)


@pytest.mark.parametrize("model", ["claude-opus-5-6", "claude-opus", "claude-fable-5-2", "qwen3-coder", "", "claude"])
def test_a_model_that_is_not_listed_has_no_price(model: str) -> None:
    assert load().usd(model, EACH) is None


def test_a_long_prompt_has_its_own_price() -> None:
    prices = load()
    assert prices.usd("claude-haiku-5-5", Tokens(cache_read=100_000)) == pytest.approx(0.001)
    assert prices.usd("claude-haiku-5-5", Tokens(cache_read=100_000, input=1)) == pytest.approx(0.005, rel=1e-3)


def test_an_hour_of_cache_costs_twice_the_input_everywhere() -> None:
    """A slip in the table would show here: the provider publishes the same two factors for all of its models."""
    for model, rates in load()._models.items():
        assert rates.cache_write_1h == pytest.approx(2 * rates.input), model
        assert rates.cache_write_5m == pytest.approx(1.25 * rates.input), model
        assert rates.cache_read < rates.input < rates.output


def own(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return path


FREE = "input = 0\ncache_write_5m = 0\ncache_write_1h = 0\ncache_read = 0\noutput = 0.0\n"


def test_a_file_of_ones_own_goes_first(tmp_path: Path) -> None:
    prices = load(own(tmp_path, f"[models.qwen3-coder]\n{FREE}[models.claude-opus-5-5]\n{FREE}"))
    assert prices.usd("qwen3-coder", EACH) == 0.0
    assert prices.usd("claude-opus-5-5", EACH) == 0.0
    assert prices.usd("claude-sonnet-5-5", Tokens(input=MILLION)) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[models", "is not valid TOML"),
        (f"[models.a]\n{FREE}tip = 1\n", "models.a.tip: Extra inputs"),
        ("[models.a]\ninput = 1\n", "models.a.cache_write_5m: Field required"),
        (f"[models.a]\n{FREE.replace('0.0', '-1')}", "models.a.output: "),
        (f"[models.a]\n{FREE.replace('0.0', 'nan')}", "models.a.output: "),
        (f"[models.a]\n{FREE.replace('0.0', chr(34) + '1' + chr(34))}", "models.a.output: "),
        ("", "models: Field required"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        load(own(tmp_path, text))


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(UserError, match="is not UTF-8"):
        load(tmp_path / "bytes.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(UserError, match="more than 1048576 bytes"):
        load(tmp_path / "large.toml")
