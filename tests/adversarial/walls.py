"""The wall with one thing broken at a time, so that each attack is seen to succeed once.

Where a second wall stands behind the first and stops the attack alone, the attack names both: ``first + second``.

Nothing here may hurt the machine: limits are raised by a little and never removed, files of the kernel are opened
and never written, networks are internal and empty, sockets and data are copies made for the test.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from weakened import WeakenedEngine

from daemon.selftest.corpus import Attack
from daemon.selftest.run import Range
from sandbox.docker_sandbox import DockerSandbox
from sandbox.interface import Sandbox, SandboxSpec
from sandbox.spec import Body

# Not SYS_TIME, and not SYS_RESOURCE, which not every virtual machine has to give.
CAPABILITIES = [
    "SYS_ADMIN", "NET_RAW", "MKNOD", "SYS_PTRACE", "SYS_BOOT", "SYS_MODULE", "DAC_OVERRIDE", "DAC_READ_SEARCH",
    "SYS_RAWIO", "SYS_NICE",
]  # fmt: skip
UNCONFINED = ["no-new-privileges:true", "seccomp=unconfined"]


@dataclass(slots=True, kw_only=True)
class Breach:
    """What a wall may change: the spec, the engine's requests, code of the host. All of it is undone afterwards."""

    attack: Attack
    spec: SandboxSpec
    folder: Path
    patch: pytest.MonkeyPatch
    undo: ExitStack
    sandbox: Sandbox | None = None
    times: dict[str, float] = field(default_factory=dict)
    changes: list[Callable[[str, Body], None]] = field(default_factory=list)

    def request(self, role: str, change: Callable[[Body], None]) -> None:
        """Change the body that the engine is sent for ``train``, ``referee`` or ``volume``."""
        self.changes.append(lambda given, body: change(body) if given == role else None)

    def host(self, **fields: Any) -> None:
        """Change fields of the train container's HostConfig."""
        self.request("train", lambda body: body["HostConfig"].update(fields))

    def limits(self, **fields: int) -> None:
        self.spec = replace(self.spec, limits=replace(self.spec.limits, **fields))

    def bind(self, source: Path, target: str, *, writable: bool = False) -> None:
        """Mount something into the train container, over whatever stands there.

        The test's own folder is its owner's alone; the candidate has another uid.
        """
        if source == self.folder:
            source.chmod(0o777 if writable else 0o755)

        def change(body: Body) -> None:
            mounts = [mount for mount in body["HostConfig"]["Mounts"] if mount["Target"] != target]
            body["HostConfig"]["Tmpfs"].pop(target, None)
            bind = {"Type": "bind", "Source": str(source), "Target": target, "ReadOnly": not writable}
            body["HostConfig"]["Mounts"] = [*mounts, bind]

        self.request("train", change)

    def as_root(self) -> None:
        self.request("train", lambda body: body.update(User="0:0"))


Wall = Callable[[Breach], None]
WALLS: dict[str, Wall] = {}


def wall(name: str) -> Callable[[Wall], Wall]:
    def add(breaker: Wall) -> Wall:
        assert name not in WALLS
        WALLS[name] = breaker
        return breaker

    return add


def named(attack: Attack) -> list[str]:
    """The walls that are broken for the attack; none where none can be."""
    return attack.wall.split(" + ") if attack.wall else []


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenRange(Range):
    """A range whose wall is broken; some walls bend an attack's own times, too."""

    times: dict[str, float]

    def spec_of(self, attack: Attack) -> SandboxSpec:
        spec = Range.spec_of(self, attack)
        return replace(spec, times=replace(spec.times, **self.times))


def broken(breach: Breach) -> Range:
    """The range behind the walls that the attack names.

    Raises:
        KeyError: there is no such wall.
    """
    for name in named(breach.attack):
        WALLS[name](breach)

    def weaken(role: str, body: Body) -> None:
        for change in breach.changes:
            change(role, body)

    sandbox = breach.sandbox or DockerSandbox(WeakenedEngine(weaken))
    return BrokenRange(sandbox=sandbox, spec=breach.spec, times=breach.times)


# The request that the engine is sent


@wall("no-seccomp")
def _(breach: Breach) -> None:
    breach.host(SecurityOpt=UNCONFINED)


@wall("root-with-capabilities")
def _(breach: Breach) -> None:
    breach.as_root()
    breach.host(CapDrop=[], CapAdd=CAPABILITIES, SecurityOpt=UNCONFINED, MaskedPaths=[], ReadonlyPaths=[])


@wall("root-on-a-writable-root")
def _(breach: Breach) -> None:
    breach.as_root()
    breach.host(ReadonlyRootfs=False)


@wall("validation-mounted")
def _(breach: Breach) -> None:
    for split in ("val", "holdout"):
        breach.bind(breach.spec.data_dir / split, f"/data/{split}")


@wall("rows-under-another-name")
def _(breach: Breach) -> None:
    breach.bind(breach.spec.data_dir / "val" / "rows.bin", "/srv/shard_07.bin")


@wall("tokens-there-from-the-start")
def _(breach: Breach) -> None:
    breach.bind(breach.spec.data_dir / "train", "/data/train")


@wall("a-book-in-the-image")
def _(breach: Breach) -> None:
    (breach.folder / "book.txt").write_text("In the beginning " * 100_000)
    breach.bind(breach.folder, "/usr/share/doc")


@wall("leftovers")
def _(breach: Breach) -> None:
    (breach.folder / "model.json").write_text("{}")
    breach.bind(breach.folder, "/data/old")


@wall("cache-kept-between-runs")
def _(breach: Breach) -> None:
    kept = breach.folder / "inductor"
    kept.mkdir()
    (kept / "kernel.so").write_text("the last one's")
    for path in (kept, kept / "kernel.so"):  # the last run had the uid of this one
        path.chmod(0o777)
    breach.bind(breach.folder, "/cache", writable=True)


@wall("lab-writable")
def _(breach: Breach) -> None:
    breach.as_root()
    breach.request("train", lambda body: _mount(body, "/lab").update(ReadOnly=False))


@wall("data-writable")
def _(breach: Breach) -> None:
    shutil.copytree(breach.spec.data_dir / "common", breach.folder / "common")
    breach.as_root()
    breach.bind(breach.folder / "common", "/data/common", writable=True)


@wall("gate-mounted-for-all")
def _(breach: Breach) -> None:
    def change(body: Body) -> None:
        gate = Path(_mount(body, "/lab")["Source"]).parent / "gate"
        body["HostConfig"]["Mounts"].append({"Type": "bind", "Source": str(gate), "Target": "/gate"})

    breach.as_root()
    breach.request("train", change)


def _mount(body: Body, target: str) -> Body:
    return next(mount for mount in body["HostConfig"]["Mounts"] if mount["Target"] == target)


@wall("scratch-on-the-path")
def _(breach: Breach) -> None:
    breach.request("train", lambda body: body["Env"].append("PYTHONPATH=/lab:/tmp"))


@wall("a-secret-in-the-environment")
def _(breach: Breach) -> None:
    breach.request("train", lambda body: body["Env"].append("PROVIDER_API_KEY=nothing"))


@wall("a-device-handed-in")
def _(breach: Breach) -> None:
    device = {"PathOnHost": "/dev/zero", "PathInContainer": "/dev/extra", "CgroupPermissions": "r"}
    breach.host(Devices=[device])


@wall("a-descriptor-left-open")
def _(breach: Breach) -> None:
    _shell(breach, "exec 7</lab/prepare.py; exec {program}")


@wall("container-outlives-its-program")
def _(breach: Breach) -> None:
    _shell(breach, "{program}; while ls -l /proc/[0-9]*/exe 2>/dev/null | grep -q python; do sleep 0.2; done")


def _shell(breach: Breach, script: str) -> None:
    program = "/opt/venv/bin/python -P /lab/train.py"
    breach.request("train", lambda body: body.update(Cmd=["/bin/sh", "-c", script.format(program=program)]))


@wall("cgroups-writable")
def _(breach: Breach) -> None:
    breach.as_root()
    tree = Path("/sys/fs/cgroup/pids")
    breach.bind(tree if tree.exists() else Path("/sys/fs/cgroup"), "/sys/fs/cgroup/pids", writable=True)


@wall("processes-shared-with-the-referee")
def _(breach: Breach) -> None:
    slot = breach.spec.slot

    def owned(options: str) -> str:
        """Else nothing could be sealed, and that alone would end in a crash."""
        return options.replace(f"uid={slot.trainer_uid}", f"uid={slot.referee_uid}")

    def change(body: Body) -> None:
        labels = {key.rpartition(".")[2]: value for key, value in body["Labels"].items()}
        body["HostConfig"]["PidMode"] = f"container:autoresearch-{labels['lab']}-{labels['run']}-referee"
        body["User"] = f"{slot.referee_uid}:{slot.gid}"
        scratch = body["HostConfig"]["Tmpfs"]
        scratch.update({target: owned(options) for target, options in scratch.items()})

    breach.request("train", change)
    breach.request("volume", lambda body: body["DriverOpts"].update(o=owned(body["DriverOpts"]["o"])))
