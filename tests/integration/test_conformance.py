"""The self-check against the wall as it is: everything holds, and it leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from specs import a_spec
from weakened import WeakenedEngine
from weakenings import WEAKENINGS

from sandbox.conformance import Report, Standing, examine
from sandbox.docker_engine import Engine
from sandbox.interface import SandboxUnavailable
from sandbox.spec import Body

LAYERS_NOT_EVERYWHERE = {"AppArmor", "SELinux", "user namespace"}


@pytest.fixture(scope="module")
def report(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The containers run once for the whole file."""
    return examine(engine, a_spec(tmp_path_factory.mktemp("lab")))


def test_the_wall_holds(report: Report) -> None:
    assert report.of(Standing.FAILED) == ()
    assert report.ok


def test_enough_is_looked_at_in_both_containers(report: Report) -> None:
    for role in ("train", "referee"):
        enforced = [check for check in report.of(Standing.ENFORCED) if check.role == role]
        assert len(enforced) >= 100
    names = [(check.role, check.name) for check in report.checks]
    assert len(set(names)) == len(names)


def test_a_layer_that_the_machine_lacks_is_said_to_be_missing(report: Report, engine: Engine) -> None:
    absent = {check.name for check in report.of(Standing.ABSENT)}
    assert absent <= LAYERS_NOT_EVERYWHERE
    if not any("apparmor" in option for option in engine.info()["SecurityOptions"]):
        assert "AppArmor" in absent


def test_every_check_says_what_it_expects_and_why(report: Report) -> None:
    assert all(check.expected and check.why for check in report.checks)
    assert report.runtime == "runc"
    assert report.kernel


def test_a_report_survives_being_kept(report: Report) -> None:
    assert Report.from_json(report.to_json()) == report


def test_the_engines_own_queues_are_out_of_reach(report: Report) -> None:
    """Seen to be writable for everybody before a read-only mount covered them."""
    seen = {check.name: check.seen for check in report.checks if check.role == "train"}
    assert "ro" in seen["options of /dev/mqueue"].split(",")[0]
    assert seen["writable places"] == "/cache /dev/shm /out /tmp"


def test_nothing_is_left_behind(engine: Engine, lab_id: str, tmp_path: Path) -> None:
    examine(engine, a_spec(tmp_path, lab_id=lab_id), roles=("train",))
    assert list((tmp_path / "runs").iterdir()) == []


def test_nothing_is_left_behind_by_a_check_that_the_engine_refused(lab_id: str, tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="refused to"):
        examine(WeakenedEngine(WEAKENINGS["uts-host"]), a_spec(tmp_path, lab_id=lab_id))
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_probe_that_says_nothing_is_no_proof(lab_id: str, tmp_path: Path) -> None:
    def silent(role: str, body: Body) -> None:
        if role == "train":
            body["Cmd"] = ["/bin/true"]

    report = examine(WeakenedEngine(silent), a_spec(tmp_path, lab_id=lab_id), roles=("train",))
    assert not report.ok
    assert {check.seen for check in report.of(Standing.FAILED)} >= {"the probe did not say"}


def test_what_is_not_a_line_of_the_probe_is_passed_over(lab_id: str, tmp_path: Path) -> None:
    lines = '{"fact": "users", "seen": 7}\n[]\n{"fact": "users"}\nusers\n{"fact": "uid", "seen": "x", "more": 1}'

    def talking(role: str, body: Body) -> None:
        if role == "train":
            body["Cmd"] = ["/opt/venv/bin/python", "-c", f"print({lines!r})"]

    report = examine(WeakenedEngine(talking), a_spec(tmp_path, lab_id=lab_id), roles=("train",))
    assert {check.name: check.seen for check in report.checks}["user"] == "the probe did not say"


def test_a_probe_that_never_ends_is_killed(lab_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.conformance.PROBE_SECONDS", 1.0)

    def stuck(role: str, body: Body) -> None:
        if role == "train":
            body["Cmd"] = ["/bin/sleep", "100"]

    assert not examine(WeakenedEngine(stuck), a_spec(tmp_path, lab_id=lab_id), roles=("train",)).ok


def test_a_runtime_that_is_not_registered_is_one_sentence(engine: Engine, lab_id: str, tmp_path: Path) -> None:
    spec = replace(a_spec(tmp_path, lab_id=lab_id), runtime="nonesuch")
    with pytest.raises(SandboxUnavailable, match=r"the engine knows .*runc.*daemon\.json"):
        examine(engine, spec)
