"""Each limit, run into; and what honest programs need. See :mod:`sandbox.probe`."""

from __future__ import annotations

import mmap
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sandbox.probe.attempt import attempt, in_child, name_of, tell, text
from sandbox.probe.calls import calls
from sandbox.probe.places import CGROUP, files, identity, network, tree

MIB = 1 << 20
SCRATCH = ("/tmp", "/cache", "/dev/shm", "/out")  # noqa: S108 - inside the container
ENOUGH_BYTES, ENOUGH_FILES, ENOUGH_PROCESSES, ENOUGH_DESCRIPTORS = 48 * MIB, 1500, 256, 8192  # where to stop trying
GATE_POLL_SECONDS = 0.02


def asked() -> None:
    """The limits as the kernel states them, under either version of cgroups."""
    for name in ("CORE", "NOFILE", "FSIZE"):
        tell(f"ulimit {name}", " ".join(map(str, resource.getrlimit(getattr(resource, f"RLIMIT_{name}")))))
    tell("cores", " ".join(map(str, sorted(os.sched_getaffinity(0)))))
    tell("cgroup paths", " ".join(sorted({line.split(":", 2)[2] for line in text("/proc/self/cgroup").splitlines()})))
    tell("cgroup version", "2" if (CGROUP / "cgroup.controllers").exists() else "1")
    tell("cgroup memory", control("memory/memory.limit_in_bytes", "memory.max"))
    tell("cgroup swap", swap())
    tell("cgroup pids", control("pids/pids.max", "pids.max"))
    tell("cgroup cores", control("cpuset/cpuset.cpus", "cpuset.cpus.effective"))
    quota = f"{control('cpu/cpu.cfs_quota_us', '')} {control('cpu/cpu.cfs_period_us', '')}"
    tell("cgroup cpu", control("", "cpu.max") if (CGROUP / "cpu.max").exists() else quota)
    tell("cgroup devices", " ".join(control("devices/devices.list", "").split()))
    tell("cgroup oom", control("memory/memory.oom_control", "").replace("\n", " "))


def swap() -> str:
    """How much may be swapped: what version 1 gives beyond memory, or what version 2 says."""
    both = control("memory/memory.memsw.limit_in_bytes", "memory.swap.max")
    memory = control("memory/memory.limit_in_bytes", "")
    return str(int(both) - int(memory)) if both.isdigit() and memory.isdigit() else both


def control(one: str, two: str) -> str:
    """A control file of version 1 or else of version 2; "absent" where neither is."""
    paths = [CGROUP / name for name in (one, two) if name and (CGROUP / name).exists()]
    return text(paths[0]) if paths else "absent"


def reached() -> None:
    """Run into every limit, none of it for long; what was taken is given back."""
    for path in SCRATCH:
        if os.access(path, os.W_OK):
            tell(f"full {path}", filled(Path(path)))
            tell(f"inodes {path}", crowded(Path(path)))
    tell("largest file", attempt(lambda: longest_file(Path("/cache/long"))))
    tell("most descriptors", opened())


def filled(folder: Path) -> str:
    """How much goes into a file system, in files small enough for every other limit."""
    written, block = 0, bytes(MIB // 2)
    names = [folder / f".fill{n}" for n in range(ENOUGH_BYTES // (4 * MIB))]
    try:
        for name in names:
            with name.open("wb", buffering=0) as file:
                for _ in range(8):
                    written += file.write(block)
        return f"no end {written}"
    except OSError as error:
        return f"{name_of(error.errno)} {written}"
    finally:
        for name in names:
            name.unlink(missing_ok=True)


def crowded(folder: Path) -> str:
    made = 0
    try:
        for made in range(ENOUGH_FILES):
            os.close(os.open(folder / f".crowd{made}", os.O_CREAT | os.O_WRONLY, 0o600))
        return f"no end {made}"
    except OSError as error:
        return f"{name_of(error.errno)} {made}"
    finally:
        for number in range(made):
            (folder / f".crowd{number}").unlink(missing_ok=True)


def longest_file(path: Path) -> str:
    """A file of one byte more than it may have; all of it a hole."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    size = 1 << 40 if limit == resource.RLIM_INFINITY else limit + 1
    try:
        with path.open("wb") as file:
            os.ftruncate(file.fileno(), size)
        return f"of {size} bytes"
    finally:
        path.unlink(missing_ok=True)


def opened() -> str:
    taken: list[int] = []
    try:
        while len(taken) < ENOUGH_DESCRIPTORS:
            taken.append(os.dup(0))
        return f"no end {len(taken)}"
    except OSError as error:
        return f"{name_of(error.errno)} {len(taken)}"
    finally:
        for number in taken:
            os.close(number)


def multiplied() -> str:
    """How many children there may be at once."""
    children: list[int] = []
    try:
        while len(children) < ENOUGH_PROCESSES:
            if (child := os.fork()) == 0:
                signal.pause()
                os._exit(0)
            children.append(child)
        return f"no end {len(children)}"
    except OSError as error:
        return f"{name_of(error.errno)} {len(children)}"
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)


def hoarded(memory_bytes: int) -> str:
    """Touch more memory than there may be; swap would let this end well."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # this process is the one to go
    taken = []
    for _ in range(memory_bytes * 5 // 4 // (4 * MIB)):
        block = mmap.mmap(-1, 4 * MIB)
        for page in range(0, 4 * MIB, mmap.PAGESIZE):
            block[page] = 1
        taken.append(block)
    return f"{len(taken) * 4} MiB"


def needed() -> None:
    """What honest programs need, so that a wall too tight is noticed as well."""
    for path in SCRATCH:
        tell(f"execute {path}", in_child(lambda p=path: executed(Path(p, ".program"))))  # type: ignore[misc]
    for name, action in NEEDS.items():
        tell(f"needs {name}", in_child(action))


def executed(path: Path) -> int:
    shutil.copyfile("/bin/true", path)
    path.chmod(0o700)
    try:
        return subprocess.run([str(path)], check=False).returncode
    finally:
        path.unlink()


def locked() -> bool:
    from multiprocessing import Lock  # a named semaphore, which glibc makes by link(2)

    return Lock().acquire()


def paired() -> None:
    for end in socket.socketpair():
        end.close()


def threaded() -> bool:
    ran: list[bool] = []
    thread = threading.Thread(target=ran.append, args=(True,))
    thread.start()
    thread.join()
    return ran == [True]


def mapped() -> None:
    """What loading a library needs: a file of /cache mapped for execution."""
    path = Path("/cache/.library")
    shutil.copyfile("/bin/true", path)
    with path.open("rb") as file:
        mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()
    path.unlink()


NEEDS: dict[str, Callable[[], object]] = {
    "semaphores": locked,
    "memfd": lambda: os.close(os.memfd_create("x")),
    "pairs": paired,
    "threads": threaded,
    "programs": lambda: subprocess.run(["/bin/true"], check=True).returncode,
    "affinity": lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)),
    "loading": mapped,
}


def main(memory_bytes: int, role: str) -> None:
    """Tell everything. The trainer leaves a file behind; the referee waits for its end and looks for it."""
    while role == "referee" and not Path("/gate/open").exists():
        time.sleep(GATE_POLL_SECONDS)
    for part in (identity, network, files, tree, calls, asked, needed):
        part()
    reached()
    left = Path("/out/left")
    if role == "train":
        left.write_text("by the trainer")
    tell("left", text(left))
    # Last, because a runtime with a kernel of its own may end the whole container for either.
    tell("most memory", in_child(lambda: hoarded(memory_bytes)))
    tell("most processes", multiplied())
