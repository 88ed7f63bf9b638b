"""What this machine is: the device that scores are bound to."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from daemon.model import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU as the driver names it."""

    uuid: str
    name: str
    memory_mib: int


def gpus() -> list[Gpu]:
    """The GPUs that nvidia-smi lists; none when there is no driver."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, "--query-gpu=uuid,name,memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in listed.splitlines()]
    return [Gpu(uuid=row[0], name=row[1], memory_mib=int(float(row[2]))) for row in rows if len(row) == 3]


def nvidia_toolkit_version() -> str | None:
    """The version of the NVIDIA Container Toolkit; None where there is none."""
    command = shutil.which("nvidia-ctk")
    if command is None:
        return None
    try:
        told = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\d+\.\d+\.\d+", told)
    return found[0] if found else None


def choose_gpu(setting: str) -> str | None:
    """The device to ask the engine for, from ``sandbox.gpu`` of lab.toml.

    Raises:
        UserError: a GPU is asked for and none, or not that one, is here.
    """
    if not setting or "=" in setting:
        return setting or None
    found = gpus()
    if setting == "auto" and found:
        return found[0].uuid
    if any(gpu.uuid == setting for gpu in found):
        return setting
    wanted = "a GPU" if setting == "auto" else setting
    raise UserError(
        f"lab.toml asks for {wanted}, but nvidia-smi lists {len(found) or 'none'}; "
        'install the driver, or use the profile cpu (sandbox.gpu = "")'
    )


def device_name(gpu: str | None, cores: int) -> str:
    """A name that is equal on machines whose scores may be compared."""
    if gpu is not None:
        return next((found.name for found in gpus() if found.uuid == gpu), gpu)
    return f"{_cpu_model()} x{cores}"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown CPU"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")
