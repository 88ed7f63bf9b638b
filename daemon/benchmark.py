"""How fast the place that trains is just now: a fixed small kernel, run by the referee's image in its own container."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from daemon.holdout import errand_spec, run_errand
from daemon.lab import Lab
from daemon.text import clean
from daemon.trial import read_line
from sandbox.interface import Errand


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Medians over the rounds: floating-point operations and bytes of memory a second; ``seconds`` of work in all."""

    ops_per_second: float
    bytes_per_second: float
    seconds: float


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Literal[1]
    status: Literal["ok"]
    ops_per_second: float = Field(gt=0, allow_inf_nan=False)
    bytes_per_second: float = Field(gt=0, allow_inf_nan=False)
    rounds: int = Field(gt=0)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    device: str = Field(max_length=40)
    referee_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


_LINE = TypeAdapter(_Line)


def benchmark(lab: Lab) -> float:
    """Operations a second of the cores, or the GPU, that train. See :func:`measure`."""
    return measure(lab).ops_per_second


def measure(lab: Lab, *, cancel: Callable[[], bool] = lambda: False) -> Speed:
    """Measure for about a second. Nothing else of the lab may run meanwhile.

    Raises:
        OurFault: the sandbox failed, or the benchmark did not answer as it does.
        sandbox.interface.Cancelled: ``cancel`` answered true.
    """
    run = run_errand(lab, errand_spec(lab, f"benchmark-{uuid.uuid4().hex[:8]}"), Errand.BENCHMARK, cancel)
    line = read_line(run.log, _LINE, "the benchmark", clean(run.reason, 200))
    return Speed(ops_per_second=line.ops_per_second, bytes_per_second=line.bytes_per_second, seconds=line.seconds)
