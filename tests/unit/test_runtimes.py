"""Which runtime a container really gets, and what an engine adds to the wall."""

from __future__ import annotations

from typing import Any

import pytest
from specs import a_spec

from sandbox.interface import SandboxUnavailable
from sandbox.runtimes import fitted, has_apparmor, is_gvisor, registered, resolved_runtime

INFO: dict[str, Any] = {
    "Runtimes": {"runc": {"path": "runc"}, "runsc": {"path": "/usr/bin/runsc"}, "strict": {"path": "/opt/runsc"}},
    "DefaultRuntime": "runc",
    "SecurityOptions": ["name=seccomp,profile=default"],
}


def test_the_default_is_named() -> None:
    assert resolved_runtime(INFO, None) == "runc"
    assert resolved_runtime({**INFO, "DefaultRuntime": "crun"}, None) == "crun"


def test_a_registered_runtime_is_taken() -> None:
    assert resolved_runtime(INFO, "runsc") == "runsc"
    assert registered(INFO) == ["runc", "runsc", "strict"]


def test_the_name_of_a_shim_is_left_to_the_engine() -> None:
    assert resolved_runtime(INFO, "io.containerd.runsc.v1") == "io.containerd.runsc.v1"


@pytest.mark.parametrize("info", [INFO, {}])
def test_an_unknown_runtime_is_one_sentence(info: dict[str, Any]) -> None:
    with pytest.raises(SandboxUnavailable, match=r"'kata', and the engine knows .*daemon\.json"):
        resolved_runtime(info, "kata")


def test_gvisor_is_known_by_its_program() -> None:
    assert is_gvisor(INFO, "runsc")
    assert is_gvisor(INFO, "strict")
    assert is_gvisor({}, "io.containerd.runsc.v1")
    assert is_gvisor({"Runtimes": {"g": {"runtimeType": "io.containerd.runsc.v1"}}}, "g")
    assert not is_gvisor(INFO, "runc")


@pytest.mark.parametrize(
    ("options", "there"),
    [
        (["name=apparmor", "name=seccomp,profile=builtin"], True),
        (["name=seccomp,profile=default"], False),
        (None, False),
    ],
)
def test_apparmor_is_asked_for_where_it_is(options: list[str] | None, there: bool) -> None:
    info = {**INFO, "SecurityOptions": options}
    assert has_apparmor(info) is there
    assert fitted(a_spec(), info).apparmor == ("docker-default" if there else None)


def test_an_engine_that_changed_is_asked_again() -> None:
    spec = fitted(a_spec(), {**INFO, "SecurityOptions": ["name=apparmor"]})
    assert fitted(spec, INFO).apparmor is None


def test_a_spec_for_a_missing_runtime_goes_nowhere() -> None:
    with pytest.raises(SandboxUnavailable):
        fitted(a_spec(runtime="kata"), INFO)
