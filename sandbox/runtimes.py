"""Which OCI runtime an engine has, and what else of the wall depends on the engine at hand. Pure over its ``info``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from sandbox.interface import SandboxSpec, SandboxUnavailable

APPARMOR_PROFILE = "docker-default"
SHIM_PREFIX = "io.containerd."  # engines from 23 on take the name of a shim without its being registered
GVISOR = "runsc"

Info = Mapping[str, Any]


def registered(info: Info) -> list[str]:
    """The runtimes the engine knows by name."""
    return sorted(info.get("Runtimes") or {})


def resolved_runtime(info: Info, wanted: str | None) -> str:
    """The runtime a container really runs under: the one asked for, or the engine's default.

    Raises:
        SandboxUnavailable: the engine has none of that name.
    """
    if wanted is None:
        return str(info.get("DefaultRuntime") or "runc")
    if wanted in registered(info) or wanted.startswith(SHIM_PREFIX):
        return wanted
    raise SandboxUnavailable(
        f"sandbox.runtime is {wanted!r}, and the engine knows {', '.join(registered(info)) or 'none by name'}; "
        'register it under "runtimes" in the engine\'s /etc/docker/daemon.json and reload the engine '
        "(sudo systemctl reload docker)"
    )


def is_gvisor(info: Info, runtime: str) -> bool:
    """Whether the name stands for gVisor, whose kernel is its own: by its program where the engine tells it."""
    entry = (info.get("Runtimes") or {}).get(runtime) or {}
    program = PurePosixPath(str(entry.get("path") or "")).name or str(entry.get("runtimeType") or "")
    return GVISOR in program or GVISOR in runtime


def has_apparmor(info: Info) -> bool:
    """By the engine's own word; one without AppArmor accepts any profile's name in silence, and enforces none."""
    options = [str(option).split(",")[0] for option in info.get("SecurityOptions") or []]
    return "name=apparmor" in options or "apparmor" in options


def fitted(spec: SandboxSpec, info: Info) -> SandboxSpec:
    """The spec with what this engine adds to the wall; asked again for every trial, since an engine may be restarted.

    Raises:
        SandboxUnavailable: the runtime asked for is not registered.
    """
    resolved_runtime(info, spec.runtime)
    return replace(spec, apparmor=APPARMOR_PROFILE if has_apparmor(info) else None)
