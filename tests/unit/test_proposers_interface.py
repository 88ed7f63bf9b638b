"""The registry and the options of proposers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from daemon.model import UserError
from daemon.proposers.interface import load


def test_the_embedded_default_loads_without_a_key() -> None:
    assert load("optuna", {"seed": 3, "lab": "/somewhere"}).name == "optuna"


def test_an_unknown_name_tells_the_known_ones() -> None:
    known = "ablation, anthropic, command, hybrid, optuna, replay"
    with pytest.raises(UserError, match=f"no proposer 'anthopic'; the known ones are {known}"):
        load("anthopic", {})


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"sead": 1}, "the option 'sead' of the proposer optuna is unknown; there are seed, startup_trials"),
        ({"seed": "1"}, "the option 'seed' of the proposer optuna is wrong"),
        ({"startup_trials": -1}, "the option 'startup_trials' of the proposer optuna is wrong"),
    ],
)
def test_options_are_checked(options: dict[str, object], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        load("optuna", options)


def test_libraries_are_imported_on_demand() -> None:
    code = "import sys, daemon.proposers.interface; print('optuna' in sys.modules, 'libcst' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert run.stdout.split() == ["False", "False"]
