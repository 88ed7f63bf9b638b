"""Create bodies: from what the client's states, the sandbox's own spec makes the body anew, and the two must be equal.

So there is no second description of a container that could lag behind the first, and nothing that this program has
not itself written is ever sent to the engine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sandbox import spec as made
from sandbox.interface import Errand, Limits, SandboxSpec, TimeRules
from sandbox.proxy import asked
from sandbox.proxy.allow import Allow
from sandbox.proxy.asked import ContainerView
from sandbox.proxy.refusal import Refused, shown
from sandbox.proxy.strict_json import canonical
from sandbox.rundir import RunDir
from sandbox.runtimes import APPARMOR_PROFILE

PROBE = [made.PYTHON, "-P", "/gate/probe.py"]  # the self-check's program in the referee's place
COUNT = 10**9
_TIMES = TimeRules(train_seconds=0, startup_seconds=0, free_startup_seconds=0, score_seconds=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A body to send, and the volume and folders of the host that it stands on."""

    name: str
    body: dict[str, Any]
    volume: str  # empty: it has none
    image: str
    sources: tuple[str, ...]


def volume(body: Mapping[str, Any], allow: Allow) -> Checked:
    """The volume that ``body`` asks for, made anew.

    Raises:
        Refused: it is not one that the sandbox would ask for.
    """
    view = asked.view_of_volume(body)
    run_id = asked.run_of(view.Labels, allow)
    options = view.DriverOpts.get("o")
    most = allow.most.output_mib << 20
    size = asked.within(asked.number(asked.option(options, "size"), 1 << 50, "size"), most, "the size of the volume")
    gid = asked.number(asked.option(options, "gid"), 1 << 20, "gid")
    limits = Limits(cpus=(0,), idle_cpus=(0,), output_bytes=size)
    spec = replace(_spec(allow, run_id), limits=limits, slot=asked.slot_of(gid, allow))
    own = made.volume_body(spec)
    _same(body, own)
    return Checked(name=own["Name"], body=own, volume=own["Name"], image="", sources=())


def container(body: Mapping[str, Any], name: str, allow: Allow) -> Checked:
    """The container that ``body`` asks for under ``name``, made anew.

    Raises:
        Refused: it is not one that the sandbox would ask for.
    """
    view = asked.view_of_container(body)
    role = view.Labels.get(f"{made.LABEL}.role", "")
    spec, own = _made_anew(view, role, allow)
    own_name = made.container_name(spec, role)
    if name != own_name:
        raise Refused("the name is not the one that the labels make")
    own = {key: value for key, value in own.items() if value is not None}
    _same(body, own)
    mounts = own["HostConfig"]["Mounts"]
    sources = tuple(str(mount["Source"]) for mount in mounts if mount["Type"] == "bind")
    volumes = [str(mount["Source"]) for mount in mounts if mount["Type"] == "volume"]
    return Checked(name=own_name, body=own, volume="".join(volumes), image=spec.image, sources=sources)


def _made_anew(view: ContainerView, role: str, allow: Allow) -> tuple[SandboxSpec, dict[str, Any]]:
    if role == "train":
        spec = _train(view, allow)
        return spec, made.train_body(spec, _run(spec))
    if role == "referee":
        spec = _referee(view, allow)
        own = made.referee_body(spec, _run(spec))
        if spec.run_id.startswith(asked.SELF_CHECK):
            own["Cmd"] = [*own["Cmd"][:3], *PROBE]
        return spec, own
    if role in tuple(Errand):
        spec = _errand(view, Errand(role), allow)
        return spec, made.errand_body(spec, _run(spec), Errand(role))
    raise Refused("the body has the label of none of the sandbox's containers")


def _run(spec: SandboxSpec) -> RunDir:
    return RunDir(root=spec.runs_dir / spec.run_id)


def update(body: Mapping[str, Any], allow: Allow) -> dict[str, Any]:
    """The one update that a trial makes: the referee moves to more cores.

    Raises:
        Refused: anything else.
    """
    if set(body) != {"CpusetCpus"} or not isinstance(body["CpusetCpus"], str):
        raise Refused("an update may name CpusetCpus and nothing else")
    return {"CpusetCpus": made.cpuset(asked.cores_of(body["CpusetCpus"], allow))}


def _spec(allow: Allow, run_id: str) -> SandboxSpec:
    """What is the same for every container of the lab."""
    runs = Path(allow.lab.runs)
    # The self-check brings folders of its own in place of the data, and never sees the real ones.
    data = runs / f"{run_id}-data" if run_id.startswith(asked.SELF_CHECK) else Path(allow.lab.data)
    return SandboxSpec(
        run_id=run_id, lab_id=allow.lab.id, train_py=b"", prepare_py=b"", data_dir=data, runs_dir=runs,
        image=allow.images[0], profile="cpu", seed=0, seq_len=0, vocab_size=0, audit_rows=0, times=_TIMES,
        limits=Limits(cpus=(0,), idle_cpus=(0,)),
    )  # fmt: skip


def _common(view: ContainerView, allow: Allow) -> SandboxSpec:
    if view.Image not in allow.images:
        raise Refused(f"the image {shown(view.Image, 60)} is not in the allow file")
    confined = f"apparmor={APPARMOR_PROFILE}" in view.HostConfig.SecurityOpt
    return replace(
        _spec(allow, asked.run_of(view.Labels, allow)),
        image=view.Image,
        slot=asked.slot_of(asked.group_of(view.User), allow),
        gpu=asked.gpu_of(view.HostConfig, allow),
        runtime=asked.runtime_of(view.HostConfig, allow),
        apparmor=APPARMOR_PROFILE if confined else None,
    )


def _train(view: ContainerView, allow: Allow) -> SandboxSpec:
    cpus = asked.cores_of(view.HostConfig.CpusetCpus, allow)
    environment = asked.variables(view.Env)
    seconds = environment.get("AUTORESEARCH_TRAIN_SECONDS", "")
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?(e\+[0-9]{2})?", seconds) is None:
        raise Refused("AUTORESEARCH_TRAIN_SECONDS is no number of seconds")
    profile = environment.get("AUTORESEARCH_PROFILE", "")
    if profile not in ("cpu", "gpu"):
        raise Refused("AUTORESEARCH_PROFILE is none of the two profiles")
    train_seconds = float(seconds)
    return replace(
        _common(view, allow),
        profile=profile,
        seed=asked.number(environment.get("AUTORESEARCH_SEED"), 2**63, "the seed"),
        limits=asked.limits_of(view.HostConfig, cpus, cpus, allow),
        times=replace(
            _TIMES, train_seconds=train_seconds, startup_seconds=_backstop(view, allow) + 0.5 - 60 - train_seconds
        ),
    )


def _words(view: ContainerView) -> dict[str, str]:
    """What the referee is told, by name."""
    words = view.Cmd[7:]
    return dict(zip(words[::2], words[1::2], strict=False))


def _referee(view: ContainerView, allow: Allow) -> SandboxSpec:
    common, told = _common(view, allow), _words(view)
    if common.run_id.startswith(asked.SELF_CHECK) and view.Cmd[3:] == PROBE:
        told = dict.fromkeys(("--seq-len", "--vocab-size", "--audit-rows", "--confirm-rows"), "1")
    idle = asked.cores_of(view.HostConfig.CpusetCpus, allow)
    return replace(
        common,
        keep="--keep" in told,
        seq_len=asked.number(told.get("--seq-len"), COUNT, "--seq-len"),
        vocab_size=asked.number(told.get("--vocab-size"), COUNT, "--vocab-size"),
        audit_rows=asked.number(told.get("--audit-rows"), COUNT, "--audit-rows"),
        confirm_rows=asked.number(told.get("--confirm-rows"), COUNT, "--confirm-rows"),
        limits=asked.limits_of(view.HostConfig, _trainers_cores(view, idle, allow), idle, allow),
        times=replace(_TIMES, startup_seconds=_backstop(view, allow) + 0.5 - 120),
    )


def _errand(view: ContainerView, errand: Errand, allow: Allow) -> SandboxSpec:
    """A run outside a trial. Its cores are the trainer's, and for the holdout the referee's besides."""
    common, told = _common(view, allow), _words(view)
    if common.run_id.startswith(asked.SELF_CHECK):
        raise Refused("the self-check sends nobody on errands")
    cores = asked.cores_of(view.HostConfig.CpusetCpus, allow)
    count = asked.number(asked.variables(view.Env).get("OMP_NUM_THREADS"), len(cores), "OMP_NUM_THREADS")
    spec = replace(
        common,
        limits=asked.limits_of(view.HostConfig, cores[:count], cores, allow),
        times=replace(_TIMES, score_seconds=_backstop(view, allow) + 0.5 - 60),
    )
    if errand is Errand.BENCHMARK:
        return spec
    return replace(
        spec,
        seq_len=asked.number(told.get("--seq-len"), COUNT, "--seq-len"),
        vocab_size=asked.number(told.get("--vocab-size"), COUNT, "--vocab-size"),
        audit_rows=asked.number(told.get("--audit-rows"), COUNT, "--audit-rows"),
    )


def _trainers_cores(view: ContainerView, idle: tuple[int, ...], allow: Allow) -> tuple[int, ...]:
    """Cores for the trainer, of which the referee's body tells two counts alone: theirs, and that of both together."""
    everything = len(allow.cpus)
    theirs = asked.number(asked.variables(view.Env).get("OMP_NUM_THREADS"), everything, "OMP_NUM_THREADS")
    both = asked.within(view.HostConfig.NanoCpus // 10**9, everything, "NanoCpus")
    shared = theirs + len(idle) - both
    if not 0 <= shared <= min(theirs, len(idle)):
        raise Refused("NanoCpus, CpusetCpus and OMP_NUM_THREADS do not agree")
    others = range(max(allow.cpus) + 1, max(allow.cpus) + 1 + theirs - shared)
    return (*idle[:shared], *others)


def _backstop(view: ContainerView, allow: Allow) -> int:
    text = view.Cmd[2] if len(view.Cmd) > 2 else None
    return asked.within(asked.number(text, 10**9, "the backstop"), allow.most.container_seconds, "the backstop")


def _same(theirs: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    if canonical(theirs) != canonical(own):
        raise Refused(f"the body is not the sandbox's: {shown(_first_difference(theirs, own), 80)}")


def _first_difference(theirs: Any, own: Any, at: str = "") -> str:
    if isinstance(theirs, Mapping) and isinstance(own, Mapping):
        for key in sorted({*theirs, *own}):
            where = f"{at}.{key}" if at else key
            if (key in theirs) != (key in own):
                return f"{where} {'does not belong there' if key in theirs else 'is missing'}"
            if canonical(theirs[key]) != canonical(own[key]):
                return _first_difference(theirs[key], own[key], where)
    return f"{at} differs"
