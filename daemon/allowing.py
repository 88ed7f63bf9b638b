"""The docker proxy's allow file of a lab, written from its settings: what the proxy lets through for it."""

from __future__ import annotations

import json
from pathlib import Path

from daemon.lab import Lab
from sandbox.interface import Limits, MiB

# The self-check under gVisor asks for more processes than a small lab does.
LEAST_PIDS = 192
BACKSTOP_SECONDS = 180  # what the containers add to a trial's times before they end by themselves, with room


def allow_toml(lab: Lab) -> str:
    """The text of the file. Look through it before you give it to the proxy: what it names is what a daemon may have.

    Raises:
        UserError: the lab's settings name a core that this machine does not offer.
    """
    settings = lab.settings
    box, limits = settings.sandbox, settings.limits()
    head = {
        "images": [box.image],
        "cpus": list(limits.scoring_cpus),
        "gpus": [lab.gpu] if lab.gpu else [],
        "runtimes": [box.runtime] if box.runtime else [],
    }
    places = {"id": lab.id, "runs": str(lab.runs_dir), "data": str(lab.data_dir)}
    return "\n".join(
        [
            "# What the docker proxy lets through for this lab. Written by the lab's settings; write it again when",
            "# they change, and keep it where the daemon cannot write.",
            *_lines(head),
            "",
            "[lab]",
            *_lines(places),
            "",
            "[most]",
            *_lines(_most(lab, limits)),
            "",
        ]
    )


def _most(lab: Lab, limits: Limits) -> dict[str, int]:
    times = lab.settings.time
    seconds = times.startup_seconds + times.train_seconds + times.score_seconds
    return {
        "memory_mib": limits.memory_bytes // MiB,
        "output_mib": limits.output_bytes // MiB,
        "tmp_mib": limits.tmp_bytes // MiB,
        "cache_mib": limits.cache_bytes // MiB,
        "shm_mib": limits.shm_bytes // MiB,
        "container_seconds": int(seconds) + BACKSTOP_SECONDS,
        "pids": max(limits.pids, LEAST_PIDS),
        "open_files": limits.open_files,
        "inodes": limits.inodes,
    }


def _lines(values: dict[str, object] | dict[str, str] | dict[str, int]) -> list[str]:
    """Strings, numbers and lists of them are written alike in JSON and TOML."""
    return [f"{name} = {json.dumps(value)}" for name, value in values.items()]


def write(directory: Path) -> str:
    """The allow file of the lab in ``directory``, for the verb that prints it."""
    return allow_toml(Lab(directory))
