"""What the host must have before a trial starts."""

from __future__ import annotations

from pathlib import Path

from sandbox.interface import Limits, SandboxUnavailable

NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs", "lustre"})


def needed_memory_bytes(limits: Limits, slots: int = 1) -> int:
    """The most that trials may hold at once.

    The output volume counts besides the container's memory: once its writer is dead its pages are charged to
    nobody, until the volume goes.
    """
    return slots * (limits.memory_bytes + limits.output_bytes)


def available_memory_bytes() -> int:
    """Memory that can be had without swapping, by the kernel's estimate."""
    return _meminfo_bytes("MemAvailable:")


def total_memory_bytes() -> int:
    """All memory of the host."""
    return _meminfo_bytes("MemTotal:")


def _meminfo_bytes(key: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0


def check_memory(limits: Limits) -> None:
    """Refuse to start a trial whose output alone would not fit.

    Raises:
        SandboxUnavailable: less memory is available than the output volume may take.
    """
    there = available_memory_bytes()
    if there < limits.output_bytes:
        raise SandboxUnavailable(
            f"only {there >> 20} MiB of memory are available, and the output of a trial may take "
            f"{limits.output_bytes >> 20}; stop other programs or lower sandbox.output_mib in lab.toml"
        )


def file_system(path: Path) -> str:
    """The type of the file system that ``path`` lies on, such as ``ext4``."""
    resolved = str(path.resolve())
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, what, *_ = line.split()
        where = where.replace("\\040", " ")
        inside = resolved == where or resolved.startswith(where.rstrip("/") + "/")
        if inside and len(where) >= len(best):
            best, kind = where, what
    return kind
