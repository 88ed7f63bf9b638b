"""Walls with limits that are raised by a little."""

from __future__ import annotations

from walls import Breach, wall

from sandbox.interface import MiB
from sandbox.spec import Body


@wall("all-processors")
def _(breach: Breach) -> None:
    breach.host(CpusetCpus="", NanoCpus=0)


@wall("more-processes")
def _(breach: Breach) -> None:
    breach.limits(pids=600)


@wall("more-memory")
def _(breach: Breach) -> None:
    breach.limits(memory_bytes=2560 * MiB)


@wall("referee-with-more-memory")
def _(breach: Breach) -> None:
    more = {"Memory": 4096 * MiB, "MemorySwap": 4096 * MiB}
    breach.request("referee", lambda body: body["HostConfig"].update(more))


@wall("larger-scratch")
def _(breach: Breach) -> None:
    size = 96 * MiB
    breach.limits(output_bytes=size, tmp_bytes=size, cache_bytes=size, shm_bytes=size, inodes=30_000)

    def more_inodes(body: Body) -> None:
        body["DriverOpts"]["o"] = body["DriverOpts"]["o"].replace("nr_inodes=256", "nr_inodes=30000")

    breach.request("volume", more_inodes)


@wall("longer-log")
def _(breach: Breach) -> None:
    breach.limits(log_bytes=64 * MiB)


@wall("more-descriptors")
def _(breach: Breach) -> None:
    breach.limits(open_files=6000)


@wall("files-of-any-size")
def _(breach: Breach) -> None:
    def unlimited(body: Body) -> None:
        config = body["HostConfig"]
        config["Ulimits"] = [limit for limit in config["Ulimits"] if limit["Name"] != "fsize"]

    breach.request("train", unlimited)


@wall("patient-referee")
def _(breach: Breach) -> None:
    breach.times["score_seconds"] = 400


@wall("start-up-free-for-ever")
def _(breach: Breach) -> None:
    breach.times["free_startup_seconds"] = 1000
