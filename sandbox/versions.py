"""Versions of the engine and its parts that are too old to stand on, each with the CVE that says so. Pure.

A warning and no more: distributions patch old versions without changing their numbers, and say so in their own
trackers. Sources: the advisories of opencontainers/runc (GHSA-xr7r-f8xq-vfvv, GHSA-9493-h29p-rfm2, GHSA-qw9x-cqr3-wc7r,
GHSA-cgrx-mc8f-2prm), moby (GHSA-v23v-6jw2-98fq, GHSA-x744-4wpc-v9h2), containerd (GHSA-pwhc-rpq9-4c8w) and NVIDIA's
bulletins; the CVE records of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Version = tuple[int, ...]
DISTRIBUTIONS = re.compile(r"deb\d|ubuntu|\.el\d|\.fc\d|amzn|suse|dfsg|gl\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisory:
    """``fixed_in`` names the first good version of every branch that was mended; other, older branches stay bad."""

    component: str
    cve: str
    fixed_in: tuple[str, ...]
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warning:  # the word that people read
    """One component that is older than it should be."""

    component: str
    version: str
    fixed_in: str
    cve: str
    sentence: str


RUNC, ENGINE, CONTAINERD, TOOLKIT = "runc", "Docker engine", "containerd", "NVIDIA Container Toolkit"
ADVISORIES = (
    Advisory(
        component=RUNC, cve="CVE-2024-21626", fixed_in=("1.1.12",),
        what="a descriptor left open leads a program from its working directory into the host's files",
    ),
    Advisory(
        component=RUNC, cve="CVE-2025-31133", fixed_in=("1.2.8", "1.3.3", "1.4.0"),
        what="the covers over /proc can be turned into writable mounts of the host's settings",
    ),
    Advisory(
        component=RUNC, cve="CVE-2025-52565", fixed_in=("1.2.8", "1.3.3", "1.4.0"),
        what="the mount of the console can be turned towards files of /proc",
    ),
    Advisory(
        component=RUNC, cve="CVE-2025-52881", fixed_in=("1.2.8", "1.3.3", "1.4.0"),
        what="writes of the runtime to /proc can be sent elsewhere, past the security labels",
    ),
    Advisory(
        component=RUNC, cve="CVE-2026-41579", fixed_in=("1.3.6", "1.4.3"),
        what="a later flaw of the same kind of set-up, which a prepared image can use",
    ),
    Advisory(
        component=ENGINE, cve="CVE-2024-41110", fixed_in=("23.0.15", "25.0.6", "26.1.5", "27.1.1"),
        what="authorization plugins can be passed by; of importance only where one guards the engine's socket",
    ),
    Advisory(
        component=ENGINE, cve="CVE-2026-34040", fixed_in=("29.3.1",),
        what="the fix of CVE-2024-41110 was incomplete; of importance only where such a plugin guards the socket",
    ),
    Advisory(
        component=CONTAINERD, cve="CVE-2024-25621", fixed_in=("1.7.29", "2.0.7", "2.1.5"),
        what="its folders can be entered by every user of the host",
    ),
    Advisory(
        component=TOOLKIT, cve="CVE-2024-0132", fixed_in=("1.16.2",),
        what="a prepared image reaches the host's files",
    ),
    Advisory(
        component=TOOLKIT, cve="CVE-2025-23359", fixed_in=("1.17.4",),
        what="the fix of CVE-2024-0132 was incomplete",
    ),
    Advisory(
        component=TOOLKIT, cve="CVE-2025-23266", fixed_in=("1.17.8",),
        what="an environment variable of the image runs code as root on the host",
    ),
)  # fmt: skip


def warnings(info: Mapping[str, Any], toolkit_version: str | None) -> list[Warning]:
    """What is known to be wrong with the versions at hand; a version that cannot be read is passed over.

    ``info`` is the engine's, with its parts' versions under ``Components``; ``toolkit_version`` is None without GPUs.
    """
    versions = dict(_versions(info, toolkit_version))
    found = [(advisory, versions[advisory.component]) for advisory in ADVISORIES if advisory.component in versions]
    return [_warning(advisory, text) for advisory, text in found if _is_older(parsed(text), advisory.fixed_in)]


def _versions(info: Mapping[str, Any], toolkit_version: str | None) -> Iterator[tuple[str, str]]:
    parts: Mapping[str, Any] = info.get("Components") or {}
    yield ENGINE, str(info.get("ServerVersion") or "")
    yield RUNC, str((info.get("RuncCommit") or {}).get("ID") or "")
    # The commit is a bare hash where the engine was not built by a distribution; then the other list has the number.
    if not parsed(str((info.get("RuncCommit") or {}).get("ID") or "")):
        yield RUNC, str(parts.get("runc") or "")
    commit = str((info.get("ContainerdCommit") or {}).get("ID") or "")
    yield CONTAINERD, commit if parsed(commit) else str(parts.get("containerd") or "")
    if toolkit_version is not None:
        yield TOOLKIT, toolkit_version


def parsed(text: str) -> Version:
    """The leading numbers of a version such as ``v1.1.12-0-g51d5e94`` or ``1.1.5+ds1-1+deb12u1``; () where none are."""
    match = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(number or 0) for number in match.groups()) if match else ()


def _is_older(version: Version, fixed_in: tuple[str, ...]) -> bool:
    """Whether a version lacks the fix: compared within its own branch where that was mended, else with the newest."""
    if not version:
        return False
    fixes = sorted(parsed(text) for text in fixed_in)
    own_branch = [fix for fix in fixes if fix[:2] == version[:2]]
    return version < (own_branch or fixes)[-1]


def _warning(advisory: Advisory, text: str) -> Warning:
    fixed_in = " or ".join(advisory.fixed_in)
    patched = (
        "this is a distribution's build, which may have the fix under the old number: see its security tracker"
        if DISTRIBUTIONS.search(text)
        else "or install a distribution's patched build"
    )
    return Warning(
        component=advisory.component,
        version=text,
        fixed_in=fixed_in,
        cve=advisory.cve,
        sentence=f"{advisory.component} {text} is older than {fixed_in} ({advisory.cve}): {advisory.what}; {patched}",
    )
