"""The allow file that a lab's settings make: the proxy takes it, and the lab's own trials fit into it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from specs import a_spec

from daemon.allowing import write
from daemon.lab import Lab, init
from sandbox import spec as bodies
from sandbox.interface import SandboxSpec, TimeRules
from sandbox.proxy import bodies as door
from sandbox.proxy.allow import load
from sandbox.rundir import RunDir


def a_spec_of(lab: Lab) -> SandboxSpec:
    times = lab.settings.time
    rules = TimeRules(
        train_seconds=times.train_seconds,
        startup_seconds=times.startup_seconds,
        free_startup_seconds=times.startup_seconds,
        score_seconds=times.score_seconds,
    )
    return replace(
        a_spec(lab_id=lab.id), times=rules, limits=lab.settings.limits(), data_dir=lab.data_dir, runs_dir=lab.runs_dir
    )


def test_the_labs_own_trials_fit(tmp_path: Path) -> None:
    init(tmp_path / "lab", "cpu", "night")
    (tmp_path / "allow.toml").write_text(write(tmp_path / "lab"))
    allow = load(tmp_path / "allow.toml")
    lab = Lab(tmp_path / "lab")
    spec = a_spec_of(lab)
    run = RunDir(root=spec.runs_dir / spec.run_id)
    assert door.volume(bodies.volume_body(spec), allow).name == bodies.volume_name(spec)
    for role, body in (("train", bodies.train_body(spec, run)), ("referee", bodies.referee_body(spec, run))):
        sent = {key: value for key, value in body.items() if value is not None}
        assert door.container(sent, bodies.container_name(spec, role), allow).body == sent
