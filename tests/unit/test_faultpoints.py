"""Places where a test ends the process: none without the variable, and none that no code comes by."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import faultpoints

REPOSITORY = Path(__file__).resolve().parents[2]
REACHES = re.compile(r'reach\((f?)"([^"]+)"\)')


def test_every_named_place_is_in_the_code_and_the_other_way_round() -> None:
    called = set()
    for path in [*(REPOSITORY / "daemon").rglob("*.py"), *(REPOSITORY / "sandbox").rglob("*.py")]:
        for formatted, name in REACHES.findall(path.read_text()):
            if formatted:
                called |= {name.replace("{kind}", kind) for kind in faultpoints.KINDS}
            else:
                called.add(name)
    assert called == set(faultpoints.POINTS)
    assert len(faultpoints.POINTS) >= 20


def test_without_the_variable_a_place_does_nothing() -> None:
    faultpoints.arm({})
    for name in faultpoints.POINTS:
        faultpoints.reach(name)
    assert len(set(faultpoints.POINTS)) == len(faultpoints.POINTS)  # and all of them were come by


def test_the_variable_is_taken_away_and_a_wrong_one_is_refused() -> None:
    for text in ("nowhere", "decided.after:0", "decided.after:x"):
        with pytest.raises(ValueError, match=r"AUTORESEARCH_FAULT"):
            faultpoints.arm({faultpoints.VARIABLE: text})
    environment, told = {faultpoints.VARIABLE: "decided.after:2"}, []
    try:
        faultpoints.arm(environment, told.append)
        assert environment == {} and "decided.after:2" in told[0]
        faultpoints.reach("decided.after")  # the first of two: we live
    finally:
        faultpoints.arm({})


def test_the_process_ends_there_as_by_a_power_cut() -> None:
    program = (
        "from sandbox import faultpoints as f; f.arm({f.VARIABLE: 'git.objects:2'}); f.reach('git.objects'); "
        "print('once', flush=True); f.reach('git.objects'); print('twice')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY)
    assert (done.returncode, done.stdout) == (-9, "once\n")


def test_only_the_daemon_arms_them() -> None:
    arming = [
        path.name
        for path in (REPOSITORY / "daemon").rglob("*.py")
        if "faultpoints.arm" in path.read_text() or faultpoints.VARIABLE in path.read_text()
    ]
    assert arming == ["service.py"]
