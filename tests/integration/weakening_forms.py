"""The forms that most weakenings have; the table of them is in :mod:`weakenings`. Roles: train, referee, volume."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sandbox.spec import Body

Weakening = Callable[[str, Body], None]


def host(**fields: Any) -> Weakening:
    """Set fields of the host configuration, in both containers."""

    def weaken(role: str, body: Body) -> None:
        if role != "volume":
            body["HostConfig"].update(fields)

    return weaken


def top(**fields: Any) -> Weakening:
    """Set fields of the request itself, in both containers."""

    def weaken(role: str, body: Body) -> None:
        if role != "volume":
            body.update(fields)

    return weaken


def security(keep: Callable[[str], bool], *more: str) -> Weakening:
    """Keep some of the security options, and add others."""

    def weaken(role: str, body: Body) -> None:
        if role != "volume":
            options = body["HostConfig"]["SecurityOpt"]
            body["HostConfig"]["SecurityOpt"] = [option for option in options if keep(option)] + list(more)

    return weaken


def tmpfs(path: str, old: str, new: str) -> Weakening:
    """Replace a piece of one tmpfs's options."""

    def weaken(role: str, body: Body) -> None:
        if role != "volume":
            options = body["HostConfig"]["Tmpfs"][path]
            assert old in options, (path, old)
            body["HostConfig"]["Tmpfs"][path] = options.replace(old, new)

    return weaken


def no_tmpfs(path: str) -> Weakening:
    def weaken(role: str, body: Body) -> None:
        if role != "volume":
            del body["HostConfig"]["Tmpfs"][path]
            body["HostConfig"]["ShmSize"] = 64 << 20

    return weaken


def unbounded_tmpfs(path: str, option: str) -> Weakening:
    """Drop ``size=`` or ``nr_inodes=`` from one tmpfs."""

    def weaken(role: str, body: Body) -> None:
        if role != "volume":
            options = body["HostConfig"]["Tmpfs"][path].split(",")
            body["HostConfig"]["Tmpfs"][path] = ",".join(o for o in options if not o.startswith(option))

    return weaken


def volume(old: str, new: str) -> Weakening:
    """Replace one option of the output volume, such as ``noexec``, by another or by nothing."""

    def weaken(role: str, body: Body) -> None:
        if role == "volume":
            options = body["DriverOpts"]["o"].split(",")
            assert [o for o in options if o.startswith(old)], old
            kept = [o for o in options if not o.startswith(old)]
            body["DriverOpts"]["o"] = ",".join([*kept, *([new] if new else [])])

    return weaken


def ulimit(name: str) -> Weakening:
    """Leave one ulimit out."""

    def weaken(role: str, body: Body) -> None:
        if role != "volume":
            limits = body["HostConfig"]["Ulimits"]
            body["HostConfig"]["Ulimits"] = [limit for limit in limits if limit["Name"] != name]

    return weaken


def mounted(source: str, target: str, only: str = "") -> Weakening:
    """Mount one more thing of the host."""

    def weaken(role: str, body: Body) -> None:
        if role != "volume" and only in ("", role):
            mount = {"Type": "bind", "Source": source, "Target": target, "ReadOnly": True}
            body["HostConfig"]["Mounts"].append(mount)

    return weaken


def writable(target: str, only: str) -> Weakening:
    """Make one of the read-only mounts writable."""

    def weaken(role: str, body: Body) -> None:
        if role == only:
            for mount in body["HostConfig"]["Mounts"]:
                if mount["Target"] == target:
                    mount["ReadOnly"] = False

    return weaken


def seccomp(change: Callable[[dict[str, Any]], None]) -> Weakening:
    """Change the profile itself."""

    def weaken(role: str, body: Body) -> None:
        if role != "volume":
            options = body["HostConfig"]["SecurityOpt"]
            place = next(i for i, option in enumerate(options) if option.startswith("seccomp="))
            profile = json.loads(options[place].partition("=")[2])
            change(profile)
            options[place] = f"seccomp={json.dumps(profile)}"

    return weaken


def allowing(*names: str) -> Weakening:
    """The profile with these calls let through, whatever their arguments."""

    def change(profile: dict[str, Any]) -> None:
        for rule in profile["syscalls"]:
            rule["names"] = [name for name in rule["names"] if name not in names]
        profile["syscalls"] = [rule for rule in profile["syscalls"] if rule["names"]]
        profile["syscalls"].append({"names": list(names), "action": "SCMP_ACT_ALLOW"})

    return seccomp(change)
