"""What is missing on this machine, and the command that mends it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from daemon import hardware
from daemon.credentials import KeySource
from daemon.dataset import MEND
from daemon.lab import Lab
from daemon.model import OurFault, UserError
from daemon.permissions import complaints
from daemon.walls import find_image
from sandbox import versions
from sandbox.docker_engine import Engine
from sandbox.image import TORCH_LABEL
from sandbox.interface import SandboxUnavailable
from sandbox.preflight import NETWORK_FILE_SYSTEMS, available_memory_bytes, file_system, needed_memory_bytes
from sandbox.runtimes import resolved_runtime

OK, WARNING, FAILURE = "ok", "warning", "failure"
MIN_FREE_BYTES = 2 * 1024**3
OUR_PACKAGES = ("daemon", "sandbox", "policies")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at. ``level`` is ok, warning or failure."""

    name: str
    level: str
    detail: str


def examine(lab: Lab | None, keys: KeySource) -> Iterator[Check]:
    """Look at the machine and, when there is one, at the lab. Never raises; a failing look is a finding."""
    yield _guard("packages", _packages)
    engine: list[Engine] = []
    yield _guard("engine", lambda: _engine(engine))
    yield _guard("api key", lambda: _api_key(keys))
    if engine:
        for outdated in versions.warnings(engine[0].info(), hardware.nvidia_toolkit_version()):
            yield Check(name=outdated.component, level=WARNING, detail=outdated.sentence)
    if lab is None:
        yield Check(name="lab", level=WARNING, detail="no lab here; make one with `autoresearch init DIR`")
        return
    yield _guard("lab", lambda: _lab(lab))
    yield _guard("owner", lambda: _owner(lab))
    if engine and lab.settings.sandbox.kind == "docker":
        yield _guard("image", lambda: _image(lab, engine[0]))
        yield _guard("runtime", lambda: _runtime(lab, engine[0]))
        yield _guard("leftovers", lambda: _leftovers(lab, engine[0]))
    yield _guard("data", lambda: _data(lab))
    yield _guard("file system", lambda: _file_system(lab))
    yield _guard("disk", lambda: _disk(lab))
    yield _guard("memory", lambda: _memory(lab))
    yield _guard("gpu", lambda: _gpu(lab))
    yield _guard("line", lambda: _line(lab))


Finding = tuple[str, str]


def _guard(name: str, look: Callable[[], Finding]) -> Check:
    try:
        level, detail = look()
    except (UserError, OurFault, SandboxUnavailable, OSError) as error:
        level, detail = FAILURE, str(error)
    return Check(name=name, level=level, detail=detail)


def _packages() -> Finding:
    owners = metadata.packages_distributions()
    for package in OUR_PACKAGES:
        if others := set(owners.get(package, ())) - {"autoresearchd"}:
            other = sorted(others)[0]
            return FAILURE, f"the distribution {other} also installs a package `{package}`: `pip uninstall {other}`"
    return OK, "no other distribution claims our package names"


def _engine(found: list[Engine]) -> Finding:
    engine = Engine()
    found.append(engine)
    info = engine.info()
    where = f"{info.get('ServerVersion', '?')} (API {info['ApiVersion']}, {info.get('Driver', '?')}, {_cgroup(info)})"
    if not info.get("MemoryLimit") or not info.get("PidsLimit") or not info.get("CPUSet"):
        return FAILURE, f"engine {where} cannot limit memory, processes or cores; enable those cgroup controllers"
    if not any("apparmor" in option for option in info.get("SecurityOptions") or []):
        return WARNING, f"engine {where}; AppArmor is not enforced here, the other layers are"
    return OK, f"engine {where}"


def _cgroup(info: dict[str, Any]) -> str:
    return f"cgroup v{info.get('CgroupVersion', '?')}"


def _lab(lab: Lab) -> Finding:
    if changed := lab.workspace.dirty():
        return FAILURE, f"uncommitted changes in {', '.join(changed)}; commit them or `git restore` them"
    return OK, f"{lab.directory}, profile {lab.settings.profile}, branch autoresearch/{lab.settings.tag}"


def _runtime(lab: Lab, engine: Engine) -> Finding:
    name = resolved_runtime(engine.info(), lab.settings.sandbox.runtime or None)
    return OK, f"containers run under {name}; `autoresearch doctor --sandbox` tries what it holds"


def _owner(lab: Lab) -> Finding:
    for complaint in complaints(lab.directory):
        return FAILURE, complaint
    return OK, "the lab's files belong to this user and nobody else may write them"


def _api_key(keys: KeySource) -> Finding:
    if keys.key() is None:
        return OK, "none; the proposers that need one say so"
    return OK, f"from {keys}; it stays in this process"


def _image(lab: Lab, engine: Engine) -> Finding:
    labels = find_image(engine, lab.settings.sandbox.image)
    return OK, f"{lab.settings.sandbox.image}, torch {labels.get(TORCH_LABEL, '?')}"


def _leftovers(lab: Lab, engine: Engine) -> Finding:
    containers, volumes = engine.ours(lab.id)
    if containers or volumes:
        count = len(containers) + len(volumes)
        return WARNING, f"{count} containers and volumes of this lab; a run is going on, or the next one removes them"
    return OK, "no container or volume left behind"


def _data(lab: Lab) -> Finding:
    manifest = lab.dataset.manifest
    train = manifest.splits.get("train")
    return OK, f"{manifest.source}: {train.tokens if train else 0:,} training tokens, vocabulary {manifest.vocab_size}"


def _file_system(lab: Lab) -> Finding:
    if not lab.data_dir.exists():
        return FAILURE, f"no data directory; {MEND}"
    lab.make_runs_dir()
    if lab.data_dir.stat().st_dev != lab.runs_dir.stat().st_dev:
        return FAILURE, f"data ({lab.data_dir}) and lab lie on two file systems; prepare the data inside the lab"
    kind = file_system(lab.directory)
    if kind in NETWORK_FILE_SYSTEMS:
        return WARNING, f"the lab lies on {kind}; the release of data and the ledger are safe only on a local disk"
    return OK, f"data and lab on one file system ({kind})"


def _disk(lab: Lab) -> Finding:
    free = shutil.disk_usage(lab.directory).free
    if free < MIN_FREE_BYTES:
        return FAILURE, f"{free / 1024**3:.1f} GiB free where the lab lies; free some: 2 GiB at least"
    return OK, f"{free / 1024**3:.0f} GiB free"


def _memory(lab: Lab) -> Finding:
    needed, there = needed_memory_bytes(lab.settings.limits()), available_memory_bytes()
    numbers = f"a trial may use {needed / 1024**3:.1f} GiB, {there / 1024**3:.1f} GiB are available"
    if needed > there:
        return WARNING, f"{numbers}; lower sandbox.memory_mib in lab.toml"
    return OK, numbers


def _gpu(lab: Lab) -> Finding:
    if not lab.settings.sandbox.gpu:
        return OK, "not asked for by this lab"
    chosen = lab.gpu
    name = next((gpu.name for gpu in hardware.gpus() if gpu.uuid == chosen), chosen)
    return OK, f"{name} ({chosen})"


def _line(lab: Lab) -> Finding:
    from daemon.line import Line
    from daemon.slots import folder_of

    if not lab.settings.slot.queue:
        return OK, "this lab takes no turns with others ([slot] in lab.toml)"
    folder = folder_of(lab.settings.slot.queue)
    Line(folder, 0).check()
    return OK, f"labs of this machine take turns in {folder}"
