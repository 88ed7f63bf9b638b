"""Who one is inside, what is mounted, and what may be written. See :mod:`sandbox.probe`."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sandbox.probe.attempt import attempt, tell, text

CGROUP = Path("/sys/fs/cgroup")
COVERED = (
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
    "/proc/timer_list", "/proc/timer_stats", "/sys/firmware",
)  # fmt: skip
READ_ONLY = (
    "/", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/sys", "/lab", "/gate",
    "/data/common", "/data/train", "/data/val", "/out",
)  # fmt: skip
NOT_TO_WRITE = (
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger",
    "/lab/train.py", "/lab/prepare.py", "/etc/passwd", "/etc/ld.so.preload", "/dev/mem", "/dev/kmsg",
)  # fmt: skip
TOOLS = ("pip", "pip3", "git", "curl", "wget", "ssh", "sudo", "docker", "ping")
COMPILERS = ("gcc", "cc", "g++", "clang", "ld", "make", "as")
SOCKETS = ("docker.sock", "containerd/containerd.sock", "podman/podman.sock", "crio/crio.sock")


def identity() -> None:
    status = dict(line.split(":", 1) for line in text("/proc/self/status").splitlines() if ":" in line)
    for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters"):
        tell(field, status.get(field, "absent").strip())
    tell("users", " ".join(status.get("Uid", "").split()))
    tell("groups", " ".join(status.get("Gid", "").split()) + " + " + " ".join(map(str, sorted(os.getgroups()))))
    tell("kernel", os.uname().release)
    tell("machine", os.uname().machine)
    tell("hostname", os.uname().nodename)
    tell("confinement", text("/proc/self/attr/current").strip("\0"))
    tell("oom_score_adj", text("/proc/self/oom_score_adj"))
    tell("environment", " ".join(sorted(os.environ)))
    tell("directory", Path.cwd())
    tell("safe_path", int(sys.flags.safe_path))
    tell("descriptors", " ".join(sorted(descriptors("self"))))
    tell("descriptors of 1", " ".join(sorted(descriptors("1"))))
    tell("parent", text(f"/proc/{os.getppid()}/comm"))
    tell("first", text("/proc/1/comm"))
    tell("owner of 1", attempt(lambda: Path("/proc/1").stat().st_uid))
    tell("processes", " ".join(sorted(text(p / "comm") for p in Path("/proc").iterdir() if p.name.isdigit())))
    for space in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"):
        with suppress(OSError):
            tell(f"namespace {space}", Path(f"/proc/self/ns/{space}").readlink().name.partition("[")[2].rstrip("]"))


def descriptors(process: str) -> Iterator[str]:
    with suppress(OSError):
        for entry in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):
                target = str(entry.readlink())
                if not target.endswith("/fd"):  # the listing itself
                    yield f"{entry.name}={target.partition(':')[0]}"


def network() -> None:
    tell("interfaces", " ".join(line.partition(":")[0].strip() for line in text("/proc/net/dev").splitlines()[2:]))
    tell("routes", " ".join(line.split()[0] for line in text("/proc/net/route").splitlines()[1:]))
    six = [line.split()[-1] for line in text("/proc/net/ipv6_route").splitlines() if len(line.split()) > 8]
    tell("routes 6", " ".join(sorted(set(six))))
    tell("unix sockets", max(0, len(text("/proc/net/unix").splitlines()) - 1))
    tell("engine sockets", " ".join(s for s in SOCKETS for root in ("/run", "/var/run") if Path(root, s).exists()))


def files() -> None:
    for line in text("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        tell(f"mount {fields[4]}", f"{fields[5]} {' '.join(fields[6:])} {' '.join(right.split()[::2])}")
    for path in COVERED:
        tell(f"covered {path}", covered(Path(path)))
    for path in READ_ONLY:
        tell(f"read-only {path}", attempt(lambda p=path: bool(os.statvfs(p).f_flag & os.ST_RDONLY)))  # type: ignore[misc]
    for path in (*NOT_TO_WRITE, *(str(p) for p in control_files())):
        tell(f"write {path}", attempt(lambda p=path: os.close(os.open(p, os.O_WRONLY))))  # type: ignore[misc]
    for path in ("/data", "/data/train", "/data/val", "/gate", "/out"):
        tell(f"listing {path}", listing(Path(path)))
    out = Path("/out").stat()
    tell("out", f"{stat.S_IMODE(out.st_mode):o} {out.st_uid}:{out.st_gid}")
    tell("devices", " ".join(sorted(p.name for p in Path("/dev").iterdir())))
    tell("tools", " ".join(tool for tool in TOOLS if shutil.which(tool)))
    tell("compilers", " ".join(tool for tool in COMPILERS if shutil.which(tool)))


def listing(path: Path) -> str:
    return " ".join(sorted(entry.name for entry in path.iterdir())) if path.is_dir() else "absent"


def control_files() -> Iterator[Path]:
    for name in ("cgroup.procs", "memory/cgroup.procs", "devices/devices.allow", "release_agent", "memory.max"):
        if (CGROUP / name).exists():
            yield CGROUP / name


def covered(path: Path) -> str:
    """Whether the engine has laid something over a path that tells of the host."""
    if not path.exists():
        return "absent"
    below = path.stat()
    return "covered" if stat.S_ISCHR(below.st_mode) or below.st_dev != path.parent.stat().st_dev else "bare"


def tree() -> None:
    """Every file of the image and the mounts: who may write where, and what would give rights away."""
    writable, special, sockets = [], [], []
    for folder, folders, names in os.walk("/"):
        folders[:] = [f for f in folders if folder != "/" or f not in ("proc", "sys", "host")]
        if os.access(folder, os.W_OK):
            writable.append(folder)
        for path in (f"{folder}/{name}" for name in names):
            with suppress(OSError):
                mode = os.lstat(path).st_mode
                if stat.S_ISREG(mode) and (mode & 0o6000 or (mode & 0o111 and has_capabilities(path))):
                    special.append(path)
                if stat.S_ISSOCK(mode) or stat.S_ISBLK(mode):
                    sockets.append(path)
    tell("writable", " ".join(sorted(writable)))
    tell("privileged files", " ".join(special))
    tell("sockets and disks", " ".join(sockets))


def has_capabilities(path: str) -> bool:
    try:
        return bool(os.getxattr(path, "security.capability", follow_symlinks=False))
    except OSError:
        return False
