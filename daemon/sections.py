"""The sections of ``lab.toml``, one frozen model each."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

STATE = ".autoresearch"
Seconds = Annotated[float, Field(gt=0, le=7 * 86400)]
Mebibytes = Annotated[int, Field(gt=0, le=4 * 1024 * 1024)]
_ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>[0-9]{1,5})")


def _address_or_nothing(value: str, example: str) -> str:
    found = _ADDRESS.fullmatch(value)
    if value and not (found and 1 <= int(found["port"]) <= 65535):
        port = example.rpartition(":")[2]
        raise ValueError(f'must be an address with its port, such as "{example}" or "[::1]:{port}", or ""')
    return value


def _host_and_port(listen: str) -> tuple[str, int] | None:
    found = _ADDRESS.fullmatch(listen)
    return (found["host"].strip("[]"), int(found["port"])) if found else None


def is_loopback(host: str) -> bool:
    """Is it an address that only this machine reaches?"""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Section(BaseModel):
    """Strict: a value of another type or an unknown key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TimeSettings(Section):
    """Seconds of one trial."""

    train_seconds: Seconds
    clock: Literal["release", "container"] = "release"
    startup_seconds: Seconds
    startup_margin_seconds: Annotated[float, Field(ge=0)]
    score_seconds: Seconds


class DataSettings(Section):
    """Where the tokens lie."""

    dir: str = f"{STATE}/data"


class SandboxSettings(Section):
    """How a trial is held."""

    kind: Literal["docker", "unsafe-local"] = "docker"
    image: str
    runtime: str = ""
    gpu: str = ""
    cpus: str = "auto"
    referee_cpus: str = "auto"
    memory_mib: Mebibytes
    output_mib: Mebibytes
    tmp_mib: Mebibytes = 256
    cache_mib: Mebibytes
    shm_mib: Mebibytes = 256
    log_mib: Mebibytes = 8
    pids: Annotated[int, Field(ge=32, le=1024)] = 256
    python: str = ""

    @field_validator("cpus", "referee_cpus")
    @classmethod
    def _cpus(cls, value: str) -> str:
        if value != "auto" and not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", value):
            raise ValueError('must be "auto" or a list of cores such as "2,3" or "2-7"')
        return value


class RefereeSettings(Section):
    """How thoroughly a model is audited."""

    audit_rows: Annotated[int, Field(ge=1, le=1_000_000)]
    confirm_rows: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class ProposerSettings(Section):
    """Who proposes."""

    name: str = "optuna"
    seed: int = 1
    lookahead: Annotated[int, Field(ge=0, le=1)] = 0
    options: dict[str, Any] = {}


class CostSettings(Section):
    """When the provider is not asked any more."""

    max_usd: Annotated[float, Field(ge=0)] | None = None
    max_usd_per_day: Annotated[float, Field(ge=0)] | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None


class MetricsSettings(Section):
    """Where Prometheus may read."""

    listen: str = "127.0.0.1:9464"

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        return _address_or_nothing(value, "127.0.0.1:9464")

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port to listen at; None for not at all."""
        return _host_and_port(self.listen)


class PageSettings(Section):
    """Where people may look with a browser."""

    listen: str = "127.0.0.1:9465"
    token_file: str = ""
    hosts: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,253}$")], ...] = ()

    @field_validator("hosts", mode="before")
    @classmethod
    def _hosts(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value  # TOML has no tuples

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        return _address_or_nothing(value, "127.0.0.1:9465")

    @model_validator(mode="after")
    def _is_safe(self) -> PageSettings:
        address = self.address
        if address and not self.token_file and not is_loopback(address[0]):
            raise ValueError(
                f"{self.listen} is reached by other machines, so page.token_file must name a file with a token"
            )
        return self

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port to listen at; None for not at all."""
        return _host_and_port(self.listen)


class ObserverSettings(Section):
    """Plug-ins that watch; see docs/plugins.md."""

    on: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]] = []
    options: dict[str, dict[str, Any]] = {}


class DecideSettings(Section):
    """What is kept."""

    rule: Literal["replicated", "greedy"] = "replicated"
    min_gain_bpb: Annotated[float, Field(ge=0)] = 0.0
    baseline_runs: Annotated[int, Field(ge=1, le=100)] = 5
    promising_sigmas: Annotated[float, Field(ge=0, le=10)] = 1.25
    max_pairs: Annotated[int, Field(ge=1, le=50)] = 6
    settle_runs: Annotated[int, Field(ge=1, le=50)] = 3
    false_keeps: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    false_keeps_at_first: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    replicate_share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    suspicious_factor: Annotated[float, Field(ge=1)] = 5.0
    simpler: bool = True
    equal_bpb: Annotated[float, Field(ge=0)] = 0.0
    train_seed: Annotated[int, Field(ge=0, lt=2**31)] = 1337


class HoldoutSettings(Section):
    """How often people may see what a champion scores where nobody selects."""

    looks: Annotated[int, Field(ge=0, le=10_000)] = 25


class RetentionSettings(Section):
    """What piles up, and how much of it stays."""

    models: Annotated[int, Field(ge=0, le=1000)] = 5
    images: Annotated[int, Field(ge=0, le=1000)] = 0
    disk_mib: Annotated[int, Field(ge=0, le=1 << 30)] = 0
    every_seconds: Annotated[float, Field(ge=0, le=7 * 86400)] = 3600.0


class ControlSettings(Section):
    """How a running daemon is steered."""

    stop_after: Literal["now", "experiment"] = "now"
    socket: str = f"{STATE}/control.sock"
    group: str = ""


class SlotSettings(Section):
    """How labs that share a machine take turns."""

    queue: Annotated[str, Field(max_length=1000)] = "auto"

    @field_validator("queue")
    @classmethod
    def _queue(cls, value: str) -> str:
        if value not in ("", "auto") and not value.startswith("/"):
            raise ValueError('must be "auto", an absolute path, or "" for a machine that nobody shares')
        return value


class TelemetrySettings(Section):
    """When this machine is too disturbed for a trial to be compared with others."""

    busy: Literal["wait", "fault", "ignore"] = "wait"
    disturbed: Literal["void", "tell"] = "void"
    every_seconds: Annotated[float, Field(ge=0.1, le=60)] = 1.0
    max_used_mib: Annotated[int, Field(ge=0)] = 1024
    max_foreign_share: Annotated[float, Field(ge=0, le=1)] = 0.25
    max_steal_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    max_throttled_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    min_clock_ratio: Annotated[float, Field(ge=0, le=1)] = 0.85
    max_jump_seconds: Annotated[float, Field(gt=0, le=3600)] = 2.0
