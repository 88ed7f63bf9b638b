"""Looks at one GPU through NVIDIA's management library. Nothing is computed, and no setting is changed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from daemon.telemetry import GpuLook
from daemon.text import clean

# Slowing down that is nobody's wish. A cap of power is the everyday state of a busy card, and idling is no fault.
_SLOWED = {
    "nvmlClocksEventReasonHwSlowdown": "hardware slowdown",
    "nvmlClocksEventReasonHwThermalSlowdown": "hardware, too hot",
    "nvmlClocksEventReasonSwThermalSlowdown": "too hot",
    "nvmlClocksEventReasonHwPowerBrakeSlowdown": "power brake",
}
# What the driver reports of a card that cannot go on; the other numbers may be a candidate's own mistakes.
FATAL_XIDS = frozenset({48, 62, 64, 74, 79, 95, 119, 120})


class NvmlScope:
    """One GPU, by UUID. ``ours`` gives the processes of the trial."""

    def __init__(self, nvml: Any, uuid: str, ours: Callable[[], Collection[int]]) -> None:
        self._nvml, self._uuid, self._ours = nvml, uuid, ours
        self._events: Any = None

    def look(self) -> GpuLook:
        """The GPU now; ``lost`` where the driver does not reach it any more."""
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(self._uuid)
            running = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
            if (xid := self._fatal_xid(handle)) is not None:
                return GpuLook(lost=f"the driver reported Xid {xid}")
            ours = self._ours()
            return GpuLook(
                strangers=tuple(self._name(process.pid) for process in running if process.pid not in ours),
                throttled=self._throttled(handle),
                clock_mhz=self._maybe(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM),
                used_bytes=int(nvml.nvmlDeviceGetMemoryInfo(handle).used),
                uncorrected_errors=int(self._errors(handle) or 0),
            )
        except nvml.NVMLError as error:
            return GpuLook(lost=clean(str(error), 200))

    def close(self) -> None:
        with suppress(self._nvml.NVMLError):
            if self._events is not None:
                self._nvml.nvmlEventSetFree(self._events)
            self._nvml.nvmlShutdown()

    def _throttled(self, handle: Any) -> tuple[str, ...]:
        bits = self._maybe(self._nvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
        if bits is None:  # drivers before 535 know it by its former name
            bits = self._maybe(self._nvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
        return tuple(text for name, text in _SLOWED.items() if int(bits or 0) & getattr(self._nvml, name))

    def _errors(self, handle: Any) -> float | None:
        nvml = self._nvml
        uncorrected, volatile = nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
        return self._maybe(nvml.nvmlDeviceGetTotalEccErrors, handle, uncorrected, volatile)

    def _fatal_xid(self, handle: Any) -> int | None:
        """One that was reported since the last look, for which a set of events is kept open."""
        nvml = self._nvml
        try:
            if self._events is None:
                self._events = nvml.nvmlEventSetCreate()
                nvml.nvmlDeviceRegisterEvents(handle, nvml.nvmlEventTypeXidCriticalError, self._events)
            for _ in range(100):
                xid = int(nvml.nvmlEventSetWait_v2(self._events, 0).eventData)
                if xid in FATAL_XIDS:
                    return xid
        except nvml.NVMLError:  # nothing was reported, or this card does not report
            return None
        return None

    def _name(self, pid: int) -> str:
        try:
            name = self._nvml.nvmlSystemGetProcessName(pid)
        except self._nvml.NVMLError:
            return f"process {pid}"
        text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        return f"{clean(text.rsplit('/', 1)[-1], 40)}, process {pid}"

    def _maybe(self, ask: Callable[..., Any], *words: Any) -> float | None:
        """None for what this card does not tell. A card that is gone is told apart by what every card tells."""
        nvml = self._nvml
        try:
            return float(ask(*words))
        except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound, nvml.NVMLError_NoPermission):
            return None


def open_gpu(uuid: str, ours: Callable[[], Collection[int]]) -> NvmlScope | GpuLook | None:
    """The GPU of this UUID. None where there is no NVIDIA library; a look that says why where it does not work."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return None
    except pynvml.NVMLError as error:
        return GpuLook(lost=clean(str(error), 200))
    return NvmlScope(pynvml, uuid, ours)
