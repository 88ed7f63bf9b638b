"""The telescope of a lab: its clocks, the cores its trials train on, and its GPU."""

from __future__ import annotations

from collections.abc import Callable

from daemon.lab import Lab
from daemon.slots import devices
from daemon.telemetry import GpuLook, Look, look_at_clocks
from daemon.telemetry_gpu import NvmlScope, open_gpu
from daemon.telemetry_host import HostScope
from sandbox.interface import SandboxSpec, SandboxUnavailable
from sandbox.spec import container_name


class LabTelescope:
    """See :class:`daemon.telemetry.Telescope`."""

    def __init__(self, host: HostScope, gpu: NvmlScope | GpuLook | None) -> None:
        self._host, self._gpu = host, gpu

    def look(self) -> Look:
        gpu = self._gpu.look() if isinstance(self._gpu, NvmlScope) else self._gpu
        return look_at_clocks(gpu=gpu, host=self._host.look())

    def close(self) -> None:
        if isinstance(self._gpu, NvmlScope):
            self._gpu.close()


def pointing(lab: Lab) -> Callable[[SandboxSpec], LabTelescope]:
    """Points a telescope at the place of a trial."""

    def point(spec: SandboxSpec) -> LabTelescope:
        name = container_name(spec, "train")
        host = HostScope(spec.limits.cpus, lambda: _id_of(lab, name))
        uuids = devices(spec.gpu)
        return LabTelescope(host, open_gpu(uuids[0], host.processes) if uuids else None)

    return point


def _id_of(lab: Lab, name: str) -> str | None:
    try:
        return lab.wall.id_of(name)
    except SandboxUnavailable:
        return None
