"""The real engine, image and data; a handful of programs is trained by default, all of them with --all-honest."""

from __future__ import annotations

import pytest
from fixtures import data_dir, engine, lab_id, make_spec, sandbox
from honest_corpus import HANDFUL, Variant

__all__ = ["data_dir", "engine", "lab_id", "make_spec", "sandbox"]

LEFT_OUT = pytest.StashKey[int]()
TRAINED = "test_it_is_trained_sealed_and_scored"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-honest", action="store_true", help="train every honest program, not a handful: about 25 s each"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--all-honest", default=False):
        return
    left_out = [item for item in items if not _is_wanted(item)]
    items[:] = [item for item in items if item not in left_out]
    config.stash[LEFT_OUT] = len(left_out)
    config.hook.pytest_deselected(items=left_out)


def _is_wanted(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function) or item.originalname != TRAINED:
        return True
    variant: Variant = item.callspec.params["variant"]
    return variant.name in HANDFUL


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left_out = config.stash.get(LEFT_OUT, 0)
    if left_out:
        terminalreporter.write_line(f"{left_out} honest programs were not trained; --all-honest trains every one")
