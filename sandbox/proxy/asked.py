"""The few things that may differ from one create body to the next, read out of it. Everything else is not read at all.

A reader here need not be complete: the body that the engine gets is made anew from what was read, and the client's own
must equal it (see :mod:`sandbox.proxy.bodies`). It has to bound what it reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, ValidationError

from sandbox.interface import Limits, MiB, Slot
from sandbox.proxy.allow import Allow
from sandbox.proxy.refusal import Refused, shown
from sandbox.spec import LABEL

RUN_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+){0,7}")
SELF_CHECK = "selfcheck-"
FIRST_ID = 64000


class _Loose(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Ulimit(_Loose):
    Name: str
    Hard: int


class _Devices(_Loose):
    DeviceIDs: list[str]


class HostView(_Loose):
    """The fields of a HostConfig that a spec decides."""

    PidsLimit: int
    Memory: int
    NanoCpus: int
    CpusetCpus: str
    SecurityOpt: list[str]
    Ulimits: list[_Ulimit]
    Tmpfs: dict[str, str]
    Runtime: str | None = None
    DeviceRequests: list[_Devices] | None = None


class ContainerView(_Loose):
    """The fields of a container's body that a spec decides."""

    Image: str
    User: str
    Env: list[str]
    Cmd: list[str]
    Labels: dict[str, str]
    HostConfig: HostView


class VolumeView(_Loose):
    """The same of a volume's."""

    Labels: dict[str, str]
    DriverOpts: dict[str, str]


def view_of_container(body: Mapping[str, object]) -> ContainerView:
    """Raises :class:`Refused` where a field is missing or of another kind."""
    try:
        return ContainerView.model_validate(body)
    except ValidationError as error:
        raise _other_shape(error) from error


def view_of_volume(body: Mapping[str, object]) -> VolumeView:
    """Raises :class:`Refused` where a field is missing or of another kind."""
    try:
        return VolumeView.model_validate(body)
    except ValidationError as error:
        raise _other_shape(error) from error


def _other_shape(error: ValidationError) -> Refused:
    where = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
    return Refused(f"the body is not the sandbox's: {shown(where, 60)} is missing or of another kind")


def run_of(labels: Mapping[str, str], allow: Allow) -> str:
    """The run's id, after the lab's has been compared."""
    if labels.get(f"{LABEL}.lab") != allow.lab.id:
        raise Refused(f"the body is for another lab; this door serves {allow.lab.id}")
    run_id = labels.get(f"{LABEL}.run", "")
    if RUN_ID.fullmatch(run_id) is None or len(run_id) > 64:
        raise Refused(f"{shown(run_id, 40)} is no name of a run")
    return run_id


def number(text: str | None, most: int, what: str) -> int:
    """A plain whole number of 0 to ``most``."""
    if text is None or re.fullmatch(r"0|[1-9][0-9]{0,17}", text) is None:
        raise Refused(f"{what} is no whole number")
    return within(int(text), most, what, least=0)


def within(value: int, most: int, what: str, least: int = 1) -> int:
    if not least <= value <= most:
        raise Refused(f"{what} is {shown(value, 30)}, and the allow file permits {least} to {most}")
    return value


def cores_of(text: str, allow: Allow) -> tuple[int, ...]:
    """The cores of a cpuset such as ``0,1``, each of them allowed."""
    cores = tuple(number(part, 4095, "a core") for part in text.split(","))
    if set(cores) - set(allow.cpus):
        raise Refused(f"the cores {shown(text, 40)} are not all of the allow file's")
    return cores


def variables(environment: Sequence[str]) -> dict[str, str]:
    """The environment by name; what stands twice or is not ours shows in the comparison."""
    return dict(entry.partition("=")[::2] for entry in environment)


def slot_of(gid: int, allow: Allow) -> Slot:
    return Slot(number=within((gid - FIRST_ID) // 2, allow.most.slots - 1, "the slot", least=0))


def group_of(user: str) -> int:
    found = re.fullmatch(r"[0-9]{5,6}:([0-9]{5,6})", user)
    if found is None:
        raise Refused("User is not one of the sandbox's own pairs of uid and gid")
    return int(found[1])


def option(options: str | None, name: str) -> str | None:
    """The value of one option of a mount."""
    found = re.search(rf"(?:^|,){name}=([0-9]+)(?:,|$)", options or "")
    return found[1] if found else None


def limits_of(view: HostView, cpus: tuple[int, ...], idle_cpus: tuple[int, ...], allow: Allow) -> Limits:
    """The limits that the body states, each within the allow file's."""
    most, ulimits = allow.most, {limit.Name: limit.Hard for limit in view.Ulimits}

    def tmpfs(place: str, most_mib: int) -> int:
        return within(
            number(option(view.Tmpfs.get(place), "size"), 1 << 50, place), most_mib * MiB, f"the size of {place}"
        )

    inodes = number(option(view.Tmpfs.get("/tmp"), "nr_inodes"), most.inodes, "nr_inodes")  # noqa: S108
    return Limits(
        cpus=cpus,
        idle_cpus=idle_cpus,
        memory_bytes=within(view.Memory, most.memory_mib * MiB, "Memory"),
        output_bytes=within(ulimits.get("fsize", 0), most.output_mib * MiB, "the limit on a file's size"),
        tmp_bytes=tmpfs("/tmp", most.tmp_mib),  # noqa: S108
        cache_bytes=tmpfs("/cache", most.cache_mib),
        shm_bytes=tmpfs("/dev/shm", most.shm_mib),  # noqa: S108
        inodes=within(inodes, most.inodes, "nr_inodes"),
        pids=within(view.PidsLimit, most.pids, "PidsLimit"),
        open_files=within(ulimits.get("nofile", 0), most.open_files, "the limit on open files"),
    )


def gpu_of(view: HostView, allow: Allow) -> str | None:
    if view.DeviceRequests is None:
        return None
    names = [name for request in view.DeviceRequests for name in request.DeviceIDs]
    if len(names) != 1 or names[0] not in allow.gpus:
        raise Refused(f"the GPU {shown(names, 60)} is not in the allow file")
    return names[0]


def runtime_of(view: HostView, allow: Allow) -> str | None:
    if view.Runtime is not None and view.Runtime not in allow.runtimes:
        raise Refused(f"the runtime {shown(view.Runtime, 40)} is not in the allow file")
    return view.Runtime
