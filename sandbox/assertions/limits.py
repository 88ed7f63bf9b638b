"""Which limits must hold, as stated and as run into, and what must go on working. See :mod:`sandbox.assertions`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sandbox.assertions.base import Assertion, Facts, Layer, at_most, equals, fact, one_of
from sandbox.interface import SandboxSpec
from sandbox.spec import Body

HOST = Layer.HOST_KERNEL
NEEDS = ("semaphores", "memfd", "pairs", "threads", "programs", "affinity", "loading")


def limits(role: str, spec: SandboxSpec, accounts_swap: bool) -> Iterator[Assertion]:
    """Every limit of the container of one role, and what an honest program needs."""
    yield from _stated(role, spec, accounts_swap)
    yield from _reached(role, spec)
    for name in NEEDS:
        expected = ("returned None", "returned True", "returned 0")
        yield one_of(f"needs {name}", f"needs {name}", expected, "an honest program must run")
    yield equals("needs /cache", "execute /cache", "returned 0", "compilers run and load what they compiled there")


def _stated(role: str, spec: SandboxSpec, accounts_swap: bool) -> Iterator[Assertion]:
    wanted = spec.limits
    cores = wanted.cpus if role == "train" else wanted.idle_cpus
    shares = len(wanted.cpus) if role == "train" else len(wanted.scoring_cpus)
    yield equals("no core files", "ulimit CORE", "0 0", "a core file is written by the kernel, by the host's pattern")
    yield equals("open files", "ulimit NOFILE", " ".join([str(wanted.open_files)] * 2), "bounded")
    yield equals("file size", "ulimit FSIZE", " ".join([str(wanted.output_bytes)] * 2), "bounded")
    yield equals("memory", "cgroup memory", str(wanted.memory_bytes), "memory of the whole container", HOST)
    yield equals(
        "no swap", "cgroup swap", "0", "a swapping run stalls the host", HOST if accounts_swap else Layer.OPTIONAL
    )
    yield equals("process limit", "cgroup pids", str(wanted.pids), "processes and threads of the whole container", HOST)
    yield Assertion(
        name="processor time", expected=f"{shares} of each", seen=fact("cgroup cpu"), layer=HOST,
        holds=lambda seen: _share(seen) == shares, why="no more time than its cores have",
    )  # fmt: skip
    listed = " ".join(str(core) for core in sorted(cores))
    yield equals("cores", "cores", listed, "the host keeps one, and the clock of others is not disturbed", HOST)
    yield equals("cgroup paths", "cgroup paths", "/", "the host's tree is out of sight", HOST)
    yield Assertion(
        name="device rules", expected="no rule for all devices", seen=fact("cgroup devices"), layer=HOST,
        holds=lambda seen: "a *:* rwm" not in seen, why="a node of a device alone opens nothing",
        applies=_version_one,  # version 2 keeps them in a program that cannot be read from here
    )  # fmt: skip
    yield Assertion(
        name="memory killer", expected="on", seen=fact("cgroup oom"),
        holds=lambda seen: "oom_kill_disable 1" not in seen,
        why="without it a container at its limit stands still", layer=HOST, applies=_version_one,
    )  # fmt: skip


def _version_one(facts: Facts) -> bool:
    return facts.get("cgroup version") == "1"


def _share(seen: str) -> float | None:
    words = seen.split()
    return int(words[0]) / int(words[1]) if len(words) == 2 and all(w.isdigit() for w in words) else None


def _reached(role: str, spec: SandboxSpec) -> Iterator[Assertion]:
    wanted = spec.limits
    sizes = {"/tmp": wanted.tmp_bytes, "/cache": wanted.cache_bytes, "/dev/shm": wanted.shm_bytes}  # noqa: S108
    if role == "train":
        sizes["/out"] = wanted.output_bytes
    for path, size in sizes.items():
        inodes = 256 if path == "/out" else wanted.inodes
        yield at_most(f"size of {path}", f"full {path}", "ENOSPC", size, "tmpfs is memory")
        yield at_most(f"inodes of {path}", f"inodes {path}", "ENOSPC", inodes, "empty files are memory too", HOST)
    yield one_of("largest file", "largest file", ("EFBIG",), "a hole of 4 EiB is a file as well", HOST)
    yield at_most("most descriptors", "most descriptors", "EMFILE", wanted.open_files, "descriptors are kernel memory")
    yield at_most("most processes", "most processes", "EAGAIN", wanted.pids, "killing stays fast, the host alive", HOST)
    killed = ("signal 9", "the container was killed")
    yield one_of("most memory", "most memory", killed, "what is too much is killed, and not swapped")


def record(body: Body) -> Iterator[Assertion]:
    """What no program inside can see, by the engine's own record of the container."""
    for field, why in (
        ("LogConfig", "bounded: the default one wrote 336 MB in three seconds"),
        ("RestartPolicy", "a run happens once"),
        ("AutoRemove", "how a run ended must be read before it is removed"),
        ("IpcMode", "no other container joins its shared memory"),
        ("OomKillDisable", "a container at its limit must not stand still"),
        ("UsernsMode", "the engine's mapping of users stays on"),
        ("DeviceCgroupRules", "no device beyond the harmless ones"),
        ("Sysctls", "no setting of the kernel is changed"),
    ):
        yield _recorded(field, body["HostConfig"].get(field), why)


def _recorded(field: str, asked: Any, why: str) -> Assertion:
    """Empty in any form is as good as never asked for; of what was asked for, every word must be there."""

    def holds(seen: str) -> bool:
        noted = json.loads(seen)
        return asked.items() <= noted.items() if isinstance(asked, dict) else noted == asked or not (noted or asked)

    expected = json.dumps(asked)
    return Assertion(
        name=f"record {field}",
        expected=expected,
        seen=lambda facts: facts.get(f"record {field}", "null"),
        holds=holds,
        why=why,
    )
