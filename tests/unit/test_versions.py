"""Old versions are warned of: by branch, by name, and never with certainty where a distribution built them."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.versions import ADVISORIES, parsed, warnings

GOOD: dict[str, Any] = {
    "ServerVersion": "29.3.1",
    "RuncCommit": {"ID": "v1.4.3-0-gabcdef"},
    "ContainerdCommit": {"ID": "05044ec0a9a75232cad458027ca83437aae3f4da"},
    "Components": {"containerd": "v2.3.5", "runc": "1.4.3"},
}


def cves(changes: dict[str, Any], toolkit: str | None = None) -> set[str]:
    return {warning.cve for warning in warnings({**GOOD, **changes}, toolkit)}


def test_nothing_is_said_of_what_is_current() -> None:
    assert warnings(GOOD, "1.18.0") == []


@pytest.mark.parametrize(
    ("runc", "expected"),
    [
        ("1.1.11", {"CVE-2024-21626", "CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881", "CVE-2026-41579"}),
        ("1.1.12", {"CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881", "CVE-2026-41579"}),
        ("1.2.7", {"CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881", "CVE-2026-41579"}),
        ("1.2.8", {"CVE-2026-41579"}),
        ("1.3.2", {"CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881", "CVE-2026-41579"}),
        ("1.3.3", {"CVE-2026-41579"}),
        ("1.3.6", set()),
        ("1.4.2", {"CVE-2026-41579"}),
        ("1.5.0", set()),
    ],
)
def test_runc_by_branch(runc: str, expected: set[str]) -> None:
    assert cves({"RuncCommit": {"ID": f"v{runc}-0-g1234567"}}) == expected


@pytest.mark.parametrize(
    ("engine", "warned"),
    [
        ("20.10.24+dfsg1", True), ("23.0.14", True), ("23.0.15", False), ("24.0.9", True), ("25.0.6", False),
        ("26.1.4", True), ("27.1.0", True), ("27.1.1", False), ("28.0.0", False),
    ],
)  # fmt: skip
def test_the_engine_by_branch(engine: str, warned: bool) -> None:
    assert ("CVE-2024-41110" in cves({"ServerVersion": engine})) is warned


@pytest.mark.parametrize(
    ("toolkit", "expected"),
    [
        ("1.16.1", {"CVE-2024-0132", "CVE-2025-23359", "CVE-2025-23266"}),
        ("1.17.3", {"CVE-2025-23359", "CVE-2025-23266"}),
        ("1.17.7", {"CVE-2025-23266"}),
        ("1.17.8", set()),
        ("1.17.8-1", set()),
        (None, set()),
    ],
)
def test_the_toolkit_where_there_is_one(toolkit: str | None, expected: set[str]) -> None:
    assert cves({}, toolkit) == expected


def test_containerd_is_read_from_either_list() -> None:
    assert cves({"Components": {"containerd": "v1.7.28"}}) == {"CVE-2024-25621"}
    assert cves({"ContainerdCommit": {"ID": "1.6.20~ds1-1+deb12u3"}}) == {"CVE-2024-25621"}


def test_runc_is_read_from_either_list() -> None:
    assert cves(
        {"RuncCommit": {"ID": "51d5e94601ceffbbd85688df1c928ecccbfa4685"}, "Components": {"runc": "1.3.3"}}
    ) == {"CVE-2026-41579"}


def test_a_distributions_build_is_not_called_broken() -> None:
    found = warnings({**GOOD, "RuncCommit": {"ID": "1.1.5+ds1-1+deb12u1"}}, None)
    assert found
    assert all("may have the fix under the old number" in warning.sentence for warning in found)
    plain = warnings({**GOOD, "RuncCommit": {"ID": "v1.1.5"}}, None)
    assert all("or install a distribution's patched build" in warning.sentence for warning in plain)


@pytest.mark.parametrize("info", [{}, {"ServerVersion": "", "RuncCommit": {"ID": ""}, "Components": None}])
def test_what_cannot_be_read_is_passed_over(info: dict[str, Any]) -> None:
    assert warnings(info, "unknown") == []


def test_every_sentence_names_component_version_fix_and_cve() -> None:
    for warning in warnings({**GOOD, "ServerVersion": "20.10.24", "RuncCommit": {"ID": "1.0.0"}}, "1.0.0"):
        for word in (warning.component, warning.version, warning.fixed_in, warning.cve):
            assert word in warning.sentence


def test_every_advisory_can_be_read() -> None:
    for advisory in ADVISORIES:
        assert all(len(parsed(text)) == 3 for text in advisory.fixed_in)
