"""The parts of the self-check that need no engine: its identity, its judgement, its record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from specs import LIMITS, a_spec

from sandbox import seccomp
from sandbox.assertions import Assertion, Layer
from sandbox.conformance import Check, Report, Standing, _check, key
from sandbox.probe import program

INFO: dict[str, Any] = {
    "ID": "X", "ServerVersion": "20.10.24", "KernelVersion": "6.1", "Runtimes": {"runc": {}, "runsc": {}},
    "SecurityOptions": [],
}  # fmt: skip


def a_check(standing: Standing) -> Check:
    return Check(role="train", name="x", standing=standing, expected="a", seen="b", why="c")


def a_report(*standings: Standing) -> Report:
    return Report(runtime="runc", kernel="6.1", seconds=1.5, checks=tuple(map(a_check, standings)))


@pytest.mark.parametrize(
    ("standings", "ok"),
    [
        ((), False),
        ((Standing.ENFORCED,), True),
        ((Standing.ENFORCED, Standing.ABSENT), True),
        ((Standing.ENFORCED, Standing.FAILED), False),
    ],
)
def test_one_failure_is_enough_and_nothing_is_no_proof(standings: tuple[Standing, ...], ok: bool) -> None:
    assert a_report(*standings).ok is ok


def test_a_report_is_kept_as_json() -> None:
    report = a_report(*Standing)
    assert Report.from_json(report.to_json()) == report


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"runtime": 1}', '{"checks": [{"standing": "fine"}]}'])
def test_what_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Report.from_json(text)


def test_the_key_is_the_same_for_every_run_of_a_lab() -> None:
    assert key(INFO, "sha256:1", a_spec()) == key(INFO, "sha256:1", a_spec(run_id="8-0", lab_id="x", train_py=b"y"))


@pytest.mark.parametrize(
    "other",
    [
        lambda: key({**INFO, "ServerVersion": "25"}, "sha256:1", a_spec()),
        lambda: key({**INFO, "KernelVersion": "6.2"}, "sha256:1", a_spec()),
        lambda: key({**INFO, "SecurityOptions": ["name=apparmor"]}, "sha256:1", a_spec()),
        lambda: key({**INFO, "DefaultRuntime": "runsc"}, "sha256:1", a_spec()),
        lambda: key(INFO, "sha256:2", a_spec()),
        lambda: key(INFO, "sha256:1", a_spec(runtime="runsc")),
        lambda: key(INFO, "sha256:1", a_spec(gpu="GPU-1")),
        lambda: key(INFO, "sha256:1", a_spec(limits=replace(LIMITS, pids=99))),
        lambda: key(INFO, "sha256:1", a_spec(limits=replace(LIMITS, output_bytes=1))),
    ],
)
def test_the_key_changes_with_what_the_wall_stands_on(other: Any) -> None:
    assert other() != key(INFO, "sha256:1", a_spec())


def test_the_key_changes_with_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(INFO, "sha256:1", a_spec())
    monkeypatch.setattr(seccomp, "profile_text", lambda: "{}")
    assert key(INFO, "sha256:1", a_spec()) != before


def an_assertion(layer: Layer) -> Assertion:
    return Assertion(
        name="n",
        expected="yes",
        seen=lambda facts: facts.get("f"),
        holds=lambda seen: seen == "yes",
        why="w",
        layer=layer,
    )


@pytest.mark.parametrize(
    ("layer", "facts", "own_kernel", "standing"),
    [
        (Layer.ALWAYS, {"f": "yes"}, False, Standing.ENFORCED),
        (Layer.ALWAYS, {"f": "no"}, False, Standing.FAILED),
        (Layer.ALWAYS, {"f": "no"}, True, Standing.FAILED),
        (Layer.ALWAYS, {}, False, Standing.FAILED),
        (Layer.HOST_KERNEL, {"f": "no"}, False, Standing.FAILED),
        (Layer.HOST_KERNEL, {"f": "no"}, True, Standing.ABSENT),
        (Layer.HOST_KERNEL, {"f": "yes"}, True, Standing.ENFORCED),
        (Layer.OPTIONAL, {"f": "no"}, False, Standing.ABSENT),
        (Layer.OPTIONAL, {}, False, Standing.ABSENT),
    ],
)
def test_what_is_missing_is_never_silently_fine(
    layer: Layer, facts: dict[str, str], own_kernel: bool, standing: Standing
) -> None:
    assert _check("train", an_assertion(layer), facts, own_kernel).standing is standing


def test_the_probe_is_one_program_of_the_standard_library() -> None:
    text = program("referee", 1 << 20).decode()
    compile(text, "probe", "exec")
    assert "sandbox" not in text.split('"""')[0]
    assert "from sandbox" not in text
    assert text.endswith("main(1048576, 'referee')\n")
    assert len(text) < 64 * 1024
