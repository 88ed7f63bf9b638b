"""The settings of a lab: one frozen model of ``lab.toml``. Unknown keys are refused by name."""

from __future__ import annotations

import os
import tomllib
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from daemon.model import UserError
from daemon.sections import (
    ControlSettings,
    CostSettings,
    DataSettings,
    DecideSettings,
    HoldoutSettings,
    MetricsSettings,
    ObserverSettings,
    PageSettings,
    ProposerSettings,
    RefereeSettings,
    RetentionSettings,
    SandboxSettings,
    Section,
    SlotSettings,
    TelemetrySettings,
    TimeSettings,
)
from sandbox.interface import Limits, MiB

Profile = Literal["cpu", "gpu"]


class Settings(Section):
    """All of ``lab.toml``."""

    profile: Profile
    tag: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    time: TimeSettings
    data: DataSettings = DataSettings()
    sandbox: SandboxSettings
    referee: RefereeSettings
    proposer: ProposerSettings = ProposerSettings()
    cost: CostSettings = CostSettings()
    decide: DecideSettings = DecideSettings()
    holdout: HoldoutSettings = HoldoutSettings()
    control: ControlSettings = ControlSettings()
    metrics: MetricsSettings = MetricsSettings()
    retention: RetentionSettings = RetentionSettings()
    slot: SlotSettings = SlotSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    observers: ObserverSettings = ObserverSettings()
    page: PageSettings = PageSettings()

    def limits(self) -> Limits:
        """The sandbox's limits, with the cores of this machine filled in.

        Raises:
            UserError: ``cpus`` or ``referee_cpus`` names a core that this process may not use.
        """
        box = self.sandbox
        cpus = _cores(box.cpus)
        rest = tuple(sorted(os.sched_getaffinity(0) - set(cpus))) or cpus
        idle = rest if box.referee_cpus == "auto" else _cores(box.referee_cpus)
        return Limits(
            cpus=cpus,
            idle_cpus=idle,
            memory_bytes=box.memory_mib * MiB,
            output_bytes=box.output_mib * MiB,
            tmp_bytes=box.tmp_mib * MiB,
            cache_bytes=box.cache_mib * MiB,
            shm_bytes=box.shm_mib * MiB,
            log_bytes=box.log_mib * MiB,
            pids=box.pids,
        )


def _cores(text: str) -> tuple[int, ...]:
    usable = sorted(os.sched_getaffinity(0))
    if text == "auto":
        return tuple(usable[1:] or usable)
    wanted: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        wanted |= set(range(int(first), int(last or first) + 1))
    if missing := wanted - set(usable):
        raise UserError(f"lab.toml: [sandbox] names core {min(missing)}, which this machine does not offer")
    return tuple(sorted(wanted))


def load(path: Path) -> Settings:
    """Read and check ``lab.toml``.

    Raises:
        UserError: the file is missing, is no TOML, or holds a wrong or unknown key.
    """
    try:
        return Settings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"{path.parent} is not a lab (no lab.toml); make one with `autoresearch init DIR`") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    # A key that is misspelt is both unknown and missing; the first is what its writer can see.
    errors = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {where}; see the comments of a fresh lab.toml for what there is"
    return f"{where}: {first['msg']}"


def default_lab_toml(profile: Profile, tag: str) -> str:
    """The documented ``lab.toml`` of a new lab."""
    template = files("daemon").joinpath("templates/lab.toml").read_text(encoding="utf-8")
    return Template(template).substitute(_DEFAULTS[profile], profile=profile, tag=tag)


_DEFAULTS: dict[str, dict[str, object]] = {
    "cpu": {
        "train_seconds": 20.0,
        "startup_seconds": 60.0,
        "startup_margin_seconds": 3.0,
        "score_seconds": 120.0,
        "variant": "cpu",
        "gpu": "",
        "memory_mib": 4096,
        "output_mib": 256,
        "cache_mib": 512,
        "pids": 256,
        "audit_rows": 400,
        "confirm_rows": 2000,
        "disturbed": "tell",  # a laptop has other work, and a trial that is run again has it too
        "baseline_runs": 3,
        "min_gain_bpb": 0.005,
        "equal_bpb": 0.005,
    },
    "gpu": {
        "train_seconds": 300.0,
        "startup_seconds": 300.0,
        "startup_margin_seconds": 20.0,
        "score_seconds": 300.0,
        "variant": "cuda",
        "gpu": "auto",
        "memory_mib": 32768,
        "output_mib": 2048,
        "cache_mib": 4096,
        "pids": 512,
        "audit_rows": 2048,
        "confirm_rows": 16384,
        "disturbed": "void",
        "baseline_runs": 5,
        "min_gain_bpb": 0.0005,
        "equal_bpb": 0.0005,
    },
}
